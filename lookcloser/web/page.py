"""The page as text: one HTML file, one style sheet, one or two scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from lookcloser.core.drawing.colormaps import COLORMAPS
from lookcloser.report.sources import TEMPLATES as REPORT
from lookcloser.report.sources import VIEWER, environment, gallery_colors, source

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = Path(__file__).parent / "scripts"
STYLES = ("base.css", "viewer.css", "page.css")
COMMON = (
    "heat.js",
    "viewer.js",
    "files.js",
    "decode.js",
    "image.js",
    "panel.js",
    "camera.js",
    "intake.js",
)
WORKER = ("heat.js", "files.js", "decode.js", "resize.js", "answer.js", "search.js", "worker.js")

FOOTER = "Made by lookcloser. A heatmap shows what an answer rests on, not that it is true."

_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


class Asset(NamedTuple):
    """A file of the page.

    Attributes:
        content: Its bytes.
        media_type: For the header Content-Type, with the charset.
    """

    content: bytes
    media_type: str


@cache
def server_page(title: str = "lookcloser") -> Mapping[str, Asset]:
    """The page that a server shows at ``/``, by file name.

    "index.html" is for ``/`` itself; "page.css" and "page.js" lie beside it, at ``/page.css`` and
    ``/page.js``. The page asks for nothing outside its server:

    - ``GET v1/models`` -> ``{"models": [{"name", "task", "classes"}]}``, "classes" being a number
      or a list;
    - ``POST v1/predict?model=NAME&heatmaps=raw`` with the bytes of one image file as the body ->
      ``{"predictions": [prediction]}``, a prediction as `Prediction.to_dict` gives it or with
      "error" set to a text or a problem;
    - errors as ``application/problem+json``, of which "detail", or else "title", is shown;
    - on 401 it asks for a key and sends ``Authorization: Bearer KEY`` from then on.

    With several models it can show two side by side.

    Args:
        title: Heading of the page.
    """
    promise = "Images go to this server, which answers and does not keep them."
    return MappingProxyType(
        page_assets(
            title,
            settings={"engine": "server"},
            scripts=(*COMMON, "remote.js", "page.js"),
            policy={"connect-src": ["'self'"], "script-src": ["'self'"]},
            promise=promise,
        )
    )


def page_assets(
    title: str,
    *,
    settings: Mapping[str, Any],
    scripts: Sequence[str],
    policy: Mapping[str, Sequence[str]],
    promise: str,
    footer: str = FOOTER,
) -> dict[str, Asset]:
    """The files of a page by name; every string in them is escaped.

    Args:
        title: Heading.
        settings: For the script, beside the color maps.
        scripts: Names of the files that "page.js" consists of.
        policy: Sources of the content security policy, beside those of every page.
        promise: What happens to the images.
        footer: The last line.
    """
    allowed = {
        "default-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "img-src": ["blob:", "data:"],
        "style-src": ["'self'"],
        **policy,
    }
    page = environment(TEMPLATES).get_template("page.html.j2")
    html = page.render(
        title=title,
        policy="; ".join(f"{name} {' '.join(sources)}" for name, sources in allowed.items()),
        settings={
            **settings,
            "colormaps": {name: gallery_colors(name) for name in COLORMAPS},
        },
        colormaps=COLORMAPS,
        promise=promise,
        footer=footer,
    )
    texts = {"index.html": html, "page.css": text_of(*STYLES), "page.js": text_of(*scripts)}
    return {name: asset(name, text) for name, text in texts.items()}


def text_of(*names: str) -> str:
    """The text of some files of this page, its viewer's included, one after the other."""
    return source(*names, folders=(SCRIPTS, TEMPLATES, VIEWER, REPORT))


def asset(name: str, text: str) -> Asset:
    """``text`` as a file of that name."""
    # A name of a run that is not valid UTF-8 must not cost the page.
    kind = f"{_KINDS[Path(name).suffix]}; charset=utf-8"
    return Asset(text.encode(errors="replace"), kind)
