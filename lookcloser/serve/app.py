"""The application: models behind routes, routes behind the guard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from lookcloser.serve.answers import answer_routes
from lookcloser.serve.contracts.label_studio import label_studio_routes
from lookcloser.serve.contracts.photoprism import photoprism_routes
from lookcloser.serve.engines.reloading import Reloader
from lookcloser.serve.engines.served import Served
from lookcloser.serve.engines.sources import Source
from lookcloser.serve.http.guard import Guard
from lookcloser.serve.http.pages import page_routes
from lookcloser.serve.http.problems import Problem, json_response, problem_response
from lookcloser.serve.images import give_way
from lookcloser.serve.limits import Access, Limits
from lookcloser.serve.metrics import Metrics
from lookcloser.serve.schemas import HealthSchema, ProblemSchema, ReadySchema
from lookcloser.version import __version__

# What the router and the parser of JSON refuse.
_PLAIN = {
    400: "The body cannot be read.",
    404: "There is nothing at this address; see /docs.",
    405: "This address takes another method; see /docs.",
}


class Service(Guard):
    """A whole server as one ASGI application.

    Args:
        sources: The models, the default first.
        limits: Of requests.
        access: Who may ask.
        device: For models that run on torch.

    Attributes:
        models: By name.
        api: The application behind the guard.

    Raises:
        LookcloserError: For a model that cannot be loaded.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        limits: Limits | None = None,
        access: Access | None = None,
        device: str | None = None,
    ) -> None:
        limits, access, metrics = limits or Limits(), access or Access(), Metrics()
        decoders = ThreadPoolExecutor(
            limits.decoders, thread_name_prefix="decoder", initializer=give_way
        )
        with ExitStack() as opened:
            opened.callback(decoders.shutdown)
            self.models: dict[str, Served] = {}
            for source in sources:
                served = Served(source, limits, metrics, decoders, device)
                opened.callback(served.close)
                self.models[source.name] = served
            self._opened = opened.pop_all()
        self.api = _api(self, limits, access, metrics)
        super().__init__(self.api, limits, access, metrics)

    def close(self) -> None:
        """Answer what was admitted, then end the threads."""
        self._opened.close()


def _api(service: Service, limits: Limits, access: Access, metrics: Metrics) -> FastAPI:
    models = service.models
    reloader = Reloader(list(models.values()))

    @asynccontextmanager
    async def life(_api: FastAPI) -> AsyncIterator[None]:
        reloader.start()
        yield
        reloader.close()
        service.close()

    api = FastAPI(
        title="lookcloser",
        summary="Image recognizers that show where they looked.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=life,
    )
    _say_problems(api)
    api.include_router(answer_routes(models, limits))
    api.include_router(photoprism_routes(models, limits))
    api.include_router(label_studio_routes(models, limits, access))
    _add_health(api, service, metrics)
    api.include_router(page_routes(api))
    return api


def _add_health(api: FastAPI, service: Service, metrics: Metrics) -> None:
    @api.get("/healthz", tags=["health"], summary="Whether it lives", response_model=HealthSchema)
    async def healthz() -> Response:
        return json_response({"status": "alive"})

    @api.get(
        "/readyz",
        tags=["health"],
        summary="Whether it takes requests",
        response_model=ReadySchema,
        responses={503: {"model": ReadySchema}},
    )
    async def readyz() -> Response:
        said = {name: _state(served) for name, served in service.models.items()}
        answer = json_response(
            {"status": "ending" if service.tide.ending else "ready", "models": said}
        )
        answer.status_code = 503 if service.tide.ending else 200
        return answer

    @api.get(
        "/metrics",
        tags=["health"],
        summary="Counters for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def counters() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _state(served: Served) -> str:
    if served.stale:
        return "ready, with the version before: its file was replaced by one that cannot be loaded"
    return "ready"


def _say_problems(api: FastAPI) -> None:
    """Every refusal and every fault is told as problem+json."""

    @api.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        sentence = _PLAIN.get(error.status_code, "") if type(error) is not Problem else ""
        return problem_response(
            error.status_code, sentence or str(error.detail), error.headers, request.url.path
        )

    @api.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return problem_response(422, _sentence(error.errors()), path=request.url.path)

    @api.exception_handler(ClientDisconnect)
    async def gone(request: Request, _error: ClientDisconnect) -> Response:
        return problem_response(400, "The client has gone.", path=request.url.path)

    @api.exception_handler(Exception)
    async def failed(request: Request, _error: Exception) -> Response:
        return problem_response(500, "The server failed; its log says why.", path=request.url.path)

    plain = api.openapi

    def described() -> dict[str, Any]:
        """OpenAPI, with problems in place of FastAPI's own form of errors."""
        if api.openapi_schema is None:
            document = plain()
            schemas = document["components"]["schemas"]
            schemas["ProblemSchema"] = ProblemSchema.model_json_schema()
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
        return api.openapi_schema or plain()

    api.openapi = described  # type: ignore[method-assign]  # as FastAPI's documentation tells


def _sentence(errors: Sequence[Mapping[str, Any]]) -> str:
    """What the first error of a check says, with the place where it is."""
    first = errors[0]
    if first["type"] == "json_invalid":
        return f"The body is not JSON, from character {first['loc'][-1]} on."
    place = ".".join(str(part) for part in first["loc"] if part not in ("query", "body"))
    said = str(first["msg"])
    return f"{place or 'body'}: {said[:1].lower()}{said[1:]}."
