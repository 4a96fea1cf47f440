"""Who may ask, from where, and what every answer carries."""

import asyncio
import base64
import json

import pytest

from lookcloser.serve.http import guard as guarding
from lookcloser.serve.http.guard import HEADERS, Guard
from lookcloser.serve.http.problems import Problem, json_response
from lookcloser.serve.limits import Access, Limits
from lookcloser.serve.metrics import Metrics

KEY = "correct horse"


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    """Bodies here do not end: what is left of a refused one is not waited for."""
    monkeypatch.setattr(guarding, "_DRAIN_SECONDS", 0.05)


@pytest.fixture
def locked(serve, files):
    return serve(files.onnx, access=Access(key=KEY))


def basic(password):
    return "Basic " + base64.b64encode(f"user:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": f"Bearer {KEY}x"}, 401),
        ({"authorization": "Basic %%%"}, 401),
        ({"authorization": b"Bearer \xff\xfe"}, 401),
        ({"authorization": f"Bearer {KEY}"}, 200),
        ({"authorization": basic(KEY)}, 200),
        ({"x-api-key": KEY}, 200),
    ],
)
def test_the_key(locked, headers, status):
    answer = locked.get("/v1/models", headers=headers)
    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers) == (status == 401)


def test_every_way_to_an_answer_asks_for_the_key(locked):
    open_to_all = {"/healthz", "/readyz", "/health"}
    for path in ("/", "/page.js", "/docs", "/openapi.json"):
        assert locked.get(path).status_code == 200
    assert locked.get("/nothing").status_code == 401
    for path, methods in locked.get("/openapi.json").json()["paths"].items():
        for method in methods:
            answer = locked.request(method, path)
            assert (answer.status_code != 401) == (path in open_to_all), path


def test_pages_of_other_sites_cannot_ask(insects):
    for origin in ("http://evil.example", "null", "http://testserver.evil.example", "http://["):
        refused = insects.post("/v1/predict", content=b"x", headers={"origin": origin})
        assert refused.status_code == 403
    own = insects.get("/healthz", headers={"origin": "http://testserver"})
    assert own.status_code == 200
    assert "access-control-allow-origin" not in own.headers


def test_names_that_lead_here_by_rebinding_are_refused(serve, files):
    client = serve(files.onnx, access=Access(hosts=frozenset({"127.0.0.1", "[::1]"})))
    for host, status in {
        **{"127.0.0.1:8000": 200, "127.0.0.1": 200, "[::1]:8000": 200, "127.0.0.1.": 200},
        **{"evil.example": 421, "127.0.0.1.evil.example": 421, "[::1]evil": 421, "": 421},
        **{"127.0.0.1:x": 421, "evil.example:127.0.0.1": 421, "127.0.0.1@evil.example": 421},
    }.items():
        answer = client.get("/healthz", headers={"host": host})
        assert answer.status_code == status, host


def test_every_answer_carries_the_headers(locked):
    for answer in (
        locked.get("/healthz"),
        locked.get("/nothing"),
        locked.get("/v1/models"),
        locked.put("/healthz"),
        locked.get("/docs"),
    ):
        assert all(answer.headers[name] == value for name, value in HEADERS.items())
        assert "server" not in answer.headers


def test_bodies_together_are_bounded_too(serve, files, drawing):
    client = serve(files.onnx, limits=Limits(body=100_000))
    client.app.tide.held = 256 * 2**20
    answer = client.post("/v1/predict", content=drawing.file())
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    client.app.tide.held = 0
    assert client.post("/v1/predict", content=drawing.file()).status_code == 200
    assert client.app.tide.held == 0


def test_a_server_that_ends_says_so(serve, files):
    client = serve(files.onnx)
    assert client.get("/readyz").json() == {"status": "ready", "models": {"insects": "ready"}}
    client.app.tide.ending = True
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["connection"] == "close"
    assert client.get("/healthz").status_code == 200


