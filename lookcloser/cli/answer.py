"""predict, evaluate, explain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.batch import answer_all, read_spread, refuse
from lookcloser.cli.terminal.options import (
    BoxRuleOption,
    Columns,
    DecodingWorkers,
    Device,
    DryRun,
    Engine,
    LoadingWorkers,
    Processes,
    RayAddress,
)
from lookcloser.core.errors import LookcloserError, flag
from lookcloser.core.results.showing import answer_line
from lookcloser.core.wording import count, printable

if TYPE_CHECKING:
    from lookcloser.core import Prediction
    from lookcloser.data import Catalog
    from lookcloser.recognizer import Recognizer
    from lookcloser.runtime.onnx import OnnxRecognizer


def existing(run: str | None) -> str | None:
    """A run that is there: said at once, as loading the libraries takes seconds."""
    from lookcloser.core.storage.files import missing_path
    from lookcloser.hub import is_hub, parse_address

    if run is None or run.startswith("timm:"):
        return run
    if is_hub(run):
        parse_address(run)
        return run
    if not Path(run).expanduser().exists():
        raise missing_path(run, "run or model")
    return run


def _free_table(path: Path | None) -> Path | None:
    """A file that is nobody's: before the work, not after it."""
    from lookcloser.core.outputs import check_place

    return None if path is None else check_place(path, "--csv")


Run = Annotated[
    str,
    typer.Argument(help="A run folder, a .safetensors file, or hub:OWNER/NAME.", callback=existing),
]
AnyRun = Annotated[
    str,
    typer.Argument(
        help="A run, a .safetensors or an exported .onnx file, or hub:OWNER/NAME.",
        callback=existing,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Images per forward pass.")]
FAILED, SKIPPED = 1, 3
MANY = "Many images (--out)"
THRESHOLD_FROM = (
    "True boxes that choose where maps are cut: none (a fixed threshold), few:N (N images of val), "
    "val, or split (the scored one, optimistic)."
)

ScoredSplit = Annotated[
    str | None,
    typer.Option(help="train, val, test or all; default: test, else val, else what there is."),
]


def predict(
    run: AnyRun,
    images: Annotated[
        list[str],
        typer.Argument(help="Images, folders or globs; with --out also lists, tables and shards."),
    ],
    top: Annotated[int, typer.Option(min=1, help="Labels per image.")] = 5,
    save: Annotated[
        Path | None, typer.Option(help="Save images of the evidence in this folder.")
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            help="Write a table to this file: a row for each label of each image.",
            callback=_free_table,
        ),
    ] = None,
    json: Json = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Answer any number of images into this folder; given again, it goes on.",
            rich_help_panel=MANY,
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="jsonl, csv or parquet.", rich_help_panel=MANY),
    ] = None,
    maps: Annotated[
        bool, typer.Option("--maps", help="Write heatmaps, too.", rich_help_panel=MANY)
    ] = False,
    engine: Engine = None,
    processes: Processes = None,
    ray_address: RayAddress = None,
    shard: Annotated[
        str | None,
        typer.Option(
            help="Answer one share of the source, e.g. 2/4, into the folder of all.",
            rich_help_panel=MANY,
        ),
    ] = None,
    part_images: Annotated[
        int | None, typer.Option(min=1, help="Images of a file.", rich_help_panel=MANY)
    ] = None,
    box_rule: BoxRuleOption = None,
    batch_size: BatchSize = 16,
    workers: DecodingWorkers = 0,
    device: Device = None,
    coverage: Annotated[
        float | None,
        typer.Option(
            help="Also name every class that may be true, so that this share of images like those "
            "of training, e.g. 0.95, has its class among them."
        ),
    ] = None,
    sets: Annotated[
        str,
        typer.Option(
            help="How --coverage builds its sets: lac (small, some empty) or aps (never empty)."
        ),
    ] = "lac",
    dry_run: DryRun = False,
) -> None:
    """Classify, tag or caption images, and show where the model looked.

    Example: `lookcloser predict runs/birds photos/ --save evidence/`, or
    `lookcloser predict runs/birds photos/ --csv answers.csv`, or
    `lookcloser predict runs/birds photos/ --coverage 0.95`, or
    `lookcloser predict runs/birds archive/ --out answers/`
    """
    many: dict[str, Any] = {
        "engine": engine,
        "processes": processes,
        "ray_address": ray_address,
        "shard": shard,
        "part_images": part_images,
    }
    if out is not None:
        refuse("--out", {"--save": save, "--csv": csv, "--json": json})
        from lookcloser.batch import How, Job

        answering = How(top, coverage, sets, maps, box_rule, batch_size, workers)
        job = Job(run, out, form or "jsonl", answering, device)
        answer_all(job, images, dry_run=dry_run, **many)
        return
    asked = {flag(name): value for name, value in many.items()}
    refuse("predict without --out", {"--format": form, "--maps": maps, **asked})
    from lookcloser.core.images import find_images
    from lookcloser.core.storage.atomic import make_folder
    from lookcloser.recognizer import load

    recognizer = load(run, device=device, box_rule=box_rule)
    failed, rows, total, answered = 0, [], 0, None
    sources = find_images(images)
    pictures = _picture_names(sources, save)
    if dry_run:
        outputs = [] if csv is None else [csv]
        printing.say_plan(f"answer {count(len(sources), 'image')}", [*pictures, *outputs])
        return
    if save is not None:
        make_folder(save)
    # Lines on a terminal are progress enough.
    shown = json or csv is not None
    with printing.progress("Answering", shown) as progress, _table_file(csv) as table:
        how = {"top": top, "batch_size": batch_size, "workers": workers}
        for prediction in recognizer.stream(sources, **how, coverage=coverage, sets=sets):
            total += 1
            table(prediction)
            if prediction.error is not None:
                failed += 1
                printing.say(f"skipped: {prediction.error}")
            else:
                answered = prediction.path
                _show(prediction, None if save is None else pictures[total - 1], text=not shown)
            if json:
                rows.append(prediction.to_dict())
            progress(total, len(sources))
    if json:
        printing.print_json(rows)
    _say_written(total, failed, csv, save)
    if answered is None:
        raise typer.Exit(FAILED)
    if save is None:
        printing.next_step("predict", run, images[0], "--save", "evidence/")
    else:
        _say_next(recognizer, run, answered)
    if failed:
        raise typer.Exit(SKIPPED)


