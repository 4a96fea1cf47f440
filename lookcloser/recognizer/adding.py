"""More images for a model in closed form, by its run or file."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.files import is_there, missing_path, own_path
from lookcloser.core.storage.locks import only_one
from lookcloser.data import Catalog, read_as_trained
from lookcloser.models import read_header
from lookcloser.models.package import model_place
from lookcloser.runtime.onnx_file import is_onnx
from lookcloser.training.files import MODEL_FILE

if TYPE_CHECKING:
    from lookcloser.training.recipes.adding import Added


def add(
    run: str | Path,
    data: str | Path | Catalog,
    *,
    out: str | Path | None = None,
    columns: str | None = None,
) -> Added:
    """Add images to a closed-form model: new classes, or more of known ones.

    The old images are not needed: the result is the same as training on all of them.
    A data set that brings a test or val split along keeps it: only what is for training is added.

    Args:
        run: A run folder or a model file.
        data: A data set of any layout, one class is enough, or a `Catalog`.
        out: Where the model is written; None replaces the one of the run.
        columns: What the columns of a table are; see `lookcloser.data.read_as_trained`.

    Returns:
        What was added.

    Raises:
        LookcloserError: For a model that was not solved in closed form, data that does not fit, an
            ``out`` that is there and no model, and while a training or another `add` is at work in
            the folder of a model to be replaced.
    """
    from lookcloser.training.recipes.adding import add_images

    path = own_path(run)
    if not is_there(path):
        raise missing_path(path, "run or model")
    file = path / MODEL_FILE if path.is_dir() else path
    if not file.is_file():
        raise LookcloserError(f"{path}: no {MODEL_FILE} in this folder", fix="Give a run folder")
    if is_onnx(file):
        raise LookcloserError(
            f"{path}: an exported file, which remembers no images",
            fix="Add them to the run that it was made of, then export that again",
        )
    place = file if out is None else model_place(out)
    # What two would add to the same model at once, only one of them would.
    alone = only_one(place.parent, "another one") if place.exists() else nullcontext()
    with alone:
        if not isinstance(data, Catalog):
            header = read_header(file)
            data = read_as_trained(data, header, columns=columns, val_share=0.0, test_share=0.0)
        return add_images(file, data, place)
