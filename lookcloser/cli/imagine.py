"""imagine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.options import LAST_SEED, Device, to_disk
from lookcloser.core.wording import count


def imagine(
    run: Annotated[str, typer.Argument(help="A run folder, a .safetensors file, or timm:NAME.")],
    target: Annotated[str, typer.Argument(metavar="CLASS", help="The class, by name or number.")],
    image: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Change this image just enough to make it the class; default: start from noise "
            "and raise the score of the class.",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save", "--out", help="The image to write; default: imagined.png.", callback=to_disk
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Gradient steps; default: 150, or at most 50 with --from."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=LAST_SEED, help="Seed of the noise it starts from.")
    ] = 0,
    weights: Annotated[
        str, typer.Option(help="Weights of timm:NAME: pretrained, none, or a .safetensors FILE.")
    ] = "pretrained",
    device: Device = None,
) -> None:
    """Make an image that the model takes for a class, from noise or from another image.

    Example: `lookcloser imagine runs/birds wren`, or
    `lookcloser imagine runs/birds wren --from robin.jpg --save fooled.png`
    """
    from lookcloser.core.drawing import contact_sheet, image_format, save_image
    from lookcloser.core.outputs import check_place, free_place
    from lookcloser.inference.imagining import fool, imagine_class
    from lookcloser.recognizer import load_run

    save = free_place("imagined.png") if save is None else check_place(save)
    image_format(save)
    recognizer = load_run(run, weights=weights, device=device)
    if image is None:
        imagined = imagine_class(recognizer.engine, target, steps=steps or 150, seed=seed)
        (answer,) = recognizer.predict(imagined, top=1)
        said = f"answered {answer.labels[0].name} {answer.labels[0].score:.1%}"
        save_image(imagined, save)
    else:
        found = fool(recognizer.engine, image, target, max_steps=steps or 50)
        titles = ["original", f"taken for {found.target}", "change, made visible"]
        save_image(contact_sheet([found.original, found.fooling, found.change], titles, 3), save)
        made = count(found.steps, "step")
        said = (
            f"taken for {found.target} after {made}; "
            f"changed by {found.strength:.2f} of 255 (root mean square)"
            if found.flipped
            else f"not taken for {found.target} within {made}; try more --steps"
        )
    printing.print_path(save)
    printing.say(said)
    if image is not None:
        printing.next_step("explain", run, image, "--target", target)
    else:
        printing.next_step("imagine", run, target, "--from", "IMAGE")
