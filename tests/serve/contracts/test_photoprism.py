"""PhotoPrism's vision endpoint, as its own code sends and reads."""

import json

import pytest

from lookcloser import load

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
