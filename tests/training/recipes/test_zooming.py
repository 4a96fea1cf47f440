"""Why a second look is not tried, or not used; the looks themselves are in the tests beside it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.core.calibration import Calibration
from lookcloser.core.errors import UsageError
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.core.sizes import Grid
from lookcloser.training.options import make_options
from lookcloser.training.recipes import zooming
from lookcloser.training.recipes.closer import Closer
from lookcloser.training.recipes.zooming import check_zoom, looked_closer


class Backbone:
    """Takes every size but those that are named."""

    width = 8

    def __init__(self, *refused: int) -> None:
        self.refused = refused

    def check(self, grid: Grid) -> None:
        if grid.columns in self.refused:
            raise LookcloserError(f"images of {grid.columns}", fix="Take others")

    def grid(self, size: Grid) -> Grid:
        return Grid(*(side // 32 for side in size))


@dataclass(frozen=True)
class Run:
    """What is asked of a solved run."""

    header: ModelHeader
    features: Any
    model: Any = field(default_factory=lambda: SimpleNamespace(timm_backbone=Backbone()))
    samples: range = range(100)
    validation: tuple[float, int] = (0.5, 30)


def run(side: float = 500, plain: float | None = 0.5, size: int = 224, **given: Any) -> Any:
    header = ModelHeader(
        "cam", {}, "classification", ("a", "b"), Preprocessing(Grid(size, size)),
        scores={} if plain is None else {"left_out_acc": plain},
    )  # fmt: skip
    return Run(header, SimpleNamespace(side=side, seconds=0.01), **given)


def closer(accuracy: float, images: int = 10_000) -> Closer:
    nothing: Any = None
    calibration = Calibration(images=images)
    return Closer(nothing, nothing, nothing, 3, 0.34, calibration, accuracy, 0.1, 100, nothing)


@pytest.fixture
def solves(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was asked of the solver, whose last answer can be set as ``answer``."""
    asked: list[dict[str, Any]] = []

    def solve(_model: Any, _samples: Any, _header: Any, **how: Any) -> Any:
        asked.append(how)
        return closer(0.9)

    def put(_model: Any, header: ModelHeader, _closer: Closer) -> tuple[str, ModelHeader]:
        return "looks twice", header

    monkeypatch.setattr(zooming, "solve_closer", solve)
    monkeypatch.setattr(zooming, "with_closer", put)
    return asked


class TestNotTried:
    @pytest.mark.parametrize(
        ("given", "options", "words"),
        [
            ({"side": 335}, {}, "images of 335 px have little more to show"),
            ({"plain": None}, {}, "no class has two images, so that nothing would tell if it pays"),
            ({"plain": 0.99}, {}, "99.0% of images left out are right without"),
            (
                {"model": SimpleNamespace(timm_backbone=Backbone(448))}, {},
                "images of 448",
            ),
            ({"size": 2050, "side": 9000}, {"size": 2050}, "a first look at 4100 px is too large; "
             "at most 4096 are possible"),
            ({"samples": range(10**9)}, {}, "a second look needs"),
            (  # 3000 images at twice the side and in four sizes of crops, 400 of them at 3 places
                {"samples": range(3000)}, {"budget": 3.0},
                "it would take about 4 min, more than --budget 3; --zoom 3 does it all the same",
            ),
        ],
    )  # fmt: skip
    def test_the_reason_is_said_and_kept(
        self,
        solves: list[Any],
        given: dict[str, Any],
        options: dict[str, Any],
        words: str,
    ) -> None:
        before = run(**given)
        found, said = looked_closer(before, make_options(**options), "classification")
        assert said.startswith("zoom: not tried; ")
        assert words in said
        assert found.header.provenance == {"zoom": said.removeprefix("zoom: ")}
        assert found.model is before.model
        assert solves == []

    @pytest.mark.parametrize(("zoom", "task"), [("off", "classification"), ("auto", "multilabel")])
    def test_nothing_is_said_where_it_is_out_of_the_question(
        self, solves: list[Any], zoom: str, task: Any
    ) -> None:
        before = run()
        assert looked_closer(before, make_options(zoom=zoom), task) == (before, "")
        assert solves == []


