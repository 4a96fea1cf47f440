"""The whole application: its routes, how it refuses, how it begins and ends."""

import threading

import pytest

from lookcloser.core.errors import LookcloserError
from lookcloser.serve.app import Service
from lookcloser.serve.engines.sources import Source, read_sources
from lookcloser.serve.limits import Access, Limits

JSON = {"content-type": "application/json"}


def threads_of(*names):
    return [thread.name for thread in threading.enumerate() if thread.name in names]


def test_a_model_that_cannot_be_loaded_ends_those_before_it(files, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"broken")
    first = Source("before", str(files.onnx), files.onnx)
    with pytest.raises(LookcloserError, match="broken.safetensors"):
        Service([first, Source("broken", str(broken), broken)])
    assert threads_of("model before", "model broken") == []


def test_what_may_not_be_served_is_said_before_any_request(files):
    with pytest.raises(LookcloserError, match="/nowhere: not a folder"):
        Service(read_sources([str(files.onnx)]), access=Access(files="/nowhere"))


def test_a_service_ends_its_threads_and_may_be_closed_twice(serve, files, drawing):
    client = serve(f"ending={files.onnx}")
    assert client.post("/v1/predict", content=drawing.file()).status_code == 200
    assert threads_of("model ending") == ["model ending"]
    client.app.close()
    assert threads_of("model ending") == []
    client.app.close()
    late = client.post("/v1/predict", content=drawing.file())
    assert (late.status_code, late.headers["retry-after"]) == (503, "5")
    assert late.json()["detail"] == "The server is shutting down."


def test_the_order_of_the_models_is_that_of_the_sources(serve, files):
    client = serve(files.tags, f"b={files.onnx}", f"a={files.onnx}")
    assert list(client.app.models) == ["tags", "b", "a"]
    assert list(client.get("/readyz").json()["models"]) == ["tags", "b", "a"]
    assert client.post("/setup", json={}).json()["model_version"].startswith("lookcloser-tags-")


REFUSED = {
    "nothing there": ("GET", "/nothing", {}, 404, "There is nothing at this address; see /docs."),
    "another method": ("PUT", "/v1/predict", {}, 405, "This address takes another method"),
    "no JSON": (
        *("POST", "/setup", {"content": b'{"a" 1}', "headers": JSON}, 422),
        "The body is not JSON, from character 5 on.",
    ),
    "too deep": (
        *("POST", "/setup", {"content": b"[" * 200_000, "headers": JSON}, 400),
        "The body cannot be read.",
    ),
    "a list": ("POST", "/predict", {"json": []}, 422, "body: input should be a valid dictionary"),
    "no body": ("POST", "/predict", {}, 415, "Send JSON"),
    "nothing, called JSON": (
        *("POST", "/predict", {"headers": {"content-type": "application/json"}}, 422),
        "body: field required.",
    ),
    "nothing in it": ("POST", "/predict", {"json": {}}, 422, "tasks: field required."),
    "no tasks": ("POST", "/predict", {"json": {"tasks": []}}, 422, "tasks: list should have"),
    "a place": ("POST", "/predict", {"json": {"tasks": [{}, 1]}}, 422, "tasks.1: input should be"),
    "a number": ("POST", "/v1/predict?top=0", {"content": b"x"}, 422, "top: input should be gr"),
    "many labels": ("POST", "/v1/predict?top=1001", {"content": b"x"}, 422, "equal to 1000."),
    "all sure": ("POST", "/v1/predict?coverage=1", {"content": b"x"}, 422, "coverage: input"),
    "no number": ("POST", "/v1/predict?coverage=nan", {"content": b"x"}, 422, "coverage: input"),
    "a choice": ("POST", "/v1/predict?sets=x", {"content": b"x"}, 422, "sets: input should be 'l"),
    "a long name": ("POST", f"/v1/predict?model={'a' * 201}", {"content": b"x"}, 422, "model: "),
}


@pytest.mark.parametrize("case", REFUSED)
def test_each_refusal_is_one_sentence_with_its_place(insects, case):
    method, path, request, status, said = REFUSED[case]
    answer = insects.request(method, path, **request)
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem["status"]) == (status, status)
    assert said in problem["detail"]
    assert problem["detail"].endswith(".")
    assert problem.keys() == {"type", "title", "status", "detail"}


def test_another_method_is_told_which_one_to_take(insects):
    assert insects.get("/v1/predict").headers["allow"] == "POST"


def test_faults_are_told_to_photoprism_in_its_words(serve, files, drawing, monkeypatch):
    client = serve(files.onnx)
    served = client.app.models["insects"]
    monkeypatch.setattr(served, "answer", None)
    photo = client.post("/api/v1/vision/labels", json={"images": [drawing.url()]})
    assert photo.status_code == 500
    assert photo.json()["error"] == "The server failed; its log says why."
    assert "error" not in client.post("/v1/predict", content=drawing.file()).json()


def test_the_description_has_our_problems_and_none_of_fastapis(insects):
    document = insects.get("/openapi.json").json()
    assert document["info"]["title"] == "lookcloser"
    schemas = document["components"]["schemas"]
    assert schemas["ProblemSchema"]["required"] == ["type", "title", "status", "detail"]
    assert not {"HTTPValidationError", "ValidationError"} & schemas.keys()
    for path in ("/v1/predict", "/v1/explain", "/predict", "/setup", "/api/v1/vision/labels"):
        responses = document["paths"][path]["post"]["responses"]
        assert {"200", "401", "413", "415", "422", "429", "503", "504"} <= responses.keys()
        for status, answer in responses.items():
            kind = "application/json" if status == "200" else "application/problem+json"
            assert list(answer["content"]) == [kind], (path, status)
    forms = document["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
    assert forms.keys() == {"multipart/form-data", "image/*", "application/octet-stream"}
    assert "/docs" not in document["paths"]


def test_a_server_that_has_its_hands_full_takes_each_body_up_to_its_own_limit(serve, files):
    client = serve(files.onnx, limits=Limits(body=2**29, images=1, queue=1))
    client.app.tide.held = 256 * 2**20  # the default of all bodies together
    assert client.post("/v1/predict", content=b"x").status_code == 422
