"""explain."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.options import Device, to_disk
from lookcloser.cli.terminal.pairs import read_pairs
from lookcloser.cli.terminal.runs import existing, view_names
from lookcloser.core.storage.files import is_image_name

if TYPE_CHECKING:
    from lookcloser.core import Region

T = TypeVar("T")


def _existing(run: str | None) -> str | None:
    """As `existing`; but beside --model the first word may be the image."""
    return run if run is not None and is_image_name(Path(run).name) else existing(run)


def explain(
    run: Annotated[
        str | None,
        typer.Argument(help="A run folder, a .safetensors file, or timm:NAME.", callback=_existing),
    ] = None,
    image: Annotated[str | None, typer.Argument(help="One image.")] = None,
    view: Annotated[
        str | None,
        typer.Option(
            help="Views, separated by commas, or all; default: cam (if the network has it), "
            "gradcam and saliency."
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Class to explain; default: the answer.")
    ] = None,
    each_label: Annotated[
        bool,
        typer.Option(
            "--each-label",
            help="Explain every label of the answer, one row each; in a sequence, at its own step.",
        ),
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            "--out",
            help="The image to write; default: explanation.png.",
            callback=to_disk,
        ),
    ] = None,
    each_view: Annotated[
        Path | None,
        typer.Option(help="Also save an image of each view in this folder.", callback=to_disk),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Instead of a run, e.g. timm:resnet50.")] = None,
    shown_image: Annotated[
        str | None, typer.Option("--image", help="The image, as an option.")
    ] = None,
    weights: Annotated[
        str, typer.Option(help="Weights of --model: pretrained, none, or a .safetensors FILE.")
    ] = "pretrained",
    model_kwargs: Annotated[
        list[str] | None, typer.Option(help="Arguments of the timm model, e.g. pad_type=same.")
    ] = None,
    device: Device = None,
) -> None:
    """Show what a model looked at in one image, by several views side by side.

    Example: `lookcloser explain runs/birds a.jpg --view cam,gradcam`,
    `lookcloser explain runs/photos a.jpg --view gradcam,deconvnet --each-label`, or
    `lookcloser explain --model timm:resnet50 --image a.jpg`
    """
    from lookcloser.core.drawing import image_format, plot_labels, plot_views, save_image
    from lookcloser.core.images import load_image
    from lookcloser.core.outputs import check_place, free_place
    from lookcloser.core.results.box_updates import move_words
    from lookcloser.recognizer import load_run
    from lookcloser.recognizer.recognizer import STOCK

    run, shown = _asked(run, image, model, shown_image)
    # Before the work, not after it.
    save = free_place("explanation.png") if save is None else check_place(save)
    image_format(save)
    views = None if view is None else view_names(view, "--view")
    if each_label and target is not None:
        raise typer.BadParameter("--each-label explains every label; leave out --target")
    if each_label and each_view is not None:
        raise typer.BadParameter("--each-label draws one image; leave out --each-view")
    if weights == "none" and run.startswith(STOCK):
        printing.say("Random weights (--weights none): the network knows nothing")
    given = read_pairs(model_kwargs or [], "--model-kwargs")
    recognizer = load_run(run, weights=weights, model_kwargs=given, device=device)
    if each_label:
        found = recognizer.explain_labels(shown, views)
        save_image(plot_labels(load_image(shown), found), save)
        _say_seen(save, _first(found), found)
        _say_predict(run, shown)
        return
    regions = recognizer.explain(shown, views, target=target)
    save_image(plot_views(load_image(shown), regions), save)
    for name, region in regions.items() if each_view is not None else ():
        assert each_view is not None  # the loop is empty otherwise
        alone = plot_views(load_image(shown), {name: region})
        file = f"{re.sub('[^a-z0-9]+', '-', name).strip('-')}.png"
        save_image(alone, free_place(each_view / file))
    for name, region in regions.items():
        if region.move is not None:
            printing.say(f"{name}: {move_words(region.move)}")
    _say_seen(save, [_first(regions)], regions)
    if run.startswith(STOCK):
        printing.next_step("train", "DATA", "--backbone", run.removeprefix(STOCK))
    else:
        _say_predict(run, shown)


def _asked(
    run: str | None, image: str | None, model: str | None, shown_image: str | None
) -> tuple[str, str]:
    """What explains, and the image; none of what was given is left out in silence."""
    networks = [name for name in (run, model) if name is not None]
    images = [name for name in (image, shown_image) if name is not None]
    if model is not None and run is not None and not images:  # the one argument is the image
        networks, images = [model], [run]
    if len(networks) != 1 or len(images) != 1:
        raise typer.BadParameter("give a run and an image, or --model timm:NAME and --image FILE")
    return networks[0], images[0]


def _say_seen(written: Path, labels: Sequence[Region], views: Iterable[str]) -> None:
    """The image that was written, and what of."""
    printing.print_path(written)
    named = ", ".join(f"{region.label} {region.score:.1%}" for region in labels)
    printing.say(f"{named} by {', '.join(views)}")


def _first(views: Mapping[str, T]) -> T:
    """What one of the views found: all have found something of the same labels."""
    return next(iter(views.values()))


def _say_predict(run: str, image: str) -> None:
    """All images beside this one are next; of the current folder, which may hold anything, not."""
    folder = Path(image).parent
    printing.next_step("predict", run, image if folder == Path() else folder, "--save", "evidence/")
