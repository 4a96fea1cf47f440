"""The folder that a run lives in: how it is begun, claimed, and found again. Loads no torch."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from lookcloser.core.errors import LookcloserError
from lookcloser.core.outputs import is_empty
from lookcloser.core.storage.atomic import make_folder, refused, write_text
from lookcloser.core.storage.files import is_there, missing_path, own_path
from lookcloser.core.storage.locks import LOCK_FILE, only_one
from lookcloser.training.files import CHECKPOINT_FILE, CONFIG_FILE, MODEL_FILE
from lookcloser.training.options import TrainOptions, make_options
from lookcloser.version import __version__

_OTHER = "another training"


def read_config(folder: Path) -> tuple[str, TrainOptions]:
    """The data path and the options that a run was started with.

    Raises:
        LookcloserError: For a folder that is no run.
    """
    if not is_there(folder):
        raise missing_path(folder, "run")
    try:
        config = _config_in(folder)
        data, options = str(config["data"]), dict(config["options"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError) as error:
        lacking = isinstance(error, KeyError | TypeError)
        reason = "without 'data' and 'options'" if lacking else str(error)
        raise LookcloserError(
            f"{folder}: no readable {CONFIG_FILE} in it, so it is not a run ({reason})"
        ) from error
    return data, make_options(**{str(name): value for name, value in options.items()})


def read_command(folder: Path) -> str:
    """The command line that started a run, "" where it is not known."""
    try:
        return str(_config_in(folder).get("command", ""))
    except (OSError, yaml.YAMLError, AttributeError, ValueError, RecursionError):
        return ""


def _config_in(folder: Path) -> Any:
    """What config.yaml holds; of a date that is none the reader raises a bare ValueError."""
    file = folder / CONFIG_FILE
    if file.exists() and not file.is_file():  # a pipe would be waited for
        raise OSError(f"{file} is not an ordinary file")
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def write_config(folder: Path, data: str | Path, options: TrainOptions, command: str) -> None:
    """What `read_config` and `read_command` read, atomically."""
    config = {
        "lookcloser": __version__,
        "data": str(own_path(data).resolve()),
        "command": command,
        "options": options.to_dict(),
    }
    write_text(folder / CONFIG_FILE, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def typed_command() -> str:
    """The command line of this process, "" where it was not the program's."""
    program = Path(sys.argv[0]).name
    return shlex.join([program, *sys.argv[1:]]) if program == "lookcloser" else ""


@contextmanager
def new_run(data: Path, method: str, out: str | Path | None) -> Iterator[Path]:
    """A folder for a new run, which nobody else gets while the block lasts.

    When the block fails before there is a model, everything is as it was: the folder, those above
    it, and where ``latest`` points.

    Args:
        data: The data set, whose name a folder without a name gets.
        method: Likewise.
        out: The folder that is wanted; None makes ``runs/DATA-METHOD``, numbered where that exists.

    Raises:
        LookcloserError: If something is in the folder, or another training is at work there.
    """
    if out is not None:
        folder = own_path(out)
        above = [place for place in (folder, *folder.parents) if not place.exists()]
        make_folder(folder)
    else:
        folder, above = _unnamed(Path("runs") / f"{data.resolve().stem or 'data'}-{method}")
    with only_one(folder, _OTHER):
        refuse_used(folder)
        with _undone_on_failure(folder, above):
            yield folder


def refuse_used(folder: Path) -> None:
    """Raise a `LookcloserError` where there is anything in the folder of a new run."""
    if folder.exists() and (not folder.is_dir() or not is_empty(folder, besides=(LOCK_FILE,))):
        again = f"`lookcloser train --resume {shlex.quote(str(folder))}`"
        is_run = (folder / CONFIG_FILE).is_file()
        raise LookcloserError(
            f"{folder}: exists already and is not {'empty' if folder.is_dir() else 'a folder'}",
            fix=f"Choose another --out{f', or continue with {again}' if is_run else ''}",
        )


@contextmanager
def old_run(folder: Path) -> Iterator[Path]:
    """The folder of a run that goes on, which nobody else gets while the block lasts.

    Raises:
        LookcloserError: If a training is at work there.
    """
    with only_one(folder, _OTHER):
        yield folder


def point_latest(folder: Path) -> None:
    """``latest`` beside the run points at it, where that can be written and links are known."""
    link = folder.parent / "latest"
    with suppress(OSError):  # a convenience: no run fails for it
        if link.is_symlink() or not link.exists():
            _link(link, Path(folder.name))


def _unnamed(base: Path) -> tuple[Path, list[Path]]:
    """The first free folder of a name, made, and which of it and those above were not there."""
    above = [place for place in base.parents if not place.exists()]
    make_folder(base.parent)
    folder, number = base, 2
    while True:
        try:
            folder.mkdir()
        except FileExistsError:  # also where another training has just made it
            folder, number = base.with_name(f"{base.name}-{number}"), number + 1
        except OSError as error:
            raise refused(folder, error) from error
        else:
            return folder, [folder, *above]


@contextmanager
def _undone_on_failure(folder: Path, made: list[Path]) -> Iterator[None]:
    """Take away what came into an empty ``folder``, and those ``made``, when the block fails."""
    latest = folder.parent / "latest"
    before = latest.readlink() if latest.is_symlink() else None
    try:
        yield
    except BaseException:
        kept = any((folder / name).exists() for name in (MODEL_FILE, CHECKPOINT_FILE))
        if not kept:
            _clear(folder)
            with suppress(OSError):
                if latest.is_symlink() and latest.readlink() == Path(folder.name):
                    _link(latest, before)
            with suppress(OSError):  # something else has come into it meanwhile
                for place in made:
                    place.rmdir()
        raise


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name == "lost+found":
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            with suppress(OSError):
                entry.unlink()


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
        raise
