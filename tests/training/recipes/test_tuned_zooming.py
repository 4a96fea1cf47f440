"""Fine-tuned runs that look twice: what images of val decide, and what the run is then."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.models import CAM, load_model_file, read_header, save_model_file
from lookcloser.recognizer import Recognizer
from lookcloser.training.files import FINE_TUNED_FOLDER, MODEL_FILE, WHOLE_FOLDER
from lookcloser.training.options import TrainOptions, make_options
from lookcloser.training.recipes import choice as recipes
from lookcloser.training.recipes import tuned_zooming, zooming
from lookcloser.training.recipes.choice import learn
from lookcloser.training.recipes.tuned_zooming import look_alike, look_closer
from tests.training.recipes.patterns import INPUT, NAMES, SIDE, scenes, write_weights


def catalog(val: int = 30, side: int = SIDE) -> Catalog:
    splits: tuple[Iterable[Sample], ...] = (
        scenes(48, "train", 0, side), scenes(val, "val", 2, side), scenes(30, "test", 1, side),
    )  # fmt: skip
    samples = tuple(sample for split in splits for sample in split)
    return Catalog(Path(), "", "classification", NAMES, samples)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_weights(tmp_path_factory.mktemp("weights") / "net.safetensors")


def asked(weights: str, zoom: str, **more: Any) -> TrainOptions:
    given = {
        "method": "cam", "recipe": "fine-tune", "backbone": "test_resnet", "weights": weights,
        "stride": 8, "size": INPUT, "workers": 0, "batch_size": 24, "augment": "none",
        "flip": False, "epochs": 1, "zoom": zoom,
    }  # fmt: skip
    return make_options(**{**given, **more})


@pytest.fixture(scope="module")
def plain(weights: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that looks once."""
    folder = tmp_path_factory.mktemp("runs") / "plain"
    learn(catalog(), asked(weights, "off"), folder, quiet=True)
    return folder


@pytest.fixture
def file(plain: Path, tmp_path: Path) -> Path:
    """Its model, which nothing was decided about."""
    return Path(shutil.copy(plain / MODEL_FILE, tmp_path / MODEL_FILE))


