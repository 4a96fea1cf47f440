"""What is given where a run or a model belongs: said before anything is loaded, without torch."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.files import (
    is_image_name,
    is_there,
    missing_path,
    own_path,
    refuse_url,
    subfolders,
)
from lookcloser.core.wording import named
from lookcloser.training.files import CONFIG_FILE, MODEL_FILE


def given_place(path: str | Path) -> Path:
    """Where a run or model is that was given by its path.

    Raises:
        LookcloserError: For a URL, for what is not there, and for an image: whoever gives one here
            has most likely changed the order of the two.
    """
    refuse_url(path)
    place = own_path(path)
    if not is_there(place):
        raise missing_path(path, "run or model")
    if place.is_file() and is_image_name(place.name):
        raise LookcloserError(
            f"{path}: an image, not a run or model",
            allowed="a run folder, a .safetensors or exported .onnx file",
            fix="The run comes first, then the images: `lookcloser predict RUN IMAGE`",
        )
    return place


def no_model(path: str | Path) -> LookcloserError:
    """The error for a folder without a model: it names the runs that lie in it."""
    folder = own_path(path)
    names: list[str] = []
    with suppress(OSError):
        names = subfolders(folder)
    runs = [os.fspath(Path(path) / name) for name in names if (folder / name / MODEL_FILE).exists()]
    if runs:
        fix = f"Give one of the runs in it: {named(runs)}"
    elif names and not (folder / CONFIG_FILE).exists():  # most likely the data
        fix = "Give the folder of a run; `lookcloser train DATA --out RUN` makes one"
    else:
        fix = (
            "Give a run folder; a training that broke off early goes on with "
            f"`lookcloser train --resume {shlex.quote(str(path))}`"
        )
    return LookcloserError(f"{path}: no {MODEL_FILE} in this folder", fix=fix)