class TestTried:
    def test_a_gain_that_is_more_than_chance_pays(self, solves: list[Any]) -> None:
        found, said = looked_closer(run(), make_options(), "classification")
        assert said == (
            "zoom: 3 places of 34% of the side; 50.0% of images left out are right, 90.0% with a "
            "second look"
        )
        assert found.model == "looks twice"
        assert found.validation == (0.9, 30), "compared with fine-tuning by images left out"
        assert found.header.provenance["zoom"] == said.removeprefix("zoom: ")
        assert solves == [{"places": 3, "balanced": False, "enough": 0.51}]

    @pytest.mark.parametrize(
        ("accuracy", "images", "used"),
        [(0.511, 10_000, True), (0.509, 10_000, False), (0.54, 100, False), (0.56, 100, True)],
    )
    def test_of_few_images_the_gain_has_to_be_larger(
        self,
        solves: list[Any],
        monkeypatch: pytest.MonkeyPatch,
        accuracy: float,
        images: int,
        used: bool,
    ) -> None:
        monkeypatch.setattr(zooming, "solve_closer", lambda *_, **__: closer(accuracy, images))
        found, said = looked_closer(run(), make_options(), "classification")
        assert (found.model == "looks twice") == used
        assert said.startswith("zoom: 3 places" if used else "zoom: not used; 50.0% of images")
        assert found.validation == ((accuracy, 30) if used else (0.5, 30))

    def test_crops_at_the_true_places_that_are_no_better_end_it(
        self, solves: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(zooming, "solve_closer", lambda *_, **__: 0.25)
        found, said = looked_closer(run(), make_options(), "classification")
        assert "would be right in 25.0%, 50.0% are without" in said
        assert found.validation == (0.5, 30)


class TestAsked:
    def test_it_is_done_whatever_it_costs_and_brings(
        self, solves: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        options = make_options(zoom="2", budget=0, balance="weights")
        found, _ = looked_closer(run(side=30, plain=0.999), options, "classification")
        assert found.model == "looks twice"
        assert solves == [{"places": 2, "balanced": True, "enough": -1.0}]

    def test_what_is_not_possible_is_refused_by_its_option(self, solves: list[Any]) -> None:
        impossible = replace(run(), model=SimpleNamespace(timm_backbone=Backbone(448)))
        with pytest.raises(UsageError) as refused:
            looked_closer(impossible, make_options(zoom="2"), "classification")
        assert refused.value.for_the_command_line().startswith("--zoom 2: images of 448")
        assert solves == []

    def test_classes_of_one_image_are_refused(
        self, solves: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(zooming, "solve_closer", lambda *_, **__: float("nan"))
        with pytest.raises(LookcloserError, match="No class has two images.*--zoom off"):
            looked_closer(run(), make_options(zoom="1"), "classification")

    @pytest.mark.parametrize(
        ("task", "recipe", "message"),
        [
            (
                "multilabel",
                "closed-form",
                "not for multilabel, where.*Allowed: auto or off",
            ),
            ("captioning", "fine-tune", "not for captioning"),
            ("classification", "fine-tune", None),
            ("classification", "auto", None),
            ("classification", "closed-form", None),
        ],
    )
    def test_only_a_classifier_can_look_again(
        self, task: Any, recipe: str, message: str | None
    ) -> None:
        for zoom in ("auto", "off"):
            check_zoom(make_options(zoom=zoom), task, recipe)
        if message is None:
            check_zoom(make_options(zoom="5"), task, recipe)
            return
        with pytest.raises(UsageError, match=f"zoom 5: {message}"):
            check_zoom(make_options(zoom="5"), task, recipe)

    def test_racnn_is_refused_with_the_reason(self) -> None:
        check_zoom(make_options(method="racnn"), "classification", "fine-tune")
        with pytest.raises(UsageError, match="not for racnn, which looks closer by itself"):
            check_zoom(make_options(method="racnn", zoom="2"), "classification", "fine-tune")

    @pytest.mark.parametrize("method", ["cam", "feedback", "osme"])
    def test_other_classifiers_can_but_not_around_a_network_for_one_small_size(
        self, method: str
    ) -> None:
        check_zoom(make_options(method=method, zoom="2"), "classification", "fine-tune")
        if method == "feedback":
            small = make_options(method=method, backbone="two-block", zoom="2")
            with pytest.raises(UsageError, match="not with the two-block network"):
                check_zoom(small, "classification", "fine-tune")

    def test_a_network_in_parts_is_refused(self) -> None:
        parts = make_options(zoom="2", recipe="fine-tune", strategy="fsdp")
        with pytest.raises(UsageError, match="not with --strategy fsdp"):
            check_zoom(parts, "classification", "fine-tune")
