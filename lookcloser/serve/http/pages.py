"""Pages for people, without any address outside of the server."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Sequence
from html import escape
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from lookcloser.web import Asset, server_page

_DOCS = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="/docs.css">
<main>
<h1>{title} {version}</h1>
<p>{summary} To try it: <a href="/">the page</a>.
For programs: <a href="/openapi.json">openapi.json</a>.</p>
{example}
{operations}
<h2>Objects</h2>
{schemas}
</main>
</html>
"""
_STYLE = """:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
main { overflow-wrap: anywhere; }
pre { white-space: pre-wrap; border: 1px solid #8886; border-radius: .3rem; padding: .6rem; }
table { border-collapse: collapse; margin-bottom: 1rem; }
td, th { text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0; }
td { border-top: 1px solid #8883; }
h2 { margin-top: 2.5rem; }
:target { background: #fd06; }
"""


def page_routes(api: FastAPI) -> APIRouter:
    """The page that answers images, and the description of the API.

    Args:
        api: What is described.
    """
    router = APIRouter(include_in_schema=False)
    for path, asset in _assets().items():
        _add_asset(router, path, asset)

    @router.get("/docs")
    async def docs(request: Request) -> Response:
        return HTMLResponse(docs_page(api.openapi(), str(request.base_url)))

    @router.get("/docs.css")
    async def style() -> Response:
        return Response(_STYLE, media_type="text/css")

    return router


def _assets() -> dict[str, Asset]:
    """The files of the page by their paths."""
    page = server_page()
    return {"/" if name == "index.html" else f"/{name}": asset for name, asset in page.items()}


PAGES = frozenset({"/docs", "/docs.css", *_assets()})


def _add_asset(router: APIRouter, path: str, asset: Asset) -> None:
    @router.get(path)
    async def content() -> Response:
        return Response(asset.content, media_type=asset.media_type)


def docs_page(document: dict[str, Any], address: str) -> str:
    """An OpenAPI document as HTML, without scripts.

    Args:
        document: What is described.
        address: Of the server, ending with a slash, for an example.
    """
    info = document["info"]
    operations = [
        _operation(method, path, operation, document["components"]["schemas"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = [
        f'<h3 id="{escape(name)}">{escape(name)}</h3>'
        f"<pre>{escape(json.dumps(schema, indent=1))}</pre>"
        for name, schema in document["components"]["schemas"].items()
    ]
    return _DOCS.format(
        title=escape(info["title"]),
        version=escape(info["version"]),
        summary=escape(info.get("summary", "")),
        example=f"<pre>{escape(_example(address))}</pre>",
        operations="\n".join(operations),
        schemas="\n".join(schemas),
    )


def _example(address: str) -> str:
    words = ["curl", "--data-binary", "@photo.jpg", f"{address}v1/predict?top=3&heatmaps=none"]
    return shlex.join(words)


def _operation(method: str, path: str, operation: dict[str, Any], objects: Collection[str]) -> str:
    parts = [
        f"<h2><code>{method.upper()} {escape(path)}</code></h2>",
        f"<p>{escape(operation['summary'])}.</p>",
    ]
    rows = [
        (given["name"], _kind(given["schema"]), given.get("description", ""))
        for given in operation.get("parameters", ())
    ]
    parts.append(_table(("query", "kind", "meaning"), rows, objects))
    body = operation.get("requestBody", {}).get("content", {})
    bodies = [(kind, _kind(own["schema"])) for kind, own in body.items()]
    parts.append(_table(("body", "kind"), bodies, objects))
    answers = _answers(operation["responses"])
    parts.append(_table(("answer", "kind", "status"), answers, objects))
    return "\n".join(parts)


def _answers(responses: dict[str, Any]) -> list[tuple[str, str, str]]:
    """A row for each form of answer, with the statuses that have it, named."""
    statuses: dict[tuple[str, str], list[str]] = {}
    for status, answer in responses.items():
        form = ", ".join(answer.get("content", {})), _kinds(answer)
        statuses.setdefault(form, []).append(f"{status} {HTTPStatus(int(status)).phrase}")
    return [(*form, ", ".join(named)) for form, named in statuses.items()]


def _kinds(answer: dict[str, Any]) -> str:
    return ", ".join(_kind(own.get("schema", {})) for own in answer.get("content", {}).values())


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        words = " | ".join(map(str, schema["enum"]))
    elif "anyOf" in schema:
        words = " | ".join(_kind(one) for one in schema["anyOf"] if one.get("type") != "null")
    elif "properties" in schema:
        words = ", ".join(f"{name}: {_kind(own)}" for name, own in schema["properties"].items())
    elif "items" in schema:
        words = f"{_kind(schema['items'])}, one or several"
    else:
        words = str(schema.get("format") or schema.get("type", ""))
    default = schema.get("default")
    return words if default is None else f"{words} (default {default})"


def _table(
    heads: tuple[str, ...], rows: Sequence[tuple[str, ...]], objects: Collection[str]
) -> str:
    if not rows:
        return ""
    lines = ["<tr>" + "".join(f"<th scope=col>{escape(head)}</th>" for head in heads) + "</tr>"]
    for row in rows:
        cells = "".join(f"<td>{_cell(cell, objects)}</td>" for cell in row)
        lines.append(f"<tr>{cells}</tr>")
    return "<table>" + "\n".join(lines) + "</table>"


def _cell(text: str, objects: Collection[str]) -> str:
    """A cell; the name of an object leads to it."""
    said = escape(text)
    return f'<a href="#{quote(text)}">{said}</a>' if text in objects else said
