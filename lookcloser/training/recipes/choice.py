"""Which way a run learns: a head in closed form, fine-tuning, or the better of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from lookcloser.core.choices import TRAITS, Task
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.memory import kept_memory
from lookcloser.core.storage.atomic import make_folder, replacing
from lookcloser.core.wording import count, duration
from lookcloser.data.catalog import Catalog
from lookcloser.models import load_model_file, read_header, save_model_file
from lookcloser.training.files import FINE_TUNED_FOLDER, HISTORY_FILE, MODEL_FILE, WHOLE_FOLDER
from lookcloser.training.fit import FitResult, fit
from lookcloser.training.options import TrainOptions
from lookcloser.training.parallel import processes
from lookcloser.training.recipes.adding import ADDED
from lookcloser.training.recipes.closed_form import METHODS
from lookcloser.training.recipes.features import FEWEST, doubt_of
from lookcloser.training.recipes.solving import Solved, solved_run
from lookcloser.training.recipes.tuned_zooming import check_possible, look_alike, look_closer
from lookcloser.training.recipes.zooming import check_zoom, looked_closer

Recipe = Literal["closed-form", "fine-tune", "auto"]

_STEP = 3.5  # forward and backward with a random transform, in passes of evaluation


def default_method(options: TrainOptions, task: Task) -> str:
    """The method of a run that names none: by the task, and by what its recipe can do."""
    if options.recipe == "closed-form" and task in METHODS:
        return METHODS[task]
    return TRAITS[task].method


def planned_recipe(options: TrainOptions, task: Task) -> Recipe:
    """The recipe of a run, "auto" where there are two to choose from.

    Raises:
        UsageError: For a closed form of a method that has none, or on several devices, and for
            places to look at again where there will be no closed form of classes.
    """
    recipe = _planned(options, task)
    check_zoom(options, task, recipe)
    return recipe


def _planned(options: TrainOptions, task: Task) -> Recipe:
    method = options.method or default_method(options, task)
    several = options.devices > 1 or processes.world_size() > 1
    if options.recipe == "closed-form":
        if method != METHODS.get(task):
            raise UsageError(
                f"{{}} closed-form: the method {method} has none",
                allowed=f"The method {' or '.join(METHODS.values())}.",
                option="recipe",
            )
        if several:
            raise UsageError(
                "{} closed-form: works on one device",
                fix="Use `--recipe fine-tune` for several",
                option="recipe",
            )
        return "closed-form"
    whole = not several and options.strategy != "fsdp"
    possible = method == METHODS.get(task) and options.weights != "none" and whole
    return "auto" if options.recipe == "auto" and possible else "fine-tune"


@kept_memory()
def learn(
    catalog: Catalog,
    options: TrainOptions,
    folder: Path,
    *,
    resume: bool = False,
    quiet: bool = False,
    on_start: Callable[[], None] = lambda: None,
    val_is_made: Callable[[], bool] = lambda: True,
) -> FitResult:
    """Fill a run folder by the recipe of the options; arguments as of `fit`.

    Args:
        catalog: The data.
        options: How to learn.
        folder: The run.
        resume: Continue a run.
        quiet: No words on stderr.
        on_start: Called once data and model are good and the folder is there.
        val_is_made: Whether val was carved out of train here: a closed form, whose images rate it
            one by one, then learns from val, too.

    Raises:
        LookcloserError: As `fit`.
    """
    recipe = planned_recipe(options, catalog.task)
    console = Console(stderr=True, quiet=quiet)
    if recipe == "fine-tune":
        check_possible(catalog, options)
        result = fit(catalog, options, folder, resume=resume, quiet=quiet, on_start=on_start)
        if not result.interrupted:
            _look_closer(folder / MODEL_FILE, catalog, options, console)
        return result
    if resume:
        _check_nothing_added(folder / MODEL_FILE)
    again = recipe == "auto" and val_is_made()
    solved = solved_run(catalog, options, with_val=again)
    solved, said = looked_closer(solved, options, catalog.task)
    make_folder(folder)
    on_start()
    _say_solved(console, solved)
    if said:
        console.print(said, highlight=False, soft_wrap=True)
    doubt = None if recipe == "auto" else "asked for"
    doubt = doubt or _against_fine_tuning(solved, catalog, options, times=2 if again else 1)
    if doubt is not None:
        _write(folder, solved, doubt)
        console.print(f"closed form: {doubt}", highlight=False, soft_wrap=True)
        return FitResult(False, 0, solved.features.skipped, 0.0)
    tuning = _Tuning(catalog, options, folder, console, resume=resume, quiet=quiet)
    return tuning.better(solved, again=again)


def _check_nothing_added(file: Path) -> None:
    """Raise where a run to resume has images that its own data does not have."""
    if file.is_file() and ADDED in read_header(file).provenance:
        raise LookcloserError(
            f"{file.parent}: images were added to it since, and are not in the data it began with",
            fix="Train again with all images, with another --out",
        )


def _against_fine_tuning(
    solved: Solved, catalog: Catalog, options: TrainOptions, *, times: int
) -> str | None:
    """Why fine-tuning, once or twice, is not tried, in words; None where it is worth the try."""
    images = len(catalog.split("train"))
    minutes = times * solved.features.seconds * images * options.epochs * _STEP / 60
    if catalog.task != "classification":
        return "fine-tuning of tags is not compared with it; --recipe fine-tune does it"
    if solved.validation[1] < FEWEST:
        return (
            f"{count(solved.validation[1], 'image')} of val cannot tell whether fine-tuning would "
            f"be better (fewer than {FEWEST}); --recipe fine-tune does it"
        )
    if minutes > options.budget:
        return (
            f"fine-tuning would take about {duration(max(60 * minutes, 1))}, more than --budget "
            f"{options.budget:g}; --recipe fine-tune does it all the same"
        )
    return None


@dataclass(frozen=True)
class _Tuning:
    """What `fit` is asked for in the folders within a run."""

    catalog: Catalog
    options: TrainOptions
    folder: Path
    console: Console
    resume: bool
    quiet: bool

    def better(self, solved: Solved, *, again: bool) -> FitResult:
        """Both recipes; the closed form is there as long as fine-tuning has not won.

        Args:
            solved: The closed form.
            again: Whether fine-tuning, once it has won, is done again with the images of val, as
                the closed form has learned from them, too.
        """
        _write(self.folder, solved, "fine-tuning is not finished")
        own = self.folder / FINE_TUNED_FOLDER
        result = self._fit(self.catalog, self.options, own)
        if result.interrupted:
            return result
        _look_closer(own / MODEL_FILE, self.catalog, self.options, self.console)
        tuned = float(read_header(own / MODEL_FILE).scores.get("val_acc", 0.0))
        ours, images = solved.validation
        both = _compared(solved, tuned)
        self.console.print(both, highlight=False, soft_wrap=True)
        # Compared as numbers of images: the two shares are rounded in different ways.
        won = round(tuned * images) > round(ours * images)
        if not won:
            _write(self.folder, solved, both)
        elif not again:
            _take_over(own, self.folder, both)
        else:
            _take_over(own, self.folder, f"{both}; that with all images is not finished")
            result = self._with_all(own, both)
        if not result.interrupted:
            chosen = "fine-tuning" if won else "the closed form"
            self.console.print(f"chosen: {chosen}", highlight=False, soft_wrap=True)
        return result

    def _with_all(self, own: Path, both: str) -> FitResult:
        """Fine-tuning with the images of val; its doubt stays that of the one without them."""
        samples = (
            replace(s, split="train") if s.split == "val" else s for s in self.catalog.samples
        )
        whole = replace(self.catalog, samples=tuple(samples))
        folder = self.folder / WHOLE_FOLDER
        result = self._fit(whole, replace(self.options, val_share=0.0), folder)
        if not result.interrupted:
            before = own / MODEL_FILE
            look_alike(folder / MODEL_FILE, before, whole, self.options)
            known = read_header(before)
            scores, doubt = known.scores, known.calibration
            if not known.arguments.get("places"):
                doubt = doubt_of(before, self.catalog)
            why = f"{both}; then with all images"
            _take_over(folder, self.folder, why, scores=scores, calibration=doubt)
        return result

    def _fit(self, catalog: Catalog, options: TrainOptions, folder: Path) -> FitResult:
        return fit(catalog, options, folder, resume=self.resume, quiet=self.quiet)


def _compared(solved: Solved, tuned: float) -> str:
    """The accuracies of both recipes, in words: a second look is rated on images left out."""
    ours, images = solved.validation
    if solved.header.arguments.get("places"):
        left = f"{ours:.1%} of images left out in closed form"
        return f"{left}, {tuned:.1%} of {count(images, 'image')} of val fine-tuned"
    return f"val {ours:.1%} in closed form, {tuned:.1%} fine-tuned, {count(images, 'image')}"


def _look_closer(file: Path, catalog: Catalog, options: TrainOptions, console: Console) -> None:
    """The second look of a fine-tuned model, by the first of several processes."""
    said = processes.first_decides(lambda: look_closer(file, catalog, options))
    if said and processes.rank() == 0:
        console.print(said, highlight=False, soft_wrap=True)


def _take_over(own: Path, folder: Path, why: str, **known: Any) -> None:
    """The fine-tuned model becomes the run's; its own folder stays, to be resumed from."""
    model, header = load_model_file(own / MODEL_FILE)
    provenance = {**header.provenance, "recipe": "fine-tune", "why this recipe": why}
    header = replace(header, provenance=provenance, **known)
    save_model_file(folder / MODEL_FILE, model.state_dict(), header)
    with replacing(folder / HISTORY_FILE) as temporary:
        temporary.write_bytes((own / HISTORY_FILE).read_bytes())


def _write(folder: Path, solved: Solved, why: str) -> None:
    provenance = {**solved.header.provenance, "why this recipe": why}
    header = replace(solved.header, provenance=provenance)
    save_model_file(folder / MODEL_FILE, solved.model.state_dict(), header)


def _say_solved(console: Console, solved: Solved) -> None:
    found = solved.features
    line = (
        f"closed form of {count(solved.memory.count, 'image')}, {found.seconds * 1000:.0f} ms each"
    )
    known = solved.header.scores
    looks_twice = bool(solved.header.arguments.get("places"))  # whose own line says it
    if "left_out_acc" in known and not looks_twice:
        line += f"; left out one by one {known['left_out_acc']:.1%} are right"
    console.print(line, highlight=False, soft_wrap=True)
