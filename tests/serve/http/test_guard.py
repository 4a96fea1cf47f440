"""Who may ask, from where, and what every answer carries."""

import base64

import pytest

from lookcloser.serve.http.guard import HEADERS
from lookcloser.serve.limits import Access, Limits

KEY = "correct horse"


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
