"""PhotoPrism and Label Studio, as their own code sends and reads."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from lookcloser import load
from lookcloser.annotation.label_studio import label_config
from lookcloser.serve.limits import Access, Limits

CONFIG = (
    "<View><Header value='Insects'/><Image name='photo' value='$picture'/>"
    "<RectangleLabels name='thing' toName='photo'><Label value='ant' alias='Ant'/>"
    "<Label value='bee'/></RectangleLabels>"
    "<Choices name='all' toName='photo'><Choice value='ant'/></Choices></View>"
)


def ask(client, tasks, config=None, **params):
    body = {"tasks": tasks, "project": "1.1700000000", "model_version": "x", "params": params}
    return client.post("/predict", json=body | ({} if config is None else {"label_config": config}))


def task(url, field="image", number=1):
    return {"id": number, "data": {field: url}, "annotations": [], "meta": {}}


def test_label_studio_begins_with_a_project(insects):
    assert insects.get("/health").json()["status"] == "UP"
    sent = {"project": "1.1", "schema": CONFIG, "hostname": "http://x", "access_token": "t"}
    answer = insects.post("/setup", json=sent)
    assert answer.json()["model_version"].startswith("lookcloser-insects-")
    refused = insects.post("/setup", json=sent | {"schema": "<View><Image"})
    assert refused.status_code == 422


def test_pre_annotations_are_what_the_model_answers(insects, files, drawing):
    answer = ask(insects, [task(drawing.url(seed), number=seed) for seed in range(3)])
    offline = load(files.onnx).predict([drawing.file(seed) for seed in range(3)], top=1)
    for found, expected in zip(answer.json()["results"], offline, strict=True):
        (entry,) = found["result"]
        (region,) = expected.regions
        width, height = expected.size
        value = entry["value"]
        assert value["rectanglelabels"] == [region.label]
        x0, y0 = value["x"] * width / 100, value["y"] * height / 100
        x1, y1 = x0 + value["width"] * width / 100, y0 + value["height"] * height / 100
        assert (x0, y0, x1, y1) == pytest.approx(region.box)
        assert entry["score"] == pytest.approx(region.score, abs=1e-5)
        assert found["score"] == entry["score"]


def test_more_tasks_than_images_of_a_request(serve, files, drawing):
    client = serve(files.onnx, limits=Limits(images=2))
    places = [drawing.url(seed) for seed in range(5)]
    places[3] = "data:,"
    found = ask(client, [task(place) for place in places]).json()["results"]
    assert [bool(result["result"]) for result in found] == [True, True, True, False, True]
    assert found[3]["error"]


def test_label_studios_own_reader_accepts_them(serve, files, drawing):
    interface_of = pytest.importorskip(
        "label_studio_sdk.label_interface", reason="foreign reader not installed"
    ).LabelInterface
    for kind, config in {
        "onnx": CONFIG,
        "tags": CONFIG,
        "cam": label_config(load(files.onnx).names).replace("$image", "$picture"),
        "words": "<View><Image name='i' value='$picture'/><TextArea name='t' toName='i'/></View>",
    }.items():
        answer = ask(serve(getattr(files, kind)), [task(drawing.url(), "picture")], config)
        (found,) = answer.json()["results"]
        assert found["result"], kind
        assert interface_of(config).validate_prediction(found), kind


def test_only_labels_that_the_project_has_are_answered(insects, files, drawing):
    (best,) = load(files.onnx).predict([drawing.file()], top=1)[0].labels
    config = CONFIG.replace("value='ant' alias='Ant'", "value='wasp'")
    (found,) = ask(insects, [task(drawing.url(), "picture")], config).json()["results"]
    assert [entry["type"] for entry in found["result"]] == ["choices"]
    (found,) = ask(insects, [task(drawing.url(), "picture")], CONFIG).json()["results"]
    box, choice = found["result"]
    assert best.name == "ant"
    assert box["value"]["rectanglelabels"] == ["Ant"]
    assert (box["from_name"], box["to_name"]) == ("thing", "photo")
    assert choice["value"] == {"choices": ["ant"]}


@pytest.mark.parametrize(
    "config",
    [
        "<View/>",
        "<View><Image name='i' value='$image'/></View>",
        "<View><Image name='i' value='$image'/><Text name='t' toName='i'/></View>",
        "not XML",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><View>&b;</View>",
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><View>&b;</View>',
    ],
)
def test_interfaces_that_cannot_be_filled_in(insects, drawing, config):
    assert ask(insects, [task(drawing.url())], config).status_code == 422


@pytest.fixture
def photos(tmp_path, drawing):
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "im 1.png").write_bytes(drawing.file())
    (tmp_path / "secret.png").write_bytes(drawing.file())
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    return folder


LOCAL = "/data/local-files/?d="


def test_local_files_stay_in_their_folder(serve, files, photos):
    client = serve(files.onnx, access=Access(files=str(photos)))
    places = [
        *(f"{LOCAL}../secret.png", f"{LOCAL}/{photos.parent}/secret.png", f"{LOCAL}link.png"),
        *(f"{LOCAL}deep", f"{LOCAL}%2e%2e/secret.png", f"{LOCAL}a%00b", f"{LOCAL}{'x' * 5000}"),
        *(LOCAL, f"http://evil.example{LOCAL}deep/im%201.png", "file:///etc/passwd", "/etc/passwd"),
        *("http://169.254.169.254/latest", "", None, 7, ["a"]),
    ]
    good = task(f"{LOCAL}deep/im%201.png")
    for start in range(0, len(places), 8):
        tasks = [good, *(task(place) for place in places[start : start + 8])]
        found = ask(client, tasks).json()["results"]
        assert found[0]["result"]
        for place, result in zip(places[start:], found[1:], strict=False):
            assert result["result"] == [], place
            assert str(photos) not in result["error"]


@pytest.fixture
def label_studio(drawing):
    """Gives an image to who has the token, and sends some elsewhere."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            known = self.headers.get("Authorization") == "Token secret"
            if "redirect" in self.path:
                self.send_response(302)
                self.send_header("Location", "/data/upload/1/a.png")
                self.end_headers()
                return
            self.send_response(200 if known else 401)
            self.end_headers()
            self.wfile.write(drawing.file() if known else b"")

        def log_message(self, *_given):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_uploads_are_fetched_from_the_one_label_studio(serve, files, label_studio):
    url, asked = label_studio
    client = serve(files.onnx, access=Access(label_studio=url, label_studio_key="secret"))
    tasks = [task("/data/upload/1/a.png"), task(f"{url}/data/upload/1/b.png")]
    assert all(found["result"] for found in ask(client, tasks).json()["results"])
    assert asked == ["/data/upload/1/a.png", "/data/upload/1/b.png"]
    others = [
        *("/api/users", f"{url}/data/../api/users", f"{url}/data/%2e%2e/api/users"),
        *("http://127.0.0.1:1/data/upload/1/a.png", f"{url}@evil.example/data/upload/a.png"),
    ]
    refused = ask(client, [task(place) for place in others])
    assert refused.status_code == 422
    assert len(asked) == 2
    assert ask(client, [task("/data/upload/redirect")]).status_code == 422
    assert len(asked) == 3