def test_faults_are_told_without_their_details(serve, files, drawing, monkeypatch):
    client = serve(files.onnx)
    served = client.app.models["insects"]

    def broken(*_given):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(type(served.version.engine), "answer", broken)
    answer = client.post("/v1/predict", content=drawing.file())
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


def test_an_answer_that_takes_too_long_is_given_up(serve, files, drawing, monkeypatch):
    client = serve(files.onnx, limits=Limits(seconds=0.2))
    served = client.app.models["insects"]
    monkeypatch.setattr(served._batcher, "put", lambda _job: None)  # it never gets there
    answer = client.post("/v1/predict", content=drawing.file())
    served._batcher.leave("dropped")
    assert answer.status_code == 504
    assert "No answer within 0.2 s" in answer.json()["detail"]


def test_no_answer_sends_elsewhere(insects):
    for path in ("/v1/predict/", "/docs/"):
        answer = insects.get(path, headers={"host": "evil.example"}, follow_redirects=False)
        assert answer.status_code == 404
        assert "location" not in answer.headers


def test_whatever_stands_where_a_key_should_is_refused_and_a_right_one_beside_it_is_enough(locked):
    odd = [b"Basic \xff\xfe", "Basic YQ", "Basic", "basic !", "Basic Og==", "Digest x", "", b"\xff"]
    for given in odd:
        headers = {"authorization": given}
        assert locked.get("/v1/models", headers=headers).status_code == 401, given
        assert locked.get("/v1/models", headers=headers | {"x-api-key": KEY}).status_code == 200
    for scheme in ("bearer", "BEARER"):
        headers = {"authorization": f"{scheme}  {KEY} ", "x-api-key": "wrong"}
        assert locked.get("/v1/models", headers=headers).status_code == 200
    assert locked.get(f"/v1/models?key={KEY}&x-api-key={KEY}").status_code == 401


def test_a_key_with_a_colon_is_a_password_like_others(serve, files):
    client = serve(files.onnx, access=Access(key="a:b"))
    for password, status in {"a:b": 200, "b": 401, "a": 401}.items():
        headers = {"authorization": basic(password)}
        assert client.get("/v1/models", headers=headers).status_code == status


def test_pages_are_kept_by_browsers_and_answers_are_not(insects):
    assert insects.get("/").headers["cache-control"] == "no-cache"
    assert insects.get("/docs").headers["cache-control"] == "no-cache"
    for path in ("/v1/models", "/nothing", "/openapi.json"):
        assert insects.get(path).headers["cache-control"] == "no-store"


class Asked:
    """An application behind a guard, as a server calls it: what comes in and goes out."""

    def __init__(
        self, app, limits=None, headers=(), coming=(), path="/v1/predict", method="POST", hosts=None
    ):
        self.coming, self.sent, self.read = list(coming), [], 0
        access = Access(hosts=hosts and frozenset(hosts))
        self.guard = Guard(app, limits or Limits(), access, Metrics())
        scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
        asyncio.run(self.guard(scope, self.receive, self.send))

    async def receive(self):
        self.read += 1
        if not self.coming:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": self.coming.pop(0), "more_body": True}

    async def send(self, message):
        self.sent.append(message)

    @property
    def status(self):
        return self.sent[0]["status"]

    @property
    def problem(self):
        return json.loads(self.sent[1]["body"])


def header(**named):
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]


async def reads_all(scope, receive, send):
    while (await receive())["more_body"]:
        pass


async def refuses(scope, receive, send):
    raise Problem(422, "No.")


async def echoes(scope, receive, send):
    told = {name: scope[name] for name in ("method", "path")}
    await json_response(told)(scope, receive, send)


def test_head_is_the_header_of_get():
    got, asked = (Asked(echoes, path="/healthz", method=method) for method in ("GET", "HEAD"))
    assert got.problem == {"method": "GET", "path": "/healthz"}
    assert [message["body"] for message in asked.sent[1:]] == [b""]
    assert asked.sent[0] == got.sent[0], "with the length of the body that GET has"