def evaluate(
    run: Run,
    data: Annotated[str, typer.Argument(help="A data set of any layout.")],
    split: ScoredSplit = None,
    columns: Columns = None,
    threshold_from: Annotated[str, typer.Option(help=THRESHOLD_FROM)] = "val",
    views: Annotated[
        str | None,
        typer.Option(
            help="Also rate these views (separated by commas, or all): whether they point at what "
            "the answers depend on, and depend on the weights."
        ),
    ] = None,
    view_images: Annotated[
        int, typer.Option(min=1, help="How many images of the split --views uses.")
    ] = 24,
    json: Json = False,
    box_rule: BoxRuleOption = None,
    batch_size: BatchSize = 32,
    workers: LoadingWorkers = 0,
    device: Device = None,
    engine: Engine = None,
    processes: Processes = None,
    ray_address: RayAddress = None,
    dry_run: DryRun = False,
) -> None:
    """Score a model on a split: its answers and, where the data has boxes, its evidence.

    Example: `lookcloser evaluate runs/birds birds/ --split test`, or
    `lookcloser evaluate runs/birds birds/ --views cam,gradcam`
    """
    from lookcloser.evaluation import read_source
    from lookcloser.recognizer import load_run

    named = None if views is None else view_names(views, "--views")
    read_source(threshold_from)
    spread = read_spread(run, engine, processes, ray_address, device)
    recognizer, rated = load_run(run, device=device, box_rule=box_rule), {}
    catalog = recognizer.catalog(data, columns=columns)
    split = scored_split(catalog, split)
    if dry_run:
        printing.say_plan(f"score {count(len(catalog.split(split)), 'image')} of {split}")
        return
    if named is not None:  # first, as it knows at once which of them the network lacks
        printing.say(f"rating views on up to {count(view_images, 'image')}")
        rated = recognizer.rate_views(
            catalog, split, named, images=view_images, batch_size=batch_size
        )
    with printing.progress("Evaluating") as progress:
        result = recognizer.evaluation(
            catalog,
            split,
            threshold_from=threshold_from,
            evidence=0,
            batch_size=batch_size,
            workers=workers,
            progress=progress,
            spread=spread,
        )
    if json:
        each = {name: scores._asdict() for name, scores in rated.items()}
        printing.print_json({**result.to_dict(), **({"views": each} if rated else {})})
    else:
        printing.print_scores(
            f"{run} on {split} of {data}: {count(len(result.images.correct), 'image')}",
            result.scores,
            result.shifts,
        )
        printing.print_views(rated)
    printing.print_settings(result.settings)
    printing.say_skipped(result.skipped)
    printing.next_step("report", run, data, "--split", split, *columns_again(columns))
    if result.skipped:
        raise typer.Exit(SKIPPED)


