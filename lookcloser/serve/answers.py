"""/v1: predict, explain, models."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query, Request
from PIL import Image
from starlette.responses import Response

from lookcloser.core.types import Prediction, Region
from lookcloser.runtime import Promise
from lookcloser.serve.engines.served import Served
from lookcloser.serve.http.bodies import read_uploads
from lookcloser.serve.http.problems import (
    JSON,
    MEDIA_TYPE,
    Problem,
    json_bytes,
    json_response,
)
from lookcloser.serve.images import unreadable
from lookcloser.serve.limits import Limits
from lookcloser.serve.schemas import (
    AnswerSchema,
    ExplanationSchema,
    ModelsSchema,
)

Heatmaps = Literal["raw", "png", "none"]
ModelName = Annotated[
    str | None, Query(description="Which model; without it the first.", max_length=200)
]
HeatmapsOption = Annotated[
    Heatmaps, Query(description="Rows of numbers, a PNG as data URL, or none.")
]
MOST_LABELS = 1000
_MANY_REGIONS = 100  # of which JSON takes longer than other requests should wait
_FILE = {"type": "string", "format": "binary"}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These statuses, as OpenAPI describes them."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemSchema"}}}
    return {status: {"description": "Not answered.", "content": content} for status in statuses}


BODY_PROBLEMS = problems(400, 401, 403, 404, 408, 413, 415, 421, 422, 429, 503, 504)


def _body(several: bool) -> dict[str, Any]:
    images = {"type": "array", "items": _FILE, "minItems": 1} if several else _FILE
    form = {"type": "object", "properties": {"image": images}, "required": ["image"]}
    content = {
        "multipart/form-data": {"schema": {**form, "additionalProperties": False}},
        "image/*": {"schema": {**_FILE, "minLength": 1}},
        "application/octet-stream": {"schema": {**_FILE, "minLength": 1}},
    }
    return {"requestBody": {"required": True, "content": content}}


def answer_routes(models: Mapping[str, Served], limits: Limits) -> APIRouter:
    """The routes of /v1.

    Args:
        models: By name, the default first.
        limits: Of a request.
    """
    router = APIRouter(prefix="/v1", tags=["answers"])

    @router.post(
        "/predict",
        summary="Answer images, with evidence",
        openapi_extra=_body(several=True),
        response_model=AnswerSchema,
        responses=BODY_PROBLEMS,
    )
    async def predict(
        request: Request,
        model: ModelName = None,
        top: Annotated[
            int, Query(ge=1, le=MOST_LABELS, description="Labels, and maps, of an answer.")
        ] = 5,
        heatmaps: HeatmapsOption = "raw",
        coverage: Annotated[
            float | None,
            Query(gt=0, lt=1, description="Also name the classes that may be true, at this share."),
        ] = None,
        sets: Annotated[
            Literal["lac", "aps"], Query(description="Of coverage: small sets, or never empty.")
        ] = "lac",
    ) -> Response:
        served = chosen(models, model)
        uploads = await read_uploads(request, limits.images)
        promise = None if coverage is None else Promise(coverage, sets)
        answers = await served.answer(uploads, top, promise)
        check_any(answers)
        if sum(len(answer.regions) for answer in answers) > _MANY_REGIONS:
            content = await asyncio.to_thread(_answer_json, served.name, answers, heatmaps)
        else:
            content = _answer_json(served.name, answers, heatmaps)
        return Response(content, media_type=JSON)

    @router.post(
        "/explain",
        summary="Look at one image in several ways",
        openapi_extra=_body(several=False),
        response_model=ExplanationSchema,
        responses=BODY_PROBLEMS,
    )
    async def explain(
        request: Request,
        model: ModelName = None,
        view: Annotated[
            str | None, Query(description="Views, separated by commas, or all.", max_length=500)
        ] = None,
        target: Annotated[
            str | None, Query(description="A class; without it the answer.", max_length=500)
        ] = None,
        heatmaps: HeatmapsOption = "raw",
    ) -> Response:
        served = chosen(models, model)
        (upload,) = await read_uploads(request, 1)
        views = [name.strip() for name in (view or "").split(",") if name.strip()]
        found = await served.explain(upload, views or None, target or None)
        seen = {name: _region_dict(region, heatmaps) for name, region in found.items()}
        return json_response({"model": served.name, "views": seen})

    @router.get("/models", summary="What is served", response_model=ModelsSchema)
    async def all_models() -> Response:
        return json_response({"models": [_about(served, models) for served in models.values()]})

    return router


def chosen(models: Mapping[str, Served], name: str | None) -> Served:
    """The model of that name, or the first.

    Raises:
        Problem: 404 for another name.
    """
    if not name:
        return next(iter(models.values()))
    if name not in models:
        raise Problem(404, f"There is no model of that name; there are: {', '.join(models)}.")
    return models[name]


def check_any(answers: list[Prediction]) -> None:
    """Raise a `Problem` where no image could be read; one that can makes it an answer."""
    problems = [
        unreadable(answer.error, answer.error_kind)
        for answer in answers
        if answer.error is not None
    ]
    if len(problems) == len(answers):
        raise max(problems, key=lambda problem: problem.status_code)


def _answer_json(model: str, answers: Sequence[Prediction], heatmaps: Heatmaps) -> bytes:
    """An `AnswerSchema`; with a thousand maps of each image it takes seconds, beside the loop.

    One image after the other: what makes JSON of an object lets nobody else run meanwhile.
    """
    shown = (json_bytes(prediction_dict(answer, heatmaps)) for answer in answers)
    return b'{"model":%b,"predictions":[%b]}' % (json_bytes(model), b",".join(shown))


def prediction_dict(prediction: Prediction, heatmaps: Heatmaps) -> dict[str, Any]:
    """A prediction as JSON, its heatmaps as asked."""
    regions = [_region_dict(region, heatmaps) for region in prediction.regions]
    return {**replace(prediction, regions=()).to_dict(), "regions": regions}


def _region_dict(region: Region, heatmaps: Heatmaps) -> dict[str, Any]:
    if heatmaps == "raw" or region.heatmap is None:
        return region.to_dict()
    plain = replace(region, heatmap=None).to_dict()
    return plain if heatmaps == "none" else {**plain, "heatmap": _png(region)}


def _png(region: Region) -> str:
    """The heatmap as a PNG in gray, 255 for 1, at its own resolution."""
    values = np.rint(np.asarray(region.heatmap) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _about(served: Served, models: Mapping[str, Served]) -> dict[str, Any]:
    version, header = served.version, served.version.header
    backbone = header.arguments.get("backbone")
    return {
        "name": served.name,
        "default": served is next(iter(models.values())),
        "task": header.task,
        "method": header.method,
        "backbone": backbone if isinstance(backbone, str) else None,
        "engine": "onnx" if served.source.exported else "torch",
        "version": version.fingerprint,
        "input": list(header.preprocessing.size),
        "classes": list(header.names),
        "coverage": header.task == "classification" and bool(header.calibration.lac),
        "views": _views(served),
    }


def _views(served: Served) -> list[str]:
    if served.source.exported or served.version.header.task == "captioning":
        return []
    from lookcloser.explain import VIEWS  # torch, which is there then

    return list(VIEWS)
