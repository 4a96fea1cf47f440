"""What can be said of a wish to train before any library is loaded. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lookcloser.core.errors import UsageError, flag
from lookcloser.core.storage.files import expanded, missing_path, refuse_url
from lookcloser.training.folder import read_config, refuse_used
from lookcloser.training.options import TrainOptions, make_options


def check_new(
    data: str | Path | None, out: str | Path | None, options: Mapping[str, Any]
) -> tuple[str | Path, TrainOptions]:
    """The data and the options of a new training, if they can be.

    Raises:
        LookcloserError: For data that is not there, a folder that is used, and options that do not
            exist or fit.
    """
    if data is None:
        raise UsageError("no data given", fix="Name a folder or table of images")
    chosen = make_options(**options)
    refuse_url(data)
    if not expanded(data).exists():
        raise missing_path(data)
    if chosen.weights not in {"pretrained", "none"} and not Path(chosen.weights).exists():
        raise UsageError(
            f"--weights {chosen.weights}: no such file or run",
            allowed="pretrained, none, a run folder or a .safetensors file",
        )
    if out is not None:
        refuse_used(expanded(out))
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
    its, _ = read_config(expanded(resume))
    if not Path(its).exists():
        raise missing_path(its)
