"""PhotoPrism's vision endpoint: labels and captions of its photos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from lookcloser.core.types import Prediction
from lookcloser.serve.answers import BODY_PROBLEMS, check_any, chosen
from lookcloser.serve.engines.served import Served
from lookcloser.serve.http.bodies import json_only, too_many
from lookcloser.serve.http.problems import Problem, json_response
from lookcloser.serve.images import from_data_url
from lookcloser.serve.limits import Limits
from lookcloser.serve.schemas import VisionRequest, VisionResponse

_SOURCE = "image"
_LABELS = 5


def photoprism_routes(models: Mapping[str, Served], limits: Limits) -> APIRouter:
    """The routes of /api/v1/vision.

    Args:
        models: By name, the default first. A request that names none of them is for the first that
            can answer it: PhotoPrism sends its own names.
        limits: Of a request.
    """
    router = APIRouter(
        prefix="/api/v1/vision", tags=["PhotoPrism"], dependencies=[Depends(json_only)]
    )

    async def answers(request: VisionRequest, served: Served, top: int) -> list[Prediction]:
        if len(request.images) > limits.images:
            raise too_many(limits.images)
        uploads = [from_data_url(url) for url in request.images]
        found = await served.answer(uploads, top)
        check_any(found)
        return [answer for answer in found if answer.error is None]

    @router.post(
        "/labels",
        summary="Labels of one photo",
        response_model=VisionResponse,
        responses=BODY_PROBLEMS,
    )
    async def labels(request: VisionRequest) -> Response:
        served = _able(models, request.model, ("classification", "multilabel"))
        found = await answers(request, served, _LABELS)
        return _response(request, served, "labels", {"labels": _labels(found)})

    @router.post(
        "/caption",
        summary="A caption of one photo",
        response_model=VisionResponse,
        responses=BODY_PROBLEMS,
    )
    async def caption(request: VisionRequest) -> Response:
        served = _able(models, request.model, ("captioning",))
        first = (await answers(request, served, 1))[0]
        said = {"text": first.caption, "source": _SOURCE, "confidence": _confidence(first)}
        return _response(request, served, "caption", {"caption": said})

    return router


def _able(models: Mapping[str, Served], name: str, tasks: tuple[str, ...]) -> Served:
    able = {own: served for own, served in models.items() if served.version.header.task in tasks}
    if not able:
        raise Problem(422, f"No model here answers {' or '.join(tasks)}.")
    return chosen(able, name if name in able else None)


def _response(
    request: VisionRequest, served: Served, kind: str, result: dict[str, Any]
) -> Response:
    header = served.version.header
    model = {
        "type": kind,
        "name": served.name,
        "version": served.version.fingerprint,
        "resolution": header.preprocessing.size[0],
    }
    return json_response({"id": request.id, "code": 200, "model": model, "result": result})


def _labels(answers: list[Prediction]) -> list[dict[str, Any]]:
    """The labels of all images of a photo, each with its highest score, best first."""
    best: dict[str, float] = {}
    for answer in answers:
        for label in answer.labels:
            best[label.name] = max(label.score, best.get(label.name, 0.0))
    ranked = sorted(best.items(), key=lambda item: -item[1])
    return [
        {
            "name": name,
            "source": _SOURCE,
            "priority": 0,
            "confidence": score,
            "topicality": score,
            "categories": [],
        }
        for name, score in ranked
    ]


def _confidence(answer: Prediction) -> float:
    """The mean score of the words; 0 of an empty caption."""
    scores = [region.score for region in answer.regions]
    return sum(scores) / len(scores) if scores else 0.0
