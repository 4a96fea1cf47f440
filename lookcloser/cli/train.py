"""train: one option for each that is declared, of training and of the methods."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.interrupts import INTERRUPTED
from lookcloser.cli.terminal.options import to_disk
from lookcloser.cli.terminal.pairs import read_pairs
from lookcloser.cli.terminal.runs import SKIPPED, known_data
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.options import Declared, declared
from lookcloser.core.storage.files import is_there, missing_path
from lookcloser.models.registry import METHODS, methods_with
from lookcloser.training.options import TrainOptions, make_options, own_options


def _read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Values of a YAML file become the defaults; what is typed wins."""
    if path is None:
        return None
    import yaml

    if not is_there(path):
        raise missing_path(path, "file")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LookcloserError(f"{path}: not a readable YAML file ({error})") from error
    values = values.get("options", values) if isinstance(values, dict) else values
    if not isinstance(values, dict):
        raise UsageError(f"{path}: not lines of options", allowed="lines like `epochs: 30`")
    try:
        make_options(**{str(name): value for name, value in values.items()})
    except UsageError as error:
        raise UsageError(f"{path}: {error.what}", allowed=error.allowed, fix=error.fix) from error
    if isinstance(values.get("model_kwargs"), dict):
        values["model_kwargs"] = [
            f"{key}={json.dumps(value, default=str)}"
            for key, value in values["model_kwargs"].items()
        ]
    context.default_map = {**(context.default_map or {}), **values}
    return path


def _train(
    context: typer.Context,
    data: Annotated[str | None, typer.Argument(help="A data set of any layout.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The run folder; default: runs/DATA-METHOD.", callback=to_disk),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Continue this run; with --epochs N, for more epochs.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file of options.", callback=_read_config, is_eager=True),
    ] = None,
    **options: Any,
) -> None:
    """Train a recognizer from image-level labels.

    Example: `lookcloser train birds/ --backbone resnet50 --epochs 30 --out runs/birds`
    """
    from lookcloser.training.asked import check_new, check_resumed

    options["model_kwargs"] = read_pairs(options["model_kwargs"], "--model-kwargs")
    if resume is None:
        check_new(data, out, options)
    else:  # what was given beside it is refused, with its name
        options = {**options, "config": config}
        options = {name: value for name, value in options.items() if _is_given(context, name)}
        check_resumed(resume, data=data, out=out, options=options)

    # Only now, as loading the libraries takes seconds.
    from lookcloser.recognizer import run_training
    from lookcloser.training.parallel import processes

    result = run_training(data, out=out, resume=resume, **options)
    if processes.rank() > 0:  # under torchrun, the first speaks for all
        return
    printing.say_skipped(result.skipped.items())
    scores = result.recognizer.header.scores
    shown = ", ".join(f"{name} {value:z.4f}" for name, value in scores.items())
    # Without a score there was no epoch to compare, or nothing to compare it on.
    kept = f"best model ({shown})" if shown else "model as trained last"
    printing.say(f"{result.folder}: {kept}")
    if result.interrupted:
        printing.next_step("train", "--resume", result.folder)
        raise typer.Exit(INTERRUPTED)
    # What was not trained on, where the data has it.
    split = next(name for name in ("test", "val", "train") if name in result.splits)
    chosen = [] if split == "test" else ["--split", split]
    printing.next_step("report", result.folder, data or known_data(result.folder), *chosen)
    if result.skipped:
        raise typer.Exit(SKIPPED)


def _is_given(context: typer.Context, name: str) -> bool:
    """Whether an option was typed, or set in the --config file."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _with_options(function: Any) -> Any:
    """``function`` as typer reads it: ``**options`` spelled out from what is declared."""
    own = inspect.signature(function, eval_str=True)
    fixed = [item for item in own.parameters.values() if item.kind is not item.VAR_KEYWORD]
    general = sorted(declared(TrainOptions).values(), key=lambda item: item.name != "method")
    spelled = [_as_parameter(item) for item in general]
    spelled += [_as_parameter(item, methods_with(name)) for name, item in own_options().items()]
    function.__signature__ = own.replace(parameters=[*fixed, *spelled])
    function.__annotations__ = {item.name: item.annotation for item in [*fixed, *spelled]}
    return function


def _as_parameter(item: Declared, methods: Sequence[str] = ()) -> inspect.Parameter:
    """The command-line option of one declared option, of all methods or of some."""
    hint, default, words = item.hint, item.default, in_a_shell(item.help)
    if item.kind.plain is dict:
        hint, default = list[str], []
    elif item.kind.choices:  # a wrong one gets the same error as in Python and in config.yaml
        hint = str | None if item.kind.optional else str
    if methods:  # None is the method's own default, which may be another one for each
        hint, default, words = hint | None, None, f"{words}{_defaults(item.name)}"
    line = typer.Option(
        help=words,
        rich_help_panel=f"Only --method {', '.join(methods)}" if methods else None,
        metavar=_metavar(item),
        show_default=not methods,
    )
    return inspect.Parameter(
        item.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[hint, line],
    )


def in_a_shell(text: str) -> str:
    """The help of an option without Python's word for one that is not given."""
    return text.replace(". None: ", ". Default: ").replace("None: ", "default: ")


def _metavar(item: Declared) -> str | None:
    """What stands for the value: the words to choose from, or something short."""
    if item.kind.plain is tuple:  # "<float,float,float>" does not fit into the column
        return "R G B"
    return "|".join(item.kind.choices) or None


def _defaults(name: str) -> str:
    """A sentence with the default of a method's option, and of which methods where they differ."""
    found: dict[Any, list[str]] = {}
    for method in methods_with(name):
        found.setdefault(METHODS[method].own[name].default, []).append(method)
    said = [str(value).lower() for value in found]
    if len(found) > 1:
        said = [f"{v} of {', '.join(names)}" for v, names in zip(said, found.values(), strict=True)]
    return "" if said == ["none"] else f" Default: {'; '.join(said)}."


train = _with_options(_train)
