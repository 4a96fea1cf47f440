"""Label Studio's ML backend, as its own code sends and reads."""

import pytest

from lookcloser import load
from lookcloser.annotation.label_studio import label_config
from lookcloser.serve.limits import Limits

from .conftest import ask, task

CONFIG = (
    "<View><Header value='Insects'/><Image name='photo' value='$picture'/>"
    "<RectangleLabels name='thing' toName='photo'><Label value='ant' alias='Ant'/>"
    "<Label value='bee'/></RectangleLabels>"
    "<Choices name='all' toName='photo'><Choice value='ant'/></Choices></View>"
)


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


def test_a_task_without_an_answer_says_why_and_has_an_empty_one(insects, drawing):
    broken = "data:image/png;base64,YWI="
    tasks = [{"data": None}, {}, task(drawing.url(), "other"), task(broken), task(drawing.url())]
    found = ask(insects, tasks).json()["results"]
    assert [bool(one["result"]) for one in found] == [False] * 4 + [True]
    assert {one["score"] for one in found[:4]} == {0.0}
    assert ["no image in the field" in one["error"] for one in found[:4]] == [True] * 3 + [False]
    assert found[3]["error"].startswith("image: not an image")
    assert "error" not in found[4]
    assert {one["model_version"] for one in found} == {found[4]["model_version"]}
    alone = ask(insects, [task(broken)])
    assert (alone.status_code, alone.json()["detail"]) == (422, found[3]["error"])


def test_the_version_is_that_of_the_weights(serve, files):
    def version(path):
        return serve(path).post("/setup", json={}).json()["model_version"]

    name, _, print_of_weights = (
        version(f"a={files.onnx}").removeprefix("lookcloser-").partition("-")
    )
    assert (name, print_of_weights) == ("a", load(files.onnx).engine.fingerprint())


def test_every_tag_of_an_image_is_answered_up_to_twenty(serve, files, drawing):
    config = (
        "<View><Image name='i' value='$image'/><Choices name='c' toName='i' value='$x'/></View>"
    )
    (found,) = ask(serve(files.tags), [task(drawing.url())], config).json()["results"]
    (own,) = load(files.tags).predict([drawing.file()], top=20)
    assert found["result"][0]["value"]["choices"] == [label.name for label in own.labels]
    assert found["score"] == pytest.approx(max(label.score for label in own.labels), abs=1e-5)
