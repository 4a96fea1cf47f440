"""demo: the main job on embedded data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from lookcloser.cli import printing

# A small network cut at stride 4, so that maps are fine enough for tight boxes; docs/benchmarks.md
# has what it reaches and what else was tried.
SCENES: dict[str, Any] = {"train": 3000, "val": 500, "test": 600, "size": 64}
RECIPE: dict[str, Any] = {
    "backbone": "resnet18",
    "stride": 4,
    "model_kwargs": {"zero_init_last": False},
    "weights": "none",
    "size": 64,
    "epochs": 6,
    "batch_size": 32,
    "lr": 5e-3,
    "augment": "shift",
    "flip": False,
}


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the data and the run.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Seed of the scenes and of the training.")] = 0,
) -> None:
    """The main job in three minutes: no data, no network, no GPU needed.

    Digits are hidden in cluttered scenes; a network learns them from the class alone, and shows
    where it looked. Example: `lookcloser demo`
    """
    start = time.perf_counter()
    printing.say("1/4 writing scenes")
    from lookcloser.data.scenes import write_scenes

    scenes = write_scenes(out / "scenes", seed=seed, **SCENES)
    printing.say(f"{scenes}: {SCENES['train']} to train, {SCENES['val']} to validate, "
                 f"{SCENES['test']} unseen to test")  # fmt: skip
    printing.say("2/4 loading torch")
    from lookcloser.recognizer import run_training, write_run_report

    printing.say("3/4 training from class labels alone (boxes are kept for scoring)")
    folder = _free(out)
    result = run_training(scenes, out=folder, seed=seed, **RECIPE)
    if result.interrupted:
        printing.next_step(f"lookcloser train --resume {folder}")
        raise typer.Exit(130)
    printing.say("4/4 scoring unseen scenes and writing the report")
    page, evaluation = write_run_report(result.recognizer, scenes, "test")
    printing.print_scores("Unseen scenes", evaluation.metrics, evaluation.intervals)
    printing.print_settings(evaluation.settings)
    printing.say(f"waiting for data: {result.data_wait:.0%} of the training time")
    printing.say(f"done in {time.perf_counter() - start:.0f} s; open {page.resolve()}")
    picture = next(answer.prediction.path for answer in evaluation.answers)
    printing.next_step(f"lookcloser predict {folder} {picture} --save {out / 'evidence'}")


def _free(out: Path) -> Path:
    """``out``/run, or numbered where that exists: a run is never written over."""
    folder, number = out / "run", 2
    while folder.exists():
        folder, number = out / f"run-{number}", number + 1
    return folder