@pytest.fixture(scope="module")
def looked(weights: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that looks twice, at two places."""
    folder = tmp_path_factory.mktemp("runs") / "looked"
    learn(catalog(), asked(weights, "2"), folder, quiet=True)
    return folder


def opened(file: Path) -> tuple[CAM, Recognizer]:
    model, header = load_model_file(file)
    assert isinstance(model, CAM)
    return model, Recognizer(model, header, device="cpu")


class TestRun:
    def test_the_header_says_so(self, looked: Path) -> None:
        header = read_header(looked / MODEL_FILE)
        assert (header.arguments["places"], header.arguments["view"]) == (2, INPUT)
        assert header.preprocessing.size == (2 * INPUT, 2 * INPUT), "the source's resolution"
        assert header.provenance["head"] == "began in closed form", "it was fine-tuned"
        assert header.provenance["zoom"].startswith("2 places of ")
        assert "of 30 images of val are right" in header.provenance["zoom"]
        assert header.calibration.images == 30
        assert header.calibration.distance is not None

    def test_what_was_tuned_stays(self, looked: Path, plain: Path) -> None:
        (model, _), (before, _) = opened(looked / MODEL_FILE), opened(plain / MODEL_FILE)
        ours, theirs = model.backbone.state_dict(), before.backbone.state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
        torch.testing.assert_close(model.head.weight, before.head.weight)
        torch.testing.assert_close(model.head.bias, before.head.bias)

    def test_val_is_answered_as_the_header_says(self, looked: Path) -> None:
        _, recognizer = opened(looked / MODEL_FILE)
        header = recognizer.header
        metrics = recognizer.evaluate(catalog(), split="val")
        assert metrics["top1"] == pytest.approx(header.scores["val_acc"])
        again = replace(header, calibration=replace(header.calibration, images=0))
        measured = Recognizer(recognizer.model, again, device="cpu").evaluate(
            catalog(), split="val"
        )
        assert measured["ece"] == pytest.approx(metrics["ece"], rel=1e-3)

    def test_an_answer_has_its_places_as_evidence(self, looked: Path) -> None:
        _, recognizer = opened(looked / MODEL_FILE)
        sample = catalog().split("test")[0]
        (prediction,) = recognizer.predict(sample.source)
        places = [region for region in prediction.regions if region.kind == "place"]
        assert [region.step for region in places] == [0, 1]
        for region in places:
            assert region.box is not None
            x0, y0, x1, y1 = region.box
            assert 0 <= x0 < x1 <= SIDE
            assert 0 <= y0 < y1 <= SIDE
            assert region.score is not None
            assert 0 <= region.score <= 1
        heatmap = prediction.regions[0].heatmap
        assert heatmap is not None
        assert heatmap.max() in {0, 1}

    def test_it_is_scored_drawn_and_explained_like_every_run(
        self, looked: Path, tmp_path: Path
    ) -> None:
        _, recognizer = opened(looked / MODEL_FILE)
        page = recognizer.report(catalog(), out=tmp_path / "report.html")
        assert {"top1", "top1 place 1", "pointing place 1"} <= page.evaluation.metrics.keys()
        assert "2 places of" in page.path.read_text(encoding="utf-8")
        views = recognizer.explain(catalog().split("test")[0].source, ["cam", "saliency"])
        assert {"cam", "saliency"} <= views.keys()


class TestResuming:
    def test_it_is_decided_once_and_a_finished_run_stays(
        self, looked: Path, weights: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = (looked / MODEL_FILE).read_bytes()
        monkeypatch.setattr(tuned_zooming, "solve_tuned", lambda *_, **__: pytest.fail("again"))
        learn(catalog(), asked(weights, "2"), looked, resume=True, quiet=True)
        assert (looked / MODEL_FILE).read_bytes() == before

    def test_a_run_that_broke_off_before_the_second_look_gets_the_same(
        self, plain: Path, looked: Path, weights: str, tmp_path: Path
    ) -> None:
        broken = shutil.copytree(plain, tmp_path / "broken")
        learn(catalog(), asked(weights, "2"), broken, resume=True, quiet=True)
        assert (broken / MODEL_FILE).read_bytes() == (looked / MODEL_FILE).read_bytes()

    def test_one_that_was_interrupted_is_not_looked_at(
        self, plain: Path, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken = recipes.FitResult(True, 0, {}, 0.0)
        monkeypatch.setattr(recipes, "fit", lambda *_, **__: broken)
        monkeypatch.setattr(recipes, "look_closer", lambda *_: pytest.fail("looked"))
        assert learn(catalog(), asked(weights, "2"), tmp_path, quiet=True) is broken


class TestAuto:
    def test_it_looks_where_val_says_that_it_pays(self, file: Path, weights: str) -> None:
        said = look_closer(file, catalog(), asked(weights, "auto"))
        assert said.startswith("zoom: 3 places of ")
        assert read_header(file).arguments["places"] == 3

    @pytest.fixture
    def before(self, file: Path) -> dict[str, torch.Tensor]:
        return opened(file)[0].state_dict()

    def costs_nothing(self, file: Path, before: dict[str, torch.Tensor], said: str) -> None:
        """The network is as it was, and its header says why."""
        model, recognizer = opened(file)
        assert recognizer.header.arguments["places"] == 0
        assert recognizer.header.preprocessing.size == (INPUT, INPUT)
        assert recognizer.header.provenance["zoom"] == said.removeprefix("zoom: ")
        after = model.state_dict()
        assert after.keys() == before.keys()
        assert all(torch.equal(after[name], before[name]) for name in before)

    def test_what_does_not_pay_costs_nothing(
        self, file: Path, before: Any, weights: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tuned_zooming, "pays", lambda *_: False)
        said = look_closer(file, catalog(), asked(weights, "auto"))
        assert said.startswith("zoom: not used; ")
        self.costs_nothing(file, before, said)

    @pytest.mark.parametrize(
        ("data", "options", "words"),
        [
            ({"val": 12}, {}, "12 images of val cannot tell whether it pays"),
            ({"side": 40}, {}, "images of 40 px have little more to show"),
            ({}, {"budget": 0}, " s, more than --budget 0; --zoom 3 does it all the same"),
        ],
    )
    def test_it_is_not_tried_for_a_reason(
        self, file: Path, before: Any, weights: str, data: Any, options: Any, words: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(tuned_zooming, "solve_tuned", lambda *_, **__: pytest.fail("tried"))
        said = look_closer(file, catalog(**data), asked(weights, "auto", **options))
        assert said.startswith("zoom: not tried; ")
        assert words in said
        self.costs_nothing(file, before, said)

    def test_a_network_that_is_right_is_left_alone(
        self, file: Path, weights: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(zooming, "GAIN", 0.9)
        said = look_closer(file, catalog(), asked(weights, "auto"))
        assert said.endswith("of images of val are right without")

    def test_a_trial_that_fails_does_not_undo_the_training(
        self, file: Path, before: Any, weights: str
    ) -> None:
        """Of a class that only val has nothing can be solved."""
        data = catalog()
        samples = tuple(s for s in data.samples if s.split != "train" or s.labels != ("columns",))
        lacking = replace(data, samples=samples)
        said = look_closer(file, lacking, asked(weights, "auto"))
        assert said.startswith("zoom: not tried; no head can be solved from these images")
        self.costs_nothing(file, before, said)
        with pytest.raises(LookcloserError, match="o head can be solved"):
            look_closer(self.anew(file), lacking, asked(weights, "1"))

    def anew(self, file: Path) -> Path:
        """The model as if nothing had been decided about it."""
        model, header = load_model_file(file)
        undecided = {k: v for k, v in header.provenance.items() if k != "zoom"}
        return save_model_file(file, model.state_dict(), replace(header, provenance=undecided))

    def test_other_methods_and_off_are_out_of_the_question(self, file: Path, weights: str) -> None:
        before = file.read_bytes()
        for options in (asked(weights, "off"), make_options(method="racnn")):
            assert look_closer(file, catalog(), options) == ""
        assert file.read_bytes() == before


class TestAsked:
    def test_with_few_images_of_val_nothing_is_said_of_the_answers(
        self, file: Path, weights: str
    ) -> None:
        said = look_closer(file, catalog(val=6), asked(weights, "1"))
        assert "too few images of val" in said
        header = read_header(file)
        assert (header.arguments["places"], header.arguments["whole"]) == (1, 0)
        assert (header.scores, header.calibration.images) == ({}, 0)

    def test_images_that_cannot_be_read_are_passed_over(
        self, file: Path, weights: str, tmp_path: Path
    ) -> None:
        (tmp_path / "broken.png").write_bytes(b"no image")
        broken = [
            Sample(f"{split}/broken.png", tmp_path / "broken.png", ("grid",), split=split)
            for split in ("train", "val")
        ]
        data = catalog()
        said = look_closer(
            file, replace(data, samples=(*broken, *data.samples)), asked(weights, "1")
        )
        assert "of 30 images of val" in said

    def test_a_source_that_is_too_large_is_refused_before_the_training(
        self, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recipes, "fit", lambda *_, **__: pytest.fail("trained"))
        with pytest.raises(UsageError, match="a first look at 5000 px is too large"):
            learn(catalog(), asked(weights, "2", size=2500), tmp_path, quiet=True)


class TestWithAllImages:
    @pytest.fixture
    def winner(self, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A run of both recipes, whose fine-tuning wins on a val that was carved out of train."""

        def pretend(path: Path) -> Any:
            header = read_header(path)
            return replace(header, scores={**header.scores, "val_acc": 1.5})

        monkeypatch.setattr(recipes, "read_header", pretend)
        options = asked(weights, "2", recipe="auto")
        learn(catalog(), options, tmp_path / "run", quiet=True)
        return tmp_path / "run"

    def test_it_looks_as_the_one_that_val_has_rated(self, winner: Path, weights: str) -> None:
        rated, last = (
            read_header(winner / name / MODEL_FILE) for name in (FINE_TUNED_FOLDER, WHOLE_FOLDER)
        )
        header = read_header(winner / MODEL_FILE)
        for name in ("places", "share", "whole", "view"):
            assert header.arguments[name] == last.arguments[name] == rated.arguments[name]
        assert header.provenance["recipe"] == "fine-tune"
        assert header.provenance["zoom"] == rated.provenance["zoom"]
        assert header.calibration == rated.calibration, "of val, which has not trained that one"
        assert (
            header.scores["val_acc"] == rated.scores["val_acc"] or header.scores["val_acc"] == 1.5
        )
        (ours, _), (first, _) = (
            opened(winner / MODEL_FILE),
            opened(winner / FINE_TUNED_FOLDER / MODEL_FILE),
        )
        assert ours.closer is not None
        assert first.closer is not None
        assert not torch.equal(ours.closer.head.weight, first.closer.head.weight), "more images"
        before = (winner / MODEL_FILE).read_bytes()
        options = asked(weights, "2", recipe="auto")
        learn(catalog(), options, winner, resume=True, quiet=True)
        assert (winner / MODEL_FILE).read_bytes() == before

    def test_what_was_not_used_is_not_used(self, file: Path, weights: str, tmp_path: Path) -> None:
        other = Path(shutil.copy(file, tmp_path / "other.safetensors"))
        said = look_closer(file, catalog(side=40), asked(weights, "auto"))
        look_alike(other, file, catalog(), asked(weights, "auto"))
        assert read_header(other).provenance["zoom"] == said.removeprefix("zoom: ")
        assert read_header(other).arguments["places"] == 0
