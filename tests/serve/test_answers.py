"""/v1: the answers of the model itself, for every form of a request, and clear refusals."""

import asyncio
import base64
import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from PIL import Image

from lookcloser import load
from lookcloser.serve import answers
from lookcloser.serve.answers import prediction_dict
from lookcloser.serve.limits import Limits

PNG = {"content-type": "image/png"}


def files_of(*images):
    return [("image", (name, content, "image/png")) for name, content in images]


def as_png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def close(found, expected):
    """The same JSON, numbers to 1e-5."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(close(found[k], expected[k]) for k in found)
    if isinstance(expected, list):
        pairs = zip(found, expected, strict=True)
        return len(found) == len(expected) and all(close(*pair) for pair in pairs)
    if isinstance(expected, float):
        return abs(found - expected) < 1e-5
    return found == expected


@pytest.mark.parametrize("kind", ["onnx", "cam", "tags", "words"])
def test_the_server_answers_what_the_model_answers_offline(serve, files, kind, drawing):
    path = getattr(files, kind)
    images = [drawing.file(seed) for seed in range(5)]
    offline = load(path).predict(images)
    sent = files_of(*((f"{n}.png", image) for n, image in enumerate(images)))
    answer = serve(path).post("/v1/predict", files=sent).json()
    assert answer["model"] == path.stem
    for number, (found, expected) in enumerate(zip(answer["predictions"], offline, strict=True)):
        assert close(found, {**expected.to_dict(), "path": f"{number}.png"})


@pytest.mark.parametrize("many", [0, 100])
def test_json_of_many_maps_is_made_beside_the_loop(serve, files, drawing, monkeypatch, many):
    """A thousand maps of each image take seconds, in which nothing else would be answered."""
    loops = []
    monkeypatch.setattr(answers, "_MANY_REGIONS", many)

    def seen(*given):
        loops.append(asyncio._get_running_loop())
        return prediction_dict(*given)

    monkeypatch.setattr(answers, "prediction_dict", seen)
    client, sent = serve(files.onnx), files_of(*((f"{n}.png", drawing.file(n)) for n in range(3)))
    found = client.post("/v1/predict", files=sent).json()
    assert len(loops) == 3
    assert all((loop is None) == (many == 0) for loop in loops)
    assert set(found) == {"model", "predictions"}
    assert [one["path"] for one in found["predictions"]] == ["0.png", "1.png", "2.png"]


def test_raw_bodies_and_forms_are_the_same(insects, drawing):
    raw = insects.post("/v1/predict", content=drawing.file(), headers=PNG).json()
    typeless = insects.post("/v1/predict", content=drawing.file()).json()
    form = insects.post("/v1/predict", files=files_of(("a.png", drawing.file()))).json()
    assert raw == typeless
    (answer,) = form["predictions"]
    assert {**answer, "path": None} == raw["predictions"][0]


def test_heatmaps_as_numbers_as_png_or_none(insects, drawing):
    def regions(how):
        query = f"/v1/predict?heatmaps={how}"
        answer = insects.post(query, content=drawing.file(), headers=PNG).json()
        return answer["predictions"][0]["regions"]

    raw, png, none = (regions(how) for how in ("raw", "png", "none"))
    head, _, data = png[0]["heatmap"].partition(",")
    assert head == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert image.mode == "L"
    assert np.allclose(np.asarray(image) / 255, raw[0]["heatmap"], atol=1 / 255)
    assert none[0]["heatmap"] is None
    assert none[0]["box"] == raw[0]["box"]


def test_top_and_coverage(insects, serve, files, drawing):
    answer = insects.post("/v1/predict?top=1", content=drawing.file(), headers=PNG).json()
    assert len(answer["predictions"][0]["labels"]) == 1
    refused = insects.post("/v1/predict?coverage=0.9", content=drawing.file(), headers=PNG)
    assert refused.status_code == 422  # of a model without calibration
    tags = serve(files.tags).post("/v1/predict?coverage=0.9", content=drawing.file(), headers=PNG)
    assert "answers multilabel" in tags.json()["detail"]


def test_a_broken_image_fails_alone(insects, drawing):
    sent = files_of(("a.png", drawing.file(1)), ("b.png", b"broken"), ("c.png", drawing.file(2)))
    answer = insects.post("/v1/predict", files=sent)
    assert answer.status_code == 200
    first, second, third = answer.json()["predictions"]
    assert first["error"] is None
    assert third["labels"]
    assert second["labels"] == []
    assert second["error"].startswith("b.png: not an image that can be read")


def test_an_image_that_the_network_has_no_answer_to_is_not_the_servers_fault(
    insects, drawing, monkeypatch
):
    engine = insects.app.models["insects"].version.engine
    real = type(engine).answer

    def breaks(self, pixels, top):
        if (pixels == 0).all(axis=(1, 2, 3)).any():
            raise RuntimeError("too dark")
        output = real(self, pixels, top)
        output.logits[(pixels == 255).all(axis=(1, 2, 3))] = np.nan
        return output

    monkeypatch.setattr(type(engine), "answer", breaks)
    black, white = (as_png(Image.new("RGB", (40, 40), (value,) * 3)) for value in (0, 255))
    for image, words in ((black, "cannot answer this image"), (white, "not a number")):
        alone = insects.post("/v1/predict", content=image, headers=PNG)
        assert alone.status_code == 422
        assert alone.headers["content-type"] == "application/problem+json"
        assert words in alone.json()["detail"]
        sent = files_of(("a.png", drawing.file(1)), ("b.png", image))
        both = insects.post("/v1/predict", files=sent)
        assert both.status_code == 200
        assert [bool(one["labels"]) for one in both.json()["predictions"]] == [True, False]
        assert words in both.json()["predictions"][1]["error"]


def test_several_models_by_name(serve, files, drawing):
    client = serve(files.onnx, files.tags)
    about = client.get("/v1/models").json()["models"]
    assert [model["name"] for model in about] == ["insects", "tags"]
    assert [model["engine"] for model in about] == ["onnx", "torch"]
    assert [model["default"] for model in about] == [True, False]
    assert len(about[0]["classes"]) == 3

    def task(query):
        answer = client.post(f"/v1/predict{query}", content=drawing.file(), headers=PNG)
        return answer.json()["predictions"][0]["task"]

    assert [task(""), task("?model=tags")] == ["classification", "multilabel"]
    refused = client.post("/v1/predict?model=nobody", content=drawing.file(), headers=PNG)
    assert refused.status_code == 404
    assert "insects, tags" in refused.json()["detail"]


def test_views_where_torch_runs_the_model(serve, files, drawing):
    client = serve(files.cam, files.onnx)
    found = client.post("/v1/explain?view=cam,saliency", content=drawing.file(), headers=PNG)
    expected = load(files.cam).explain(drawing.image(), ["cam", "saliency"])
    assert found.json()["views"].keys() == expected.keys()
    shown = found.json()["views"]["cam"]["heatmap"]
    assert np.allclose(shown, expected["cam"].heatmap, rtol=0, atol=1.1e-4)
    for query, said in {
        "view=nothing": "unknown view",
        "target=wasp": "unknown class",
        "model=insects": "no views",
    }.items():
        refused = client.post(f"/v1/explain?{query}", content=drawing.file(), headers=PNG)
        assert refused.status_code == 422
        assert said in refused.json()["detail"]


def test_views_keep_no_image_waiting(serve, files, drawing, monkeypatch):
    client = serve(files.cam, limits=Limits(decoders=1))
    recognizer = client.app.models["cam"].version.recognizer
    begun, end = threading.Event(), threading.Event()

    def slow(*_given, **_named):
        begun.set()
        assert end.wait(20)
        return {}

    monkeypatch.setattr(recognizer, "explain", slow, raising=False)
    ask = partial(client.post, "/v1/explain", content=drawing.file(), headers=PNG)
    with ThreadPoolExecutor(2) as pool:
        looking = [pool.submit(ask) for _ in range(2)]
        assert begun.wait(20)
        answer = client.post("/v1/predict", content=drawing.file(), headers=PNG)
        end.set()
        assert answer.status_code == 200
        assert [one.result().json()["views"] for one in looking] == [{}, {}]


REFUSED = {
    "an empty body": (422, {"content": b"", "headers": PNG}, "the body is empty"),
    "no image": (422, {"content": b"hello", "headers": PNG}, "not an image"),
    "another type": (415, {"content": b"{}", "headers": {"content-type": "text/plain"}}, "Send"),
    "a web form": (415, {"data": {"a": "b"}}, "Content-Type"),
    "a form without files": (422, {"files": {"image": (None, "text")}}, "is no file"),
    "a form without boundary": (
        *(422, {"content": b"--", "headers": {"content-type": "multipart/form-data"}}),
        "form is broken",
    ),
    "too many images": (413, {"files": [("image", ("a", b"x"))] * 9}, "8 images at most"),
    "a large body": (413, {"content": b"x" * 100_001, "headers": PNG}, "100,000 bytes"),
    "a compressed body": (
        *(415, {"content": b"x", "headers": {**PNG, "content-encoding": "gzip"}}),
        "compressed",
    ),
    "a wrong number": (422, {"params": {"top": "many"}, "content": b"x"}, "top: "),
}


@pytest.fixture
def strict(serve, files):
    return serve(files.onnx, limits=Limits(images=8, body=100_000, pixels=10_000))


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_are_problems_with_one_sentence(strict, case):
    status, request, said = REFUSED[case]
    answer = strict.post("/v1/predict", **request)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert said in problem["detail"]
    assert problem["detail"].endswith(".")


def test_size_is_looked_at_before_decoding(strict, drawing):
    large = drawing.file(size=(101, 100))
    assert strict.post("/v1/predict", content=large, headers=PNG).status_code == 413
    # 30,000 × 30,000 pixels in a few bytes, cut off: its size is in the header
    bomb = drawing.bomb(30_000)
    answer = strict.post("/v1/predict", content=bomb, headers=PNG)
    assert answer.status_code == 413
    assert "the image is too large" in answer.json()["detail"]


def test_a_body_without_length_is_counted_as_it_comes(strict):
    def endless():
        for _ in range(10_000):
            yield b"x" * 1000

    answer = strict.post("/v1/predict", content=endless(), headers=PNG)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd.png", "passwd.png"),
        ("C:\\fakepath\\a.png", "a.png"),
        ("a\r\nSet-Cookie: x=y.png", None),
        ("<script>alert(1)</script>.png", None),
    ],
)
def test_names_of_files_are_only_shown(insects, drawing, name, shown):
    answer = insects.post("/v1/predict", files=files_of((name, drawing.file())))
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    path = answer.json()["predictions"][0]["path"]
    assert path.isprintable()
    assert "/" not in path.replace("</", "<")
    if shown is not None:
        assert path == shown


def test_names_of_classes_change_no_header(insects, drawing):
    answer = insects.post("/v1/predict", content=drawing.file(), headers=PNG)
    assert "set-cookie" not in answer.headers
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "fly\r\nSet-Cookie: a=b" in json.dumps(answer.json()).encode().decode("unicode_escape")


def test_no_answer_names_a_path_of_the_server(strict, files, drawing):
    folder = str(files.onnx.parent)
    asked = [
        strict.post("/v1/predict", content=b"broken", headers=PNG),
        strict.post("/v1/explain", content=drawing.file(), headers=PNG),
        *(
            strict.get(f"/{path}")
            for path in ("v1/models", "readyz", "metrics", "docs", "%2e%2e/x")
        ),
    ]
    for answer in asked:
        assert folder not in answer.text


def test_a_broken_image_with_a_telling_name_is_broken_not_large(strict, drawing):
    for name, content, status in (
        ("it is too large.png", b"broken", 422),
        ("it is too large.png", drawing.file(size=(101, 100)), 413),
    ):
        answer = strict.post("/v1/predict", files=files_of((name, content)))
        assert answer.status_code == status
    both = [("a.png", drawing.file(size=(101, 100))), ("b.png", b"broken")]
    answer = strict.post("/v1/predict", files=files_of(*both))
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("b.png: not an image")


def test_views_of_a_large_image_are_refused_as_answers_are(serve, files, drawing):
    client = serve(files.cam)
    refused = client.post("/v1/explain", content=drawing.bomb(30_000), headers=PNG)
    assert refused.status_code == 413
    two = client.post("/v1/explain", files=files_of(*[("a.png", drawing.file())] * 2))
    assert two.json()["detail"] == "A request may hold 1 image at most."


def test_an_empty_choice_of_a_form_is_none(serve, files, drawing):
    client = serve(files.cam)
    ask = partial(client.post, content=drawing.file(), headers=PNG)
    assert ask("/v1/explain?view=&target=&model=").json() == ask("/v1/explain").json()
    assert list(ask("/v1/explain?view=,cam ,").json()["views"]) == ["cam"]
    assert ask("/v1/predict?model=").json() == ask("/v1/predict").json()


def test_what_is_served_is_described(serve, files):
    client = serve(files.words, f"b={files.onnx}", files.tags)
    words, exported, tags = client.get("/v1/models").json()["models"]
    assert (words["task"], words["views"]) == ("captioning", [])
    assert (exported["task"], exported["method"], exported["views"]) == (
        "classification",
        "cam",
        [],
    )
    assert {"cam", "gradcam"} <= set(tags["views"])
    for about, path in ((words, files.words), (exported, files.onnx), (tags, files.tags)):
        own = load(path).engine
        assert about["classes"] == list(own.header.names)
        assert about["input"] == [32, 32]
        assert (about["backbone"], about["version"]) == ("test_resnet", own.fingerprint())
