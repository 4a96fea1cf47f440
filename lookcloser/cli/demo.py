"""demo: the main job on embedded data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.interrupts import INTERRUPTED
from lookcloser.cli.terminal.options import LAST_SEED, to_disk

# A small network cut at stride 4, so that maps are fine enough for tight boxes; docs/methods/cam.md
# has what it reaches and what else was tried.
SCENES: dict[str, Any] = {"train": 6000, "val": 500, "test": 600, "size": 96}
RECIPE: dict[str, Any] = {
    "backbone": "resnetv2_18",
    "stride": 4,
    "weights": "none",
    "size": 64,
    "epochs": 4,
    "batch_size": 32,
    "lr": 0.03,
    "backbone_lr": 0.1,
    "warmup": 0.8,
    "clip": 5.0,
    "augment": "shift",
    "flip": False,
    "zoom": "off",  # the trial, after which it is not used, takes longer than the training
}


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for the data and the run.", callback=to_disk)
    ] = Path("runs/demo"),
    seed: Annotated[
        int, typer.Option(min=0, max=LAST_SEED, help="Seed of the scenes and of the training.")
    ] = 0,
) -> None:
    """Train, score and report in about two minutes: no data, no internet, no GPU needed.

    Digits are hidden in cluttered scenes. A network learns them from class labels alone, and
    shows where it looked. Example: `lookcloser demo`
    """
    start = time.perf_counter()
    printing.say("1/4 writing scenes")
    scenes = _write_scenes(out / "scenes", seed)
    printing.say(f"{scenes}: {SCENES['train']} to train, {SCENES['val']} to validate, "
                 f"{SCENES['test']} unseen to test")  # fmt: skip
    printing.say("2/4 loading torch")
    from lookcloser.recognizer import run_training

    printing.say("3/4 training from class labels alone (boxes are kept for scoring)")
    folder = _free(out)
    result = run_training(scenes, out=folder, seed=seed, **RECIPE)
    if result.interrupted:
        printing.next_step("train", "--resume", folder)
        raise typer.Exit(INTERRUPTED)
    printing.say("4/4 scoring unseen scenes and writing the report")
    page, evaluation = result.recognizer.report(scenes, "test")
    printing.print_scores("Unseen scenes", evaluation.scores, evaluation.shifts)
    printing.print_settings(evaluation.settings)
    printing.say(f"waiting for data: {result.data_wait:.0%} of the training time")
    printing.say(f"done in {time.perf_counter() - start:.0f} s; open {page.resolve()}")
    image = next(answer.prediction.path for answer in evaluation.answers)
    printing.next_step("predict", folder, image, "--save", out / "evidence")


def _write_scenes(folder: Path, seed: int) -> Path:
    from lookcloser.data.scenes import write_scenes

    with printing.progress("Writing scenes") as progress:
        return write_scenes(folder, seed=seed, progress=progress, **SCENES)


def _free(out: Path) -> Path:
    """``out``/run, or numbered where that exists: a run is never written over."""
    folder, number = out / "run", 2
    while folder.exists():
        folder, number = out / f"run-{number}", number + 1
    return folder
