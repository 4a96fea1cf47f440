"""What went wrong, as application/problem+json (RFC 9457) with one sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

JSON, MEDIA_TYPE = "application/json", "application/problem+json"


class Problem(HTTPException):
    """A request that is not answered.

    Args:
        status: Of HTTP.
        sentence: What is wrong and, where there is one, the next step.
        headers: Further headers of the answer.
    """

    def __init__(
        self, status: int, sentence: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, sentence, dict(headers or {}))


def json_bytes(value: Any) -> bytes:
    """JSON; in ASCII where names hold what UTF-8 does not take."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def problem_response(
    status: int, sentence: str, headers: Mapping[str, str] | None = None, path: str = ""
) -> Response:
    """The answer that says what is wrong.

    Args:
        status: Of HTTP.
        sentence: See `Problem`.
        headers: See `Problem`.
        path: That was asked for. PhotoPrism reads "code" and "error" instead, which its paths get
            as well.
    """
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": sentence,
    }
    if path.startswith("/api/v1/vision/"):
        body |= {"code": status, "error": sentence}
    return Response(json_bytes(body), status, dict(headers or {}), MEDIA_TYPE)


def json_response(value: Any) -> Response:
    """An answer."""
    return Response(json_bytes(value), media_type=JSON)
