"""predict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.batch import answer_all, refuse
from lookcloser.cli.terminal.options import (
    STDOUT,
    BoxRuleOption,
    DecodingWorkers,
    Device,
    DryRun,
    Engine,
    Processes,
    RayAddress,
    to_disk,
)
from lookcloser.cli.terminal.runs import (
    FAILED,
    SKIPPED,
    AnyRun,
    BatchSize,
    Json,
    known_data,
)
from lookcloser.core.errors import flag
from lookcloser.core.results.showing import answer_line, doubts
from lookcloser.core.wording import count, printable

if TYPE_CHECKING:
    from lookcloser.core import Prediction
    from lookcloser.recognizer import Recognizer
    from lookcloser.runtime.onnx import OnnxRecognizer

MANY = "Many images (--out)"


def _free_table(path: Path | None) -> Path | None:
    """A file that is nobody's, before the work, not after it; or standard output."""
    from lookcloser.core.outputs import check_place

    return path if path in (None, STDOUT) else check_place(path)


def predict(
    run: AnyRun,
    images: Annotated[
        list[str],
        typer.Argument(help="Images, folders or globs; with --out also lists, tables and shards."),
    ],
    top: Annotated[int, typer.Option(min=1, help="Labels per image.")] = 5,
    save: Annotated[
        Path | None,
        typer.Option(help="Save images of the evidence in this folder.", callback=to_disk),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            help="Write a table to this file, or to standard output (-): a row for each label of "
            "each image.",
            callback=_free_table,
        ),
    ] = None,
    json: Json = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Answer any number of images into this folder; run again, it goes on.",
            callback=to_disk,
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
        int | None, typer.Option(min=1, help="Images per file.", rich_help_panel=MANY)
    ] = None,
    box_rule: BoxRuleOption = None,
    batch_size: BatchSize = 16,
    workers: DecodingWorkers = 0,
    device: Device = None,
    coverage: Annotated[
        float | None,
        typer.Option(
            help="Also name every class that may be true: for this share of images like those of "
            "training, e.g. 0.95, the true class is among them."
        ),
    ] = None,
    sets: Annotated[
        str | None,
        typer.Option(
            help="How --coverage builds its sets: lac (small, some empty) or aps (never empty); "
            "default: lac."
        ),
    ] = None,
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
    refuse("predict without --coverage", {"--sets": sets if coverage is None else None})
    promised: dict[str, Any] = {"coverage": coverage, "sets": sets or "lac"}
    if out is not None:
        refuse("--out", {"--save": save, "--csv": csv, "--json": json})
        from lookcloser.batch import How, Job

        answering = How(
            top, **promised, maps=maps, box_rule=box_rule, batch_size=batch_size, workers=workers
        )
        job = Job(run, out, form or "jsonl", answering, device)
        answer_all(job, images, dry_run=dry_run, **many)
        return
    refuse(
        "predict without --out",
        {"--format": form, "--maps": maps, **{flag(name): one for name, one in many.items()}},
    )
    refuse("--csv -", {"--json": json and csv == STDOUT})
    from lookcloser.core.images import find_images
    from lookcloser.core.storage.atomic import make_folder
    from lookcloser.recognizer import load

    recognizer = load(run, device=device, box_rule=box_rule)
    failed, rows, total, answered = 0, [], 0, None
    sources = find_images(images)
    places = _image_names(sources, save)
    if dry_run:
        recognizer.check(**promised)
        outputs = [] if csv in (None, STDOUT) else [csv]
        printing.say_plan(f"answer {count(len(sources), 'image')}", [*places, *outputs])
        return
    if save is not None:
        make_folder(save)
    # Lines on a terminal are progress enough.
    shown = json or csv is not None
    with printing.progress("Answering", shown) as progress, _table_file(csv) as table:
        how: dict[str, Any] = {"top": top, "batch_size": batch_size, "workers": workers}
        for prediction in recognizer.stream(sources, **how, **promised):
            total += 1
            table(prediction)
            if prediction.error is not None:
                failed += 1
                printing.say(f"skipped: {prediction.error}")
            else:
                answered = prediction.path
                _show(prediction, None if save is None else places[total - 1], text=not shown)
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


def _say_written(total: int, failed: int, csv: Path | None, save: Path | None) -> None:
    """How many images are in what was written, and how many are not."""
    if csv not in (None, STDOUT):
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


def _show(prediction: Prediction, place: Path | None, *, text: bool) -> None:
    """Save one answer as an image, print it as a line."""
    if place is not None:
        prediction.save(place)
    if text:
        said = "; ".join([answer_line(prediction), *doubts(prediction)])
        typer.echo(printable(f"{prediction.path}: {said}"))


@contextmanager
def _table_file(path: Path | None) -> Iterator[Callable[[Prediction], None]]:
    """What writes the rows of each answer to a CSV file, which is there once all are."""
    import sys
    from csv import DictWriter

    from lookcloser.core.results.showing import ROW_NAMES
    from lookcloser.core.storage.atomic import replacing
    from lookcloser.core.storage.cells import safe_rows

    def written_to(file: TextIO) -> Callable[[Prediction], None]:
        writer = DictWriter(file, ROW_NAMES, lineterminator="\n" if path == STDOUT else "\r\n")
        writer.writeheader()
        return lambda prediction: writer.writerows(safe_rows(prediction.to_rows()))

    if path is None:
        yield lambda _prediction: None
    elif path == STDOUT:
        yield written_to(sys.stdout)
    else:
        with (
            replacing(path) as temporary,
            temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
        ):
            yield written_to(file)


def _image_names(sources: list[Path], folder: Path | None) -> list[Path]:
    """Where the evidence of each image goes; what would meet another file is numbered."""
    from lookcloser.core.outputs import check_fillable, free_place

    taken: set[str] = set()
    if folder is None:
        return []
    check_fillable(folder)
    return [free_place(folder / f"{source.stem}.png", taken) for source in sources]
