"""train: one option for each field of `TrainOptions`."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from lookcloser.cli import printing
from lookcloser.cli.answer import SKIPPED, known_data
from lookcloser.cli.interrupts import INTERRUPTED
from lookcloser.cli.pairs import read_pairs
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.files import missing_path
from lookcloser.training.kinds import kind_of
from lookcloser.training.options import TrainOptions, make_options


def _read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Values of a YAML file become the defaults; what is typed wins."""
    if path is None:
        return None
    import yaml

    if not path.exists():
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
        values["model_kwargs"] = [f"{key}={value}" for key, value in values["model_kwargs"].items()]
    context.default_map = {**(context.default_map or {}), **values}
    return path


def _train(
    context: typer.Context,
    data: Annotated[str | None, typer.Argument(help="A data set of any layout.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run folder; without it runs/DATA-METHOD.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Continue this run; with --epochs N, to more epochs.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file of options.", callback=_read_config, is_eager=True),
    ] = None,
    **options: Any,
) -> None:
    """Train a recogniser from image-level labels.

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
    from lookcloser.training import processes

    result = run_training(data, out=out, resume=resume, **options)
    if processes.rank() > 0:  # under torchrun, the first speaks for all
        return
    for name, reason in result.skipped.items():
        printing.say(f"skipped: {name}: {reason}")
    scores = result.recognizer.header.scores
    shown = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
    printing.say(f"{result.folder}: best model{f' ({shown})' if shown else ''}")
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


def _as_parameter(item: Field[Any], hint: Any) -> inspect.Parameter:
    """The command-line option of one field."""
    default = item.default
    if item.name == "model_kwargs":
        hint, default = list[str], []
    assert default is not MISSING  # every other field has a plain default
    methods = item.metadata.get("methods")
    panel = f"Only --method {methods.replace(' ', ', ')}" if methods else None
    # "<float,float,float>" does not fit into the column.
    metavar = "R G B" if kind_of(hint).plain is tuple else None
    help_line = typer.Option(help=item.metadata["help"], rich_help_panel=panel, metavar=metavar)
    annotated = Annotated[hint, help_line]
    return inspect.Parameter(
        item.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotated
    )


def _with_options(function: Any) -> Any:
    """``function`` as typer reads it: ``**options`` spelled out from `TrainOptions`."""
    hints = get_type_hints(TrainOptions)
    own = inspect.signature(function, eval_str=True)
    fixed = [item for item in own.parameters.values() if item.kind is not item.VAR_KEYWORD]
    spelled = [_as_parameter(item, hints[item.name]) for item in fields(TrainOptions)]
    function.__signature__ = own.replace(parameters=[*fixed, *spelled])
    function.__annotations__ = {item.name: item.annotation for item in [*fixed, *spelled]}
    return function


train = _with_options(_train)
