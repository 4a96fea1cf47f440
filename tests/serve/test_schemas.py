"""What is described is what is answered: no member more, none less, each of its kind."""

import pytest
from pydantic import ValidationError

from lookcloser.core.types import Label, Prediction, Region
from lookcloser.serve import schemas
from lookcloser.serve.answers import prediction_dict

PNG = {"content-type": "image/png"}


def check(schema, answer):
    """What a schema does not know is dropped when it reads, and then missing."""
    assert schema.model_validate(answer, strict=True).model_dump(mode="json") == answer


@pytest.mark.parametrize("kind", ["onnx", "tags", "words"])
def test_predictions(serve, files, drawing, kind):
    client = serve(getattr(files, kind))
    sent = [("image", (name, content)) for name, content in (("a", drawing.file()), ("b", b"x"))]
    for heatmaps in ("raw", "png", "none"):
        answer = client.post(f"/v1/predict?heatmaps={heatmaps}", files=sent)
        check(schemas.AnswerSchema, answer.json())


def test_a_refusal_with_a_group(drawing):
    label = Label("bird", 0.7, 3)
    region = Region("step", "bird", 0.7, (0.0, 0.0, 2.0, 1.0), None, step=2, move=(0.5, -1.0))
    whole = Prediction(
        "classification", (label,), (region,), (2, 1), None,
        candidates=(label,), coverage=0.9, refusal="ambiguous", group=label,
    )  # fmt: skip
    answer = prediction_dict(whole, "none")
    check(schemas.PredictionSchema, {**answer, "size": list(answer["size"])})
    assert answer["group"]["name"] == "bird"


def test_all_other_answers(serve, files, drawing):
    client = serve(files.cam, files.onnx)
    image = {"content": drawing.file(), "headers": PNG}
    check(schemas.ExplanationSchema, client.post("/v1/explain?view=cam", **image).json())
    check(schemas.ModelsSchema, client.get("/v1/models").json())
    check(schemas.ReadySchema, client.get("/readyz").json())
    check(schemas.SetupResponse, client.post("/setup", json={}).json())
    tasks = {"tasks": [{"data": {"image": drawing.url()}}]}
    check(schemas.TasksResponse, client.post("/predict", json=tasks).json())
    photo = client.post("/api/v1/vision/labels", json={"images": [drawing.url()]})
    check(schemas.VisionResponse, photo.json())
    check(schemas.ProblemSchema, client.get("/nothing").json())
    check(schemas.HealthSchema, client.get("/health").json())
    assert client.get("/healthz").json() == {"status": "alive"}


@pytest.mark.parametrize(
    ("schema", "given"),
    [
        (schemas.VisionRequest, {"images": []}),
        (schemas.VisionRequest, {"images": ["data:,"], "id": 5}),
        (schemas.VisionRequest, {"images": ["data:,"], "model": "a" * 201}),
        (schemas.SetupRequest, {"schema": "x" * (2**20 + 1)}),
        (schemas.SetupRequest, {"project": 1.5}),
        (schemas.TasksRequest, {"tasks": []}),
        (schemas.TasksRequest, {"tasks": ["a"]}),
        (schemas.TasksRequest, {"tasks": [{}], "label_config": 7}),
    ],
)
def test_what_comes_in_is_bounded_and_of_its_kind(schema, given):
    with pytest.raises(ValidationError):
        schema.model_validate(given)


def test_what_tools_send_besides_is_left_alone():
    sent = {"tasks": [{"id": 1}], "project": "1.2", "params": {"login": None}}
    assert schemas.TasksRequest.model_validate(sent).model_dump() == {
        "tasks": [{"id": 1}], "label_config": None,
    }  # fmt: skip
    setup = schemas.SetupRequest.model_validate(
        {"project": 3, "schema": "<View/>", "hostname": "h"}
    )
    assert (setup.project, setup.label_config) == (3, "<View/>")
    photo = schemas.VisionRequest.model_validate({"images": ["data:,"], "stream": False})
    assert (photo.id, photo.model) == ("", "")