def test_no_address_is_asked_by_default(insects, label_studio):
    url, asked = label_studio
    for place in (f"{url}/data/upload/1/a.png", "/data/upload/1/a.png", f"{LOCAL}a.png"):
        answer = ask(insects, [task(place)])
        assert answer.status_code == 422
        assert "not asked" in answer.json()["detail"]
    vision = {"images": [f"{url}/a.png"]}
    assert insects.post("/api/v1/vision/labels", json=vision).status_code == 422
    assert asked == []


# The fields of PhotoPrism's ApiResponse, Model, LabelResult and CaptionResult, and what Go's JSON
# reader takes for each: another kind there makes the whole answer an error.
RESPONSE = {"id": str, "code": int, "error": str, "model": dict, "result": dict}
MODEL = {"type": str, "name": str, "version": str, "resolution": int}
LABEL = {
    **{"name": str, "source": str, "priority": int, "confidence": float},
    **{"topicality": float, "categories": list},
}
CAPTION = {"text": str, "source": str, "confidence": float}


def fits(value, fields):
    return value.keys() <= fields.keys() and all(
        isinstance(content, fields[name]) for name, content in value.items()
    )


def photo(*urls, model="tensorflow"):
    """A request as PhotoPrism's Go code writes it, empty fields included."""
    return {"id": "b3c1", "model": model, "suffix": "", "stream": False, "images": list(urls)}


def test_photoprism_labels(serve, files, drawing):
    client = serve(files.words, files.onnx)
    answer = client.post("/api/v1/vision/labels", json=photo(drawing.url(0), drawing.url(1)))
    found = json.loads(answer.content)
    assert fits(found, RESPONSE)
    assert fits(found["model"], MODEL)
    assert (found["id"], found["code"], found["model"]["name"]) == ("b3c1", 200, "insects")
    labels = found["result"]["labels"]
    assert all(fits(label, LABEL) for label in labels)
    first, second = load(files.onnx).predict([drawing.file(0), drawing.file(1)])
    for label in labels:
        both = [
            own.score for one in (first, second) for own in one.labels if own.name == label["name"]
        ]
        assert label["confidence"] == pytest.approx(max(both), abs=1e-5)
    assert labels == sorted(labels, key=lambda label: -label["confidence"])


def test_photoprism_captions(serve, files, drawing):
    answer = serve(files.onnx, files.words).post(
        "/api/v1/vision/caption", json=photo(drawing.url())
    )
    caption = answer.json()["result"]["caption"]
    assert fits(caption, CAPTION)
    assert caption["text"] == load(files.words).predict(drawing.file())[0].caption


@pytest.mark.parametrize(
    "body",
    [
        {**photo("data:image/png;base64,AAAA")},
        {**photo("data:image/png;base64,%%%")},
        {**photo("http://127.0.0.1/a.png")},
        {**photo()},
        {"images": "data:"},
        {"images": [1]},
        [],
    ],
)
def test_photoprism_reads_why_there_is_no_answer(insects, body):
    answer = insects.post("/api/v1/vision/labels", json=body)
    problem = answer.json()
    assert answer.status_code == problem["code"] == 422
    assert problem["error"] == problem["detail"]
    none = insects.post("/api/v1/vision/caption", json=photo("data:,"))
    assert "No model here answers captioning" in none.json()["error"]
