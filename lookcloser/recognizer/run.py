"""Starting and resuming a training, and the folder it lives in."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from lookcloser.core.atomic import write_text
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.files import missing_path
from lookcloser.data import Catalog, read_data, validate_for_training
from lookcloser.evaluation import choose_box_threshold
from lookcloser.recognizer.recognizer import Recognizer, load_run
from lookcloser.training import processes
from lookcloser.training.files import CHECKPOINT_FILE, CONFIG_FILE, MODEL_FILE
from lookcloser.training.options import DEFAULT_METHODS, TrainOptions, flag, make_options
from lookcloser.version import __version__


@dataclass(frozen=True)
class TrainResult:
    """A finished or interrupted training.

    Attributes:
        recognizer: The best model so far.
        folder: The run.
        interrupted: Whether Ctrl-C ended it.
        skipped: Training images that could not be read: name -> reason.
        data_wait: Share of the training time spent waiting for data.
    """

    recognizer: Recognizer
    folder: Path
    interrupted: bool
    skipped: dict[str, str]
    data_wait: float


def train(
    data: str | Path | None = None,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    quiet: bool = False,
    **options: Any,
) -> Recognizer:
    """Train a recogniser from image-level labels.

    Args:
        data: A data set of any layout; see `lookcloser.data.read_data`.
        out: The run folder; None makes ``runs/DATA-METHOD``, numbered where that exists.
        resume: A run folder to continue instead, with the data and options it was started with; the
            result is that of an undisturbed run.
        quiet: No progress on stderr.
        **options: Fields of `lookcloser.training.TrainOptions`, e.g. ``backbone="resnet18"``.

    Returns:
        The best model of the run, by the validation split.

    Raises:
        LookcloserError: For data, options or a folder that will not do; nothing is written then. A
            folder that was made here goes again when training fails before its first epoch is kept.
    """
    return run_training(data, out=out, resume=resume, quiet=quiet, **options).recognizer


def run_training(
    data: str | Path | None = None,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    quiet: bool = False,
    **options: Any,
) -> TrainResult:
    """As `train`, with how it went."""
    from lookcloser.training.launch import outer_group

    with outer_group():
        return _run_training(data, out=out, resume=resume, quiet=quiet, **options)


def _run_training(
    data: str | Path | None,
    *,
    out: str | Path | None,
    resume: str | Path | None,
    quiet: bool,
    **options: Any,
) -> TrainResult:
    if resume is not None:
        given = ["DATA"] * (data is not None) + ["--out"] * (out is not None)
        given += [flag(name) for name in options]
        if given:
            raise UsageError(
                f"{resume}: a resumed run keeps its data, folder and options",
                fix=f"Leave out {', '.join(given)}",
            )
        folder = Path(resume).expanduser()
        data, chosen = read_config(folder)
    else:
        if data is None:
            raise UsageError("no data given", fix="Name a folder or table of images")
        chosen = make_options(**options)
    catalog = read_data(
        data,
        split_seed=chosen.seed,
        val_share=chosen.val_share,
        test_share=chosen.test_share,
        skip_missing=chosen.skip_missing,
    )
    validate_for_training(catalog)
    if resume is None:
        # From here on the method has its name, also in config.yaml.
        chosen = replace(chosen, method=chosen.method or DEFAULT_METHODS[catalog.task])
        place = Path(data), str(chosen.method), out
        folder = processes.first_decides(lambda: _new_folder(*place))
    return _train(catalog, chosen, folder, Path(data), resume=resume is not None, quiet=quiet)


def read_config(folder: Path) -> tuple[str, TrainOptions]:
    """The data path and the options that a run was started with.

    Raises:
        LookcloserError: For a folder that is no run.
    """
    if not folder.exists():
        raise missing_path(folder, "run")
    file = folder / CONFIG_FILE
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
        return str(config["data"]), make_options(**config["options"])
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise LookcloserError(
            f"{folder}: no readable {CONFIG_FILE} in it, so it is not a run ({error})"
        ) from error


def read_command(folder: Path) -> str:
    """The command line that started a run, "" where it is not known."""
    file = folder / CONFIG_FILE
    config = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return str(config.get("command", ""))


def _train(
    catalog: Catalog,
    options: TrainOptions,
    folder: Path,
    data: Path,
    *,
    resume: bool,
    quiet: bool,
) -> TrainResult:
    from lookcloser.training.fit import fit

    def on_start() -> None:
        if not resume:
            write_text(folder / CONFIG_FILE, _config(data, options))
        _point_latest(folder)

    undone = _undone_on_failure(folder) if processes.rank() == 0 else nullcontext()
    with undone:
        result = fit(catalog, options, folder, resume=resume, quiet=quiet, on_start=on_start)
    recognizer = load_run(folder)
    engine = recognizer.trained_engine()
    threshold = processes.first_decides(lambda: choose_box_threshold(engine, catalog))
    if threshold is not None:
        recognizer.header = replace(recognizer.header, box_threshold=threshold)
        if processes.rank() == 0:
            recognizer.save(folder / MODEL_FILE)
    return TrainResult(
        recognizer, folder, result.interrupted, dict(result.skipped), result.data_wait
    )


def _config(data: Path, options: TrainOptions) -> str:
    program = Path(sys.argv[0]).name
    command = shlex.join([program, *sys.argv[1:]]) if program == "lookcloser" else ""
    values = asdict(options)
    for name in ("mean", "std"):
        values[name] = list(values[name]) if values[name] is not None else None
    config = {
        "lookcloser": __version__,
        "data": str(data.expanduser().resolve()),
        "command": command,
        "options": values,
    }
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True)


def _new_folder(data: Path, method: str, out: str | Path | None) -> Path:
    if out is not None:
        folder = Path(out).expanduser()
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise LookcloserError(
                f"{folder}: exists already and is not empty",
                fix="Choose another --out, or continue with "
                f"`lookcloser train --resume {shlex.quote(str(folder))}`",
            )
        return folder
    base = Path("runs") / f"{data.resolve().stem or 'data'}-{method}"
    folder, number = base, 2
    while folder.exists():
        folder, number = base.with_name(f"{base.name}-{number}"), number + 1
    return folder


@contextmanager
def _undone_on_failure(folder: Path) -> Iterator[None]:
    """Take a folder that is made inside away again when the block fails before a model is in it.

    What was there before stays: the folder, those above it, and where ``latest`` points.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    latest = folder.parent / "latest"
    before = latest.readlink() if latest.is_symlink() else None
    try:
        yield
    except BaseException:
        kept = any((folder / name).exists() for name in (MODEL_FILE, CHECKPOINT_FILE))
        if folder in made and folder.exists() and not kept:
            shutil.rmtree(folder, ignore_errors=True)
            if latest.is_symlink() and latest.readlink() == Path(folder.name):
                _link(latest, before)
            with suppress(OSError):  # something else has come into it meanwhile
                for place in made[1:]:
                    place.rmdir()
        raise


def _point_latest(folder: Path) -> None:
    """``latest`` beside the run points at it, where the file system knows links."""
    link = folder.parent / "latest"
    if link.is_symlink() or not link.exists():
        _link(link, Path(folder.name))


def _link(link: Path, target: Path | None) -> None:
    """``link`` points at ``target`` from now on; None removes it."""
    if target is None:
        link.unlink(missing_ok=True)
        return
    temporary = link.with_name(f".latest-{target.name}")
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target, target_is_directory=True)
        temporary.replace(link)
    except OSError:
        temporary.unlink(missing_ok=True)
