"""predict, evaluate, explain."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from lookcloser.cli import printing
from lookcloser.cli.pairs import read_pairs
from lookcloser.core.errors import LookcloserError
from lookcloser.core.wording import count, printable

if TYPE_CHECKING:
    from lookcloser.core import Prediction, Region
    from lookcloser.data import Catalog
    from lookcloser.recognizer import Recognizer
    from lookcloser.runtime.onnx import OnnxRecognizer


def _existing(run: str | None) -> str | None:
    """A run that is there: said at once, as loading the libraries takes seconds."""
    from lookcloser.core.files import missing_path

    if run is None or run.startswith("timm:"):
        return run
    if not Path(run).expanduser().exists():
        raise missing_path(run, "run or model")
    return run


Run = Annotated[
    str, typer.Argument(help="A run folder or a .safetensors file.", callback=_existing)
]
AnyRun = Annotated[
    str,
    typer.Argument(help="A run, a .safetensors or an exported .onnx file.", callback=_existing),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Images per forward pass.")]
FAILED, SKIPPED = 1, 3
THRESHOLD_FROM = (
    "Whose boxes choose the thresholds of maps: none (a fixed one), few:N (N images of val), val, "
    "or split (the scored one, optimistic)."
)

ScoredSplit = Annotated[
    str | None,
    typer.Option(help="train, val, test or all; without it test, else val, else what there is."),
]

T = TypeVar("T")


def predict(
    run: AnyRun,
    images: Annotated[list[str], typer.Argument(help="Images, folders or globs.")],
    top: Annotated[int, typer.Option(min=1, help="Labels per image.")] = 5,
    save: Annotated[Path | None, typer.Option(help="Write pictures of the evidence here.")] = None,
    json: Json = False,
    batch_size: BatchSize = 16,
    coverage: Annotated[
        float | None,
        typer.Option(
            help="Also name the classes that may be true: of images like those of training this "
            "share, e.g. 0.95, has its class among them."
        ),
    ] = None,
    sets: Annotated[
        str,
        typer.Option(help="Of --coverage: lac (small sets, some empty) or aps (never empty)."),
    ] = "lac",
) -> None:
    """Answer images, and show where the model looked.

    Example: `lookcloser predict runs/birds photos/ --save evidence/`, or
    `lookcloser predict runs/birds photos/ --coverage 0.95`
    """
    from lookcloser.core.atomic import make_folder
    from lookcloser.core.images import find_images
    from lookcloser.recognizer import load

    recognizer = load(run)
    failed, rows, total, answered = 0, [], 0, None
    sources = find_images(images)
    pictures = _picture_names(sources, save)
    if save is not None:
        make_folder(save)
    given = {"top": top, "batch_size": batch_size}
    for prediction in recognizer.stream(sources, **given, coverage=coverage, sets=sets):
        total += 1
        if prediction.error is not None:
            failed += 1
            printing.say(f"skipped: {prediction.error}")
        else:
            answered = prediction.path
            _show(prediction, None if save is None else pictures[total - 1], text=not json)
        if json:
            rows.append(prediction.to_dict())
    if json:
        printing.print_json(rows)
    if save is not None:
        printing.say(f"{count(total - failed, 'picture')} in {save}")
    if failed:
        printing.say(f"{failed} of {count(total, 'image')} could not be read")
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
    threshold_from: Annotated[str, typer.Option(help=THRESHOLD_FROM)] = "val",
    views: Annotated[
        str | None,
        typer.Option(
            help="Also rate views, separated by commas, or all that the network has: whether they "
            "point at what the answers depend on, and depend on the weights."
        ),
    ] = None,
    view_images: Annotated[
        int, typer.Option(min=1, help="Of --views: how many images, drawn from the split.")
    ] = 24,
    json: Json = False,
    batch_size: BatchSize = 32,
    workers: Annotated[int, typer.Option(min=0, help="Loading processes.")] = 0,
) -> None:
    """Score a model on a split: its answers and, where the data has boxes, its evidence.

    Example: `lookcloser evaluate runs/birds birds/ --split test`, or
    `lookcloser evaluate runs/birds birds/ --views cam,gradcam`
    """
    from lookcloser.data import read_as_trained
    from lookcloser.evaluation import read_source
    from lookcloser.recognizer import load_run

    named = None if views is None else _view_names(views, "--views")
    read_source(threshold_from)
    recognizer, rated = load_run(run), {}
    catalog = read_as_trained(data, recognizer.header)
    split = scored_split(catalog, split)
    if named is not None:  # first, as it knows at once which of them the network lacks
        printing.say(f"rating views on up to {count(view_images, 'image')}")
        rated = recognizer.rate_views(
            catalog, split, named, images=view_images, batch_size=batch_size
        )
    result = recognizer.evaluation(
        catalog, split, threshold_from=threshold_from, batch_size=batch_size, workers=workers
    )
    if json:
        each = {name: scores._asdict() for name, scores in rated.items()}
        printing.print_json({**result.metrics, **({"views": each} if rated else {})})
    else:
        printing.print_scores(
            f"{run} on {split} of {data}: {count(len(result.answers), 'image')}",
            result.metrics,
            result.intervals,
        )
        printing.print_views(rated)
    printing.print_settings(result.settings)
    for name, reason in result.skipped:
        printing.say(f"skipped: {name}: {reason}")
    printing.next_step("report", run, data, "--split", split)
    if result.skipped:
        raise typer.Exit(SKIPPED)


def explain(
    run: Annotated[
        str | None,
        typer.Argument(help="A run folder, a .safetensors file, or timm:NAME.", callback=_existing),
    ] = None,
    image: Annotated[str | None, typer.Argument(help="One image.")] = None,
    view: Annotated[
        str | None,
        typer.Option(
            help="Views, separated by commas, or all that the network has; without it cam (where "
            "the network has it), gradcam and saliency."
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Class to explain; without it the best one.")
    ] = None,
    each_label: Annotated[
        bool,
        typer.Option(
            "--each-label",
            help="Explain every label of the answer, one row each: of a sequence at its own step.",
        ),
    ] = False,
    save: Annotated[
        Path | None, typer.Option(help="The picture to write; without it explanation.png.")
    ] = None,
    each_view: Annotated[
        Path | None, typer.Option(help="A folder for a picture of each view as well.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Instead of the first argument, e.g. timm:resnet50.")
    ] = None,
    picture: Annotated[
        str | None, typer.Option("--image", help="The image, beside --model.")
    ] = None,
    weights: Annotated[
        str, typer.Option(help="Of --model: pretrained, none, or a .safetensors FILE.")
    ] = "pretrained",
    model_kwargs: Annotated[
        list[str] | None, typer.Option(help="Arguments of the timm model, e.g. pad_type=same.")
    ] = None,
) -> None:
    """Look at one image in several ways, side by side.

    Example: `lookcloser explain runs/birds a.jpg --view cam,gradcam`,
    `lookcloser explain runs/photos a.jpg --view gradcam,deconvnet --each-label`, or
    `lookcloser explain --model timm:resnet50 --image a.jpg`
    """
    from lookcloser.core.box_updates import move_words
    from lookcloser.core.drawing import picture_format, plot_labels, plot_views, save_picture
    from lookcloser.core.images import load_image
    from lookcloser.core.outputs import check_place, free_place
    from lookcloser.recognizer import load_run
    from lookcloser.recognizer.recognizer import STOCK

    run, shown = (run, image) if model is None else (model, picture or run)
    if run is None or shown is None:
        raise typer.BadParameter("give a run and an image, or --model timm:NAME and --image FILE")
    # Before the work, not after it.
    save = free_place("explanation.png") if save is None else check_place(save, "--save")
    picture_format(save)
    views = None if view is None else _view_names(view, "--view")
    if each_label and target is not None:
        raise typer.BadParameter("--each-label explains every label; leave out --target")
    if weights == "none" and run.startswith(STOCK):
        printing.say("Random weights (--weights none): the network knows nothing")
    given = read_pairs(model_kwargs or [], "--model-kwargs")
    recognizer = load_run(run, weights=weights, model_kwargs=given)
    if each_label:
        found = recognizer.explain_labels(shown, views)
        save_picture(plot_labels(load_image(shown), found), save)
        _say_seen(save, _first(found), found)
        printing.next_step("predict", run, Path(shown).parent, "--save", "evidence/")
        return
    regions = recognizer.explain(shown, views, target=target)
    save_picture(plot_views(load_image(shown), regions), save)
    for name, region in regions.items() if each_view is not None else ():
        assert each_view is not None  # the loop is empty otherwise
        alone = plot_views(load_image(shown), {name: region})
        file = f"{re.sub('[^a-z0-9]+', '-', name).strip('-')}.png"
        save_picture(alone, free_place(each_view / file))
    for name, region in regions.items():
        if region.move is not None:
            printing.say(f"{name}: {move_words(region.move)}")
    _say_seen(save, [_first(regions)], regions)
    if run.startswith(STOCK):
        printing.next_step("train", "DATA", "--backbone", run.removeprefix(STOCK))
    else:
        printing.next_step("predict", run, Path(shown).parent, "--save", "evidence/")


def scored_split(catalog: Catalog, asked: str | None) -> str:
    """The split to score: as asked, else test, else the one that is there, which is said."""
    if asked is None and catalog.scored != "test":
        printing.say(f"No split 'test' in the data: taking '{catalog.scored}'")
    return asked or catalog.scored


def known_data(run: str | Path) -> str:
    """The data set that a run was trained on; "DATA" where that is not known."""
    from lookcloser.recognizer import read_config

    try:
        return read_config(Path(run))[0]
    except LookcloserError:  # a single file of weights
        return "DATA"


def _view_names(text: str, option: str) -> list[str]:
    from lookcloser.explain import VIEWS
    from lookcloser.inference.views import check_views

    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise typer.BadParameter(f"{option} names no view. There are: {', '.join(VIEWS)}")
    check_views(names)
    return names


def _say_next(recognizer: Recognizer | OnnxRecognizer, run: str, answered: str | Path) -> None:
    """After pictures: a closer look at an image, or the report of captions, which have no views."""
    from lookcloser.runtime.onnx_file import is_onnx

    if is_onnx(run):
        return  # all that an exported file can do is done
    if recognizer.header.task == "captioning":
        printing.next_step("report", run, known_data(run))
    else:
        printing.next_step("explain", run, answered)


def _show(prediction: Prediction, picture: Path | None, *, text: bool) -> None:
    """Save one answer as a picture, print it as a line."""
    if picture is not None:
        prediction.save(picture)
    if text:
        ranked = ", ".join(f"{label.name} {label.score:.1%}" for label in prediction.labels)
        said = prediction.caption if prediction.caption is not None else ranked or "no label"
        typer.echo(printable(f"{prediction.path}: {said}{_doubt(prediction)}"))


def _doubt(prediction: Prediction) -> str:
    """What the answer does not know, behind its line."""
    said = ""
    if prediction.candidates is not None:
        names = ", ".join(label.name for label in prediction.candidates) or "none of them"
        said = f"; at {prediction.coverage:.0%} coverage: {names}"
    if prediction.refusal is not None:
        said += f"; perhaps none of these: {prediction.refusal}"
    return said


def _say_seen(picture: Path, labels: Sequence[Region], views: Iterable[str]) -> None:
    """The picture that was written, and what of."""
    typer.echo(picture)
    named = ", ".join(f"{region.label} {region.score:.1%}" for region in labels)
    printing.say(f"{named} by {', '.join(views)}")


def _first(views: Mapping[str, T]) -> T:
    """What one of the views found: all have found something of the same labels."""
    return next(iter(views.values()))


def _picture_names(sources: list[Path], folder: Path | None) -> list[Path]:
    """Where the evidence of each image goes; what would meet another file is numbered."""
    from lookcloser.core.outputs import free_place

    taken: set[str] = set()
    if folder is None:
        return []
    return [free_place(folder / f"{source.stem}.png", taken) for source in sources]
