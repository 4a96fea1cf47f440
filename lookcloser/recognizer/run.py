"""Starting and resuming a training, and the folder it lives in."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from lookcloser.core.errors import UsageError
from lookcloser.core.storage.files import own_path
from lookcloser.data import Catalog, parse_columns, read_data, validate_for_training
from lookcloser.evaluation import measured_on_val
from lookcloser.models import read_header
from lookcloser.recognizer.opening import load_run
from lookcloser.recognizer.recognizer import Recognizer
from lookcloser.training.asked import check_new, check_resumed
from lookcloser.training.callbacks.record import (
    Record,
    compare,
    read_record,
    record_of,
    write_record,
)
from lookcloser.training.files import MODEL_FILE
from lookcloser.training.folder import (
    new_run,
    old_run,
    point_latest,
    read_command,
    read_config,
    typed_command,
    write_config,
)
from lookcloser.training.keywords import TrainKeywords
from lookcloser.training.options import TrainOptions, make_options
from lookcloser.training.parallel import processes

__all__ = ["TrainResult", "read_command", "read_config", "run_training", "train"]


@dataclass(frozen=True)
class TrainResult:
    """A finished or interrupted training.

    Attributes:
        recognizer: The best model so far.
        folder: The run.
        interrupted: Whether Ctrl-C ended it.
        epochs: How many are done, those before a break included.
        splits: Those of the data.
        skipped: Training and validation images that could not be read: name -> reason.
        data_wait: Share of the training time spent waiting for data.
    """

    recognizer: Recognizer
    folder: Path
    interrupted: bool
    epochs: int
    splits: tuple[str, ...]
    skipped: dict[str, str]
    data_wait: float


def train(
    data: str | Path | None = None,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    quiet: bool = False,
    **options: Unpack[TrainKeywords],
) -> Recognizer:
    """Train a recognizer from image-level labels.

    Args:
        data: A data set of any layout; see `lookcloser.data.read_data`.
        out: The run folder; None makes ``runs/DATA-METHOD``, numbered where that exists.
        resume: A run folder to continue instead, with the data and options it was started with; the
            result is that of an undisturbed run. With ``epochs`` it goes on to more of them.
        quiet: No progress on stderr.
        **options: As docs/reference.md lists them, e.g. ``backbone="resnet18"``.

    Returns:
        The best model of the run, by the validation split.

    Raises:
        LookcloserError: For data, options or a folder that will not do; nothing is written then. A
            folder that was made here goes again when training fails before its first epoch is kept.
        SystemExit: With 143, after SIGTERM.
    """
    return run_training(data, out=out, resume=resume, quiet=quiet, **options).recognizer


def run_training(
    data: str | Path | None = None,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    quiet: bool = False,
    **options: Unpack[TrainKeywords],
) -> TrainResult:
    """As `train`, with how it went."""
    from lookcloser.training.parallel.launch import outer_group

    with outer_group():
        return _run_training(data, out=out, resume=resume, quiet=quiet, **options)


def _run_training(
    data: str | Path | None,
    *,
    out: str | Path | None,
    resume: str | Path | None,
    quiet: bool,
    **options: Unpack[TrainKeywords],
) -> TrainResult:
    if resume is not None:
        check_resumed(resume, data=data, out=out, options=options)
        folder = own_path(resume)
        data, chosen = read_config(folder)
        chosen = _extended(folder, chosen, options)
    else:
        data, chosen = check_new(data, out, options)
    # The images of a closed form rate it one by one; it needs none left out for validation.
    catalog = _read(data, chosen, 0.0 if chosen.recipe == "closed-form" else chosen.val_share)
    validate_for_training(catalog)
    # From here on the method has its name, also in config.yaml.
    from lookcloser.training.recipes.choice import default_method

    chosen = replace(chosen, method=chosen.method or default_method(chosen, catalog.task))
    with ExitStack() as held:
        if resume is not None:
            processes.first_decides(lambda: held.enter_context(old_run(folder)))
        else:
            place = Path(data), str(chosen.method), out
            folder = processes.first_decides(lambda: held.enter_context(new_run(*place)))
        return _train(catalog, chosen, folder, Path(data), resume=resume is not None, quiet=quiet)


def _read(data: str | Path, options: TrainOptions, val_share: float) -> Catalog:
    return read_data(
        data,
        split_seed=options.seed,
        val_share=val_share,
        test_share=options.test_share,
        skip_missing=options.skip_missing,
        columns=None if options.columns is None else parse_columns(options.columns),
    )


def _extended(folder: Path, chosen: TrainOptions, options: Mapping[str, Any]) -> TrainOptions:
    """The options of a run, with more epochs where that was asked for."""
    epochs = make_options(**options).epochs if options else chosen.epochs
    if epochs < chosen.epochs:
        raise UsageError(
            f"--epochs {epochs}: {folder} was started for {chosen.epochs}",
            allowed="more epochs than before",
        )
    return replace(chosen, epochs=epochs)


def _train(
    catalog: Catalog,
    options: TrainOptions,
    folder: Path,
    data: Path,
    *,
    resume: bool,
    quiet: bool,
) -> TrainResult:
    from rich.console import Console

    from lookcloser.training.pace import shown_on
    from lookcloser.training.recipes.choice import learn

    record = record_of(catalog)
    notes = compare(folder, _record_before(folder, record), record) if resume else []

    def on_start() -> None:
        if not resume:
            write_record(folder, record)
        command = read_command(folder) if resume else typed_command()
        write_config(folder, data, options, command)
        point_latest(folder)
        for note in notes if not quiet else ():
            print(note, file=sys.stderr)

    with shown_on(Console(stderr=True, quiet=quiet)):
        result = learn(
            catalog,
            options,
            folder,
            resume=resume,
            quiet=quiet,
            on_start=on_start,
            val_is_made=lambda: "val" not in _read(data, options, 0.0).splits,
        )
    recognizer = load_run(folder)
    engine = recognizer.trained_engine()
    measured = processes.first_decides(lambda: measured_on_val(engine, catalog))
    if measured:
        recognizer.header = replace(recognizer.header, **measured)
        if processes.rank() == 0:
            recognizer.save(folder / MODEL_FILE)
    return TrainResult(
        recognizer,
        folder,
        result.interrupted,
        result.epochs,
        catalog.splits,
        dict(result.skipped),
        result.data_wait,
    )


def _record_before(folder: Path, now: Record) -> Record:
    """What a run was trained on; of an older run only its classes, or nothing, are known."""
    found = read_record(folder)
    if found is not None:
        return found
    file = folder / MODEL_FILE
    if not file.is_file():
        return Record(now.task, now.names)
    header = read_header(file)
    return Record(header.task, () if header.task == "captioning" else header.names)
