"""What can be said of a wish to train before any library is loaded. Loads no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lookcloser.core.errors import UsageError, flag
from lookcloser.core.storage.files import is_there, missing_path, own_path, refuse_url
from lookcloser.training.folder import read_config, refuse_used
from lookcloser.training.options import TrainOptions, make_options


def check_new(
    data: str | Path | None, out: str | Path | None, options: Mapping[str, Any]
) -> tuple[str | Path, TrainOptions]:
    """The data and the options of a new training, if they can be.

    Weights from a file or run are named by their absolute path, so that the training can be resumed
    in any folder.

    Raises:
        LookcloserError: For data that is not there, a folder that is used, and options that do not
            exist or fit.
    """
    if data is None:
        raise UsageError("no data given", fix="Name a folder or table of images")
    chosen = make_options(**options)
    refuse_url(data)
    if not is_there(own_path(data)):
        raise missing_path(data)
    if chosen.weights not in {"pretrained", "none"}:
        chosen = replace(chosen, weights=str(_absolute(chosen.weights)))
    if out is not None:
        refuse_used(own_path(out))
    return data, chosen


def check_resumed(
    resume: str | Path,
    *,
    data: str | Path | None,
    out: str | Path | None,
    options: Mapping[str, Any],
) -> None:
    """See that a run to resume is there, with its data, and nothing but epochs are given beside it.

    Raises:
        LookcloserError: Otherwise.
    """
    given = ["DATA"] * (data is not None) + ["--out"] * (out is not None)
    given += [flag(name) for name in options if name != "epochs"]
    if given:
        raise UsageError(
            f"{resume}: a resumed run keeps its data, folder and options",
            allowed="--epochs, for more of them",
            fix=f"Leave out {', '.join(given)}",
        )
    its, _ = read_config(own_path(resume))
    if not is_there(its):
        raise missing_path(its)


def _absolute(weights: str) -> Path:
    """A run is named itself, not a link to it: ``latest`` is to be another one soon."""
    path = own_path(weights)
    if os.path.isdir(path):
        return path.resolve()
    if is_there(path):
        return path.parent.resolve() / path.name  # a cache may link it to a file without a name
    raise UsageError(
        f"--weights {weights}: no such file or run",
        allowed="pretrained, none, a run folder or a .safetensors file",
    )
