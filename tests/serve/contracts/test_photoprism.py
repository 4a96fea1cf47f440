"""PhotoPrism's vision endpoint, as its own code sends and reads."""

import json
from dataclasses import replace
from functools import partial

import pytest

from lookcloser import load
from lookcloser.core.types import Prediction, Region
from lookcloser.serve.contracts import photoprism
from lookcloser.serve.limits import Limits

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


def test_a_photo_in_several_sizes_is_answered_by_those_that_can_be_read(insects, drawing):
    places = ["data:,", drawing.url(1), "data:,x"]
    several = insects.post("/api/v1/vision/labels", json=photo(*places)).json()
    alone = insects.post("/api/v1/vision/labels", json=photo(drawing.url(1))).json()
    assert several == alone
    assert alone["model"]["resolution"] == 32
    names = [label["name"] for label in alone["result"]["labels"]]
    assert len(names) == len(set(names)) == 3


def test_more_images_than_a_request_may_hold(serve, files, drawing):
    client = serve(files.onnx, limits=Limits(images=2))
    ask = partial(client.post, "/api/v1/vision/labels")
    assert ask(json=photo(*[drawing.url()] * 2)).status_code == 200
    refused = ask(json=photo(*[drawing.url()] * 3))
    assert (refused.status_code, refused.json()["code"]) == (413, 413)
    assert refused.json()["error"] == "A request may hold 2 images at most."
    large = serve(files.onnx, limits=Limits(pixels=2000))
    answer = large.post("/api/v1/vision/labels", json=photo(drawing.url(), "data:,x"))
    assert answer.status_code == 422, "one is no image at all"
    assert large.post("/api/v1/vision/labels", json=photo(drawing.url())).status_code == 413


def test_the_model_is_the_one_of_that_name_or_the_first_that_is_able(serve, files, drawing):
    client = serve(files.words, files.tags, files.onnx)

    def answering(kind, model):
        answer = client.post(f"/api/v1/vision/{kind}", json=photo(drawing.url(), model=model))
        return answer.json()["model"]["name"]

    assert answering("labels", "") == "tags"
    assert answering("labels", "insects") == "insects"
    assert answering("labels", "words") == "tags", "which is not able to"
    assert answering("caption", "insects") == "words"


def test_the_confidence_of_a_caption_is_the_mean_of_its_words():
    words = [Region("word", word, score, None, None) for word, score in (("a", 0.5), ("bee", 1.0))]
    said = Prediction("captioning", (), tuple(words), (1, 1), caption="a bee")
    assert photoprism._confidence(said) == 0.75
    assert photoprism._confidence(replace(said, regions=(), caption="")) == 0.0


@pytest.mark.parametrize(
    "path", ["/api/v1/vision/labels", "/api/v1/vision/caption", "/setup", "/predict"]
)
def test_json_without_its_name_is_told_what_to_say(insects, path):
    """As text its braces would be called no object."""
    for kind in (None, "text/plain", "text/json", "multipart/form-data"):
        answer = insects.post(path, content=b"{}", headers={"content-type": kind} if kind else {})
        assert answer.status_code == 415, kind
        assert (
            answer.json()["detail"] == "Send JSON, with the header Content-Type: application/json."
        )
    for kind in ("application/json; charset=utf-8", "Application/JSON", "application/vnd.api+json"):
        answer = insects.post(path, content=b"[]", headers={"content-type": kind})
        assert answer.status_code == 422, kind