def test_every_address_that_is_read_answers_head(insects):
    for path in ("/", "/docs", "/healthz", "/readyz", "/metrics", "/v1/models", "/openapi.json"):
        asked = insects.head(path)
        assert (asked.status_code, asked.content) == (200, b""), path
    assert insects.head("/v1/predict").headers["allow"] == "POST"
    assert insects.options("/healthz").headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("path", "headers", "known"),
    [
        ("/healthz", {}, True),  # HTTP/1.0
        ("/healthz", {"host": ""}, False),
        ("http://here:80/healthz", {"host": "elsewhere"}, True),
        ("http://here", {"host": "here"}, True),
        ("http://elsewhere/healthz", {"host": "here"}, False),
        ("http://here@elsewhere/healthz", {"host": "here"}, False),
        ("http:///healthz", {"host": "here"}, False),
        ("http://\ud800\xfc/healthz", {"host": "here"}, False),
    ],
)
def test_a_request_may_name_its_host_in_the_address_or_not_at_all(path, headers, known):
    asked = Asked(echoes, path=path, headers=header(**headers), method="GET", hosts=["here"])
    assert asked.status == (200 if known else 421)
    if known:
        assert asked.problem["path"] == ("/" if path.endswith("here") else "/healthz")


def test_a_body_that_says_that_it_is_too_large_is_not_read_into_memory():
    large = Asked(reads_all, Limits(body=10), header(content_length="11"), [b"x" * 11])
    assert (large.status, large.problem["detail"]) == (413, "A body may have 10 bytes at most.")
    exact = Asked(refuses, Limits(body=10), header(content_length="10"), [b""])
    assert exact.status == 422
    for odd in ("", "-1", "1e9", "\u0661", "x"):
        assert (
            Asked(refuses, headers=[(b"content-length", odd.encode())], coming=[b""]).status == 422
        )


def test_a_body_is_counted_to_the_byte_and_forgotten_afterwards():
    within = Asked(refuses_after(2), Limits(body=10), coming=[b"x" * 5, b"y" * 5, b""])
    assert within.status == 422
    beyond = Asked(reads_all, Limits(body=10), coming=[b"x" * 5, b"y" * 6, b"", b""])
    assert beyond.status == 413
    assert (within.guard.tide.held, beyond.guard.tide.held) == (0, 0)


def refuses_after(pieces):
    async def app(scope, receive, send):
        for _ in range(pieces):
            await receive()
        raise Problem(422, "No.")

    return app


def test_a_body_that_stops_coming_is_given_up_and_not_waited_for_again():
    late = Asked(reads_all, Limits(seconds=0.05), coming=[b"x"])
    assert (late.status, late.problem["detail"]) == (408, "The body did not come within 0.05 s.")
    assert late.read == 2
    assert late.guard.tide.held == 0


def test_a_refusal_reads_what_is_left_for_a_while_unless_the_client_waits_to_be_asked(monkeypatch):
    monkeypatch.setattr(guarding, "_DRAINED", 8)
    assert Asked(refuses, coming=[b"x" * 4] * 9).read == 2, "no more than is worth it"
    assert Asked(refuses, coming=[b"x"]).read == 2, "no longer either"
    assert Asked(refuses, headers=header(expect="100-continue"), coming=[b"x"]).read == 0


def test_a_fault_is_counted_and_its_memory_given_back():
    async def fails(scope, receive, send):
        await receive()
        raise RuntimeError("broken")

    async def receive():
        return {"type": "http.request", "body": b"x" * 100}

    metrics = Metrics()
    guard = Guard(fails, Limits(), Access(), metrics)
    with pytest.raises(RuntimeError, match="broken"):  # the server of the process logs it
        asyncio.run(
            guard({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, None)
        )
    assert guard.tide.held == 0
    text = metrics.text().decode()
    assert 'lookcloser_requests_total{route="other",status="500"} 1.0' in text
    assert "lookcloser_held_bytes 0.0" in text
    assert 'request_seconds_count{route="other"} 1.0' in text


def test_what_is_no_request_passes():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    guard = Guard(app, Limits(), Access(key=KEY), Metrics())
    asyncio.run(guard({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]
