"""The texts that pages are made of: templates, styles, scripts, tables of colors."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lookcloser.core.drawing.colormaps import color_table
from lookcloser.report import scores

TEMPLATES = Path(__file__).parent / "templates"
VIEWER = Path(__file__).parent / "viewer"  # shared with the page of a model, `lookcloser.web`
COLOR_STEPS = 33


def environment(*folders: Path) -> Environment:
    """Where templates come from: ``folders``, the reports, and what the pages share."""
    found = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES, VIEWER]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "percent": scores.percent,
        "number": scores.number,
        "breakable": breakable,
    }
    return found


def breakable(name: str) -> Markup:
    """A name, escaped, that may wrap after its underscores, hyphens, dots and slashes."""
    parts = re.split(r"(?<=[_\-./])", name)
    return Markup("<wbr>").join(parts)


def gallery_colors(name: str) -> list[tuple[int, int, int]]:
    """Evenly spaced colors (red, green, blue in 0–255) of a color map."""
    table = color_table(name).tolist()
    steps = (index / (COLOR_STEPS - 1) for index in range(COLOR_STEPS))
    return [tuple(table[min(255, int(step * 256))]) for step in steps]


def source(*names: str, folders: tuple[Path, ...] = (TEMPLATES, VIEWER)) -> str:
    """The text of some files, one after the other, each from the first folder that has it."""
    found = [
        next(folder / name for folder in folders if (folder / name).is_file()) for name in names
    ]
    return "\n".join(path.read_text(encoding="utf-8") for path in found)