def scored_split(catalog: Catalog, asked: str | None) -> str:
    """The split to score: as asked, else test, else the one that is there, which is said."""
    if asked is None and catalog.scored != "test":
        printing.say(f"No split 'test' in the data: taking '{catalog.scored}'")
    return asked or catalog.scored


def columns_again(columns: str | None) -> list[str]:
    """The words that tell the next command of the columns, where this one was told."""
    return [] if columns is None else ["--columns", columns]


def known_data(run: str | Path) -> str:
    """The data set that a run was trained on; "DATA" where that is not known."""
    from lookcloser.recognizer import read_config

    try:
        return read_config(Path(run))[0]
    except LookcloserError:  # a single file of weights
        return "DATA"


def view_names(text: str, option: str) -> list[str]:
    """Views, separated by commas, as they are named; unknown ones are wrong usage."""
    from lookcloser.explain import VIEWS
    from lookcloser.inference.views import check_views

    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise typer.BadParameter(f"{option} names no view. There are: {', '.join(VIEWS)}")
    check_views(names)
    return names


def _say_written(total: int, failed: int, csv: Path | None, save: Path | None) -> None:
    """How many images are in what was written, and how many are not."""
    if csv is not None:
        printing.say(f"{count(total, 'image')} in {csv}")
    if save is not None:
        printing.say(f"{count(total - failed, 'image')} in {save}")
    if failed:
        printing.say(f"{failed} of {count(total, 'image')} could not be read")


def _say_next(recognizer: Recognizer | OnnxRecognizer, run: str, answered: str | Path) -> None:
    """After images: a closer look at an image, or the report of captions, which have no views."""
    from lookcloser.runtime.onnx_file import is_onnx

    if is_onnx(run):
        return  # all that an exported file can do is done
    if recognizer.header.task == "captioning":
        printing.next_step("report", run, known_data(run))
    else:
        printing.next_step("explain", run, answered)


def _show(prediction: Prediction, picture: Path | None, *, text: bool) -> None:
    """Save one answer as an image, print it as a line."""
    if picture is not None:
        prediction.save(picture)
    if text:
        typer.echo(printable(f"{prediction.path}: {answer_line(prediction)}{_doubt(prediction)}"))


@contextmanager
def _table_file(path: Path | None) -> Iterator[Callable[[Prediction], None]]:
    """What writes the rows of each answer to a CSV file, which is there once all are."""
    from csv import DictWriter

    from lookcloser.core.results.showing import ROW_NAMES
    from lookcloser.core.storage.atomic import replacing

    if path is None:
        yield lambda _prediction: None
        return
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = DictWriter(file, ROW_NAMES)
        writer.writeheader()
        yield lambda prediction: writer.writerows(prediction.to_rows())


def _doubt(prediction: Prediction) -> str:
    """What the answer does not know, behind its line."""
    said = ""
    if prediction.candidates is not None:
        names = ", ".join(label.name for label in prediction.candidates) or "none of them"
        said = f"; at {prediction.coverage:.0%} coverage: {names}"
    if prediction.group is not None:
        said += f"; surer of the group {prediction.group.name} ({prediction.group.score:.0%})"
    if prediction.refusal is not None:
        said += f"; perhaps none of these: {prediction.refusal}"
    return said


def _picture_names(sources: list[Path], folder: Path | None) -> list[Path]:
    """Where the evidence of each image goes; what would meet another file is numbered."""
    from lookcloser.core.outputs import free_place

    taken: set[str] = set()
    if folder is None:
        return []
    return [free_place(folder / f"{source.stem}.png", taken) for source in sources]
