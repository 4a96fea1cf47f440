"""Label Studio's ML backend: pre-annotations of its tasks.

It sends as many tasks as it likes; they are answered some at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from lookcloser.core.types import Prediction
from lookcloser.serve.answers import BODY_PROBLEMS
from lookcloser.serve.contracts.interface import Interface, read_interface
from lookcloser.serve.contracts.task_images import TaskImages
from lookcloser.serve.engines.served import Served
from lookcloser.serve.http.bodies import json_only
from lookcloser.serve.http.problems import Problem, json_response
from lookcloser.serve.images import Upload
from lookcloser.serve.limits import Access, Limits
from lookcloser.serve.schemas import (
    HealthSchema,
    SetupRequest,
    SetupResponse,
    TasksRequest,
    TasksResponse,
)

_TAGS = 20  # of one image


def label_studio_routes(models: Mapping[str, Served], limits: Limits, access: Access) -> APIRouter:
    """The routes of an ML backend; the first model answers.

    Args:
        models: By name, the default first.
        limits: Of a request.
        access: Where images of tasks may be read.
    """
    router = APIRouter(tags=["Label Studio"])
    images = TaskImages(access, limits)
    served = next(iter(models.values()))

    @router.get("/health", summary="Whether it is there", response_model=HealthSchema)
    async def health() -> Response:
        return json_response({"status": "UP", "model_class": "lookcloser"})

    @router.post(
        "/setup",
        summary="Begin with a project",
        response_model=SetupResponse,
        dependencies=[Depends(json_only)],
        responses=BODY_PROBLEMS,
    )
    async def setup(request: SetupRequest) -> Response:
        read_interface(request.label_config)
        return json_response({"model_version": _version(served)})

    @router.post(
        "/predict",
        summary="Pre-annotations of tasks",
        response_model=TasksResponse,
        dependencies=[Depends(json_only)],
        responses=BODY_PROBLEMS,
    )
    async def predict(request: TasksRequest) -> Response:
        interface = read_interface(request.label_config)
        results: list[dict[str, Any]] = []
        for start in range(0, len(request.tasks), limits.images):
            tasks = request.tasks[start : start + limits.images]
            found = [await _image(images, task, interface) for task in tasks]
            answers = await _answers(served, found)
            results += _results(found, answers, interface, _version(served))
        if all("error" in result for result in results):
            raise Problem(422, results[0]["error"])
        return json_response({"results": results})

    return router


async def _image(
    images: TaskImages, task: Mapping[str, Any], interface: Interface
) -> Upload | Problem:
    """The image of a task, or why there is none; the other tasks are answered."""
    data = task.get("data")
    try:
        return await images.find(data.get(interface.field) if isinstance(data, dict) else None)
    except Problem as problem:
        return problem


async def _answers(served: Served, found: Sequence[Upload | Problem]) -> list[Prediction]:
    """The predictions of the images that are there."""
    uploads = [image for image in found if isinstance(image, Upload)]
    top = 1 if served.version.header.task == "classification" else _TAGS
    return await served.answer(uploads, top) if uploads else []


def _results(
    found: Sequence[Upload | Problem],
    answers: Sequence[Prediction],
    interface: Interface,
    version: str,
) -> list[dict[str, Any]]:
    """One for each task, in order; a task without an answer has an empty one and the reason."""
    left = iter(answers)
    results = []
    for image in found:
        answer = next(left) if isinstance(image, Upload) else None
        error = answer.error if answer is not None else str(getattr(image, "detail", ""))
        entries = [] if answer is None or answer.error else interface.results(answer)
        score = max((one["score"] for one in entries), default=0.0)
        said = {"result": entries, "score": score, "model_version": version}
        results.append({**said, "error": error} if error else said)
    return results


def _version(served: Served) -> str:
    return f"lookcloser-{served.name}-{served.version.fingerprint}"
