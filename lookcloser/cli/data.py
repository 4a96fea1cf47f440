"""data check, data shard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.options import to_disk
from lookcloser.cli.terminal.panels import PanelCommand, PanelGroup
from lookcloser.cli.terminal.runs import SKIPPED
from lookcloser.core.choices import TRAITS
from lookcloser.core.wording import count, printable

if TYPE_CHECKING:
    from lookcloser.data import CaptionStatistics, DataReport, TagStatistics

_TAGS_SHOWN = 20
_CLASSES_SHOWN = 100

app = typer.Typer(
    cls=PanelGroup, no_args_is_help=True, help="Check a data set, or pack it into shards."
)


@app.callback()
def root() -> None:
    """Look at a data set."""


@app.command("check", cls=PanelCommand)
def check(
    data: Annotated[str, typer.Argument(help="A folder or table of images.")],
    decode: Annotated[bool, typer.Option(help="Decode every image.")] = True,
    columns: Annotated[
        str | None,
        typer.Option(help="What the columns of a table are, e.g. image=filename,label=species."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Check a data set: what was understood, and what is broken.

    Example: `lookcloser data check birds/`
    """
    from lookcloser.data import check_data, parse_columns, read_data

    given = None if columns is None else parse_columns(columns)
    catalog = read_data(data, skip_missing=True, columns=given)
    with printing.progress("Reading images") as progress:
        report = check_data(catalog, decode=decode, progress=progress)
    if json:
        printing.print_json(report.to_dict())
    else:
        _print_counts(report)
        for note in report.notes:
            typer.echo(printable(note))
        for problem in report.problems:
            typer.echo(printable(f"{problem.severity}: {problem.text}"))
        for name, reason in report.broken:
            typer.echo(printable(f"broken: {name}: {reason}"))
        for name, reason in report.skipped:
            typer.echo(printable(f"missing: {name}: {reason}"))
        for name, reason in report.masks.unusable if report.masks else ():
            typer.echo(printable(f"mask: {name}: {reason}"))
        if not report.problems:
            typer.echo("No problems found.")
    if any(problem.severity == "error" for problem in report.problems):
        raise typer.Exit(1)
    more = [*(["--columns", columns] if columns else [])]
    more += ["--skip-missing"] if report.skipped else []
    printing.next_step("train", data, *more)
    if report.broken or report.skipped:
        raise typer.Exit(SKIPPED)


@app.command("shard", cls=PanelCommand)
def shard(
    data: Annotated[str, typer.Argument(help="A data set of any layout.")],
    out: Annotated[Path, typer.Option(help="The folder to write to.", callback=to_disk)],
    per_shard: Annotated[int, typer.Option(min=1, help="Images per shard.")] = 1000,
    columns: Annotated[
        str | None,
        typer.Option(help="What the columns of a table are, e.g. image=filename,label=species."),
    ] = None,
) -> None:
    """Write a data set as WebDataset shards: few large files instead of many small ones.

    They are read like any other data set, and training on them gives the same weights.
    Example: `lookcloser data shard birds/ --out birds-shards`
    """
    from lookcloser.data import parse_columns, read_as_given, write_shards

    given = None if columns is None else parse_columns(columns)
    catalog = read_as_given(data, columns=given)
    with printing.progress("Writing shards") as progress:
        shards = write_shards(catalog, out, per_shard=per_shard, progress=progress)
    printing.say(
        f"{count(shards.images, 'image')} in {count(len(shards.files), 'shard')}, "
        f"{shards.bytes:,} bytes"
    )
    printing.print_path(shards.folder)
    printing.say_skipped(shards.skipped)
    printing.next_step("train", out)
    if shards.skipped:
        raise typer.Exit(SKIPPED)


def _print_counts(report: DataReport) -> None:
    """What there is, as tables; what is wrong with it comes after them."""
    names = len({name for of in report.counts.values() for name in of})
    traits = TRAITS[report.task]
    kinds = "" if traits.labels == "words" else f", {count(names, traits.noun)}"
    typer.echo(printable(f"{report.root}: {report.layout}, {report.task}{kinds}"))
    columns = ["split", "images"]
    rows = [[split, str(images)] for split, images in report.images.items()]
    if report.tags is not None:
        columns.append("without tags")
        rows = [[*row, str(report.tags.untagged[row[0]])] for row in rows]
    printing.print_table("Images", columns, rows)
    if report.masks is not None:
        typer.echo(f"Masks: of {count(report.masks.count, 'image')}")
    if traits.labels == "one":
        _print_classes(report)
    if report.tags is not None:
        _print_tags(report.tags, report.counts)
    if report.captions is not None:
        _print_captions(report.captions)


def _print_classes(report: DataReport) -> None:
    """Every class with its images; of very many the first, with how many more."""
    names = list(dict.fromkeys(name for of in report.counts.values() for name in of))
    shown = names[:_CLASSES_SHOWN]
    rows = [
        [printable(name), *(str(of[name]) for of in report.counts.values())]
        + ([printable(report.parents.get(name, ""))] if report.parents else [])
        for name in shown
    ]
    title = f"Classes, the first {len(shown)} of {len(names)}" if len(names) > len(shown) else ""
    columns = ["class", *report.counts, *(["group"] if report.parents else [])]
    printing.print_table(title or "Classes", columns, rows)


def _print_tags(tags: TagStatistics, counts: dict[str, dict[str, int]]) -> None:
    least, mean, most = tags.per_image
    typer.echo(f"Tags of an image: {least} to {most}, {mean:.1f} on average")
    shown = list(tags.images.items())[:_TAGS_SHOWN]
    rows = [
        [printable(name), str(n), *(str(of[name]) for of in counts.values())] for name, n in shown
    ]
    more = len(tags.images) - len(shown)
    title = f"Tags, the {len(shown)} most frequent of {len(tags.images)}" if more else "Tags"
    printing.print_table(title, ["tag", "images", *counts], rows)
    if tags.pairs:
        pairs = [
            [
                printable(pair.first),
                printable(pair.second),
                str(pair.images),
                f"{pair.second_given_first:.0%}",
                f"{pair.first_given_second:.0%}",
                f"{pair.lift:.1f}",
            ]
            for pair in tags.pairs
        ]
        columns = ["tag", "with", "images", "P(with | tag)", "P(tag | with)", "lift"]
        printing.print_table("Tags that occur together", columns, pairs, texts=2)


def _print_captions(captions: CaptionStatistics) -> None:
    from lookcloser.data.checking.statistics import RARE_BELOW

    to = printing.plain("…", "to")

    def spread(least: int, mean: float, most: int) -> str:
        return f"{least} {to} {mean:.1f} {to} {most}"

    rows = [
        ["number", f"{captions.captions:,}"],
        [f"of an image (least {to} mean {to} most)", spread(*captions.per_image)],
        ["words of a caption", spread(*captions.words)],
        ["different words", f"{captions.vocabulary:,}"],
        [
            f"of these, fewer than {RARE_BELOW} times",
            f"{captions.rare:,} ({captions.rare_share:.0%})",
        ],
        ["share of the text these make up", f"{captions.rare_text_share:.1%}"],
    ]
    printing.print_table("Captions", ["measure", "value"], rows)
