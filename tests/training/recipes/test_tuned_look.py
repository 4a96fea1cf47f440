"""The second look of a fine-tuned network: what is chosen by val, and that the model does it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lookcloser.closed_form import Head, Metric
from lookcloser.core.calibration import Calibration
from lookcloser.core.images import load_image
from lookcloser.data.catalog import Catalog
from lookcloser.data.transforms import evaluation_transform
from lookcloser.models.cam.model import CAM
from lookcloser.models.cam.twice import LooksTwice
from lookcloser.training.fit import prepare_model
from lookcloser.training.options import make_options
from lookcloser.training.recipes import tuned_look
from lookcloser.training.recipes.tuned_look import Choice, solve_tuned, with_tuned
from lookcloser.uncertainty import cross_entropy
from tests.training.recipes.patterns import INPUT, NAMES, scenes, write_weights


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[CAM, Any, Catalog]:
    """A network whose head knows something, as if it had been trained."""
    weights = write_weights(tmp_path_factory.mktemp("weights") / "net.safetensors")
    samples = (*scenes(48, "train", 0), *scenes(30, "val", 2))
    data = Catalog(Path(), "", "classification", NAMES, samples)
    options = make_options(
        method="cam", backbone="test_resnet", weights=weights, stride=8, size=INPUT
    )
    model, header = prepare_model(options, data)
    assert isinstance(model, CAM)
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(0))
    return model.eval(), header, data


def solved(tuned: tuple[CAM, Any, Catalog], places: int = 2, **more: Any) -> Any:
    model, header, data = tuned
    return solve_tuned(model, header, data.split("train"), data.split("val"), places=places, **more)


def answers(model: LooksTwice, header: Any, data: Catalog) -> tuple[Any, np.ndarray]:
    prepare = evaluation_transform(header.preprocessing)
    images = torch.stack([prepare(load_image(s.source)) for s in data.split("val")])
    with torch.inference_mode():
        output = model.eval()(images)
    return output, np.array([NAMES.index(s.labels[0]) for s in data.split("val")])


@pytest.mark.parametrize("whole", [None, 0.3])
def test_the_model_answers_as_val_was_rated(
    tuned: tuple[CAM, Any, Catalog], whole: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With whatever share of the whole image."""
    if whole is not None:
        monkeypatch.setattr(tuned_look, "WHOLE", (whole,))
    found = solved(tuned)
    model, header = with_tuned(*tuned[:2], found, 2)
    assert model.closer is not None
    assert model.closer.whole == found.choice.whole
    output, classes = answers(model, header, tuned[2])
    logits = output.logits.numpy()
    assert (logits.argmax(axis=1) == classes).mean() == pytest.approx(found.choice.accuracy)
    loss = cross_entropy(logits / header.calibration.temperature, classes)
    assert loss == pytest.approx(found.choice.loss, rel=1e-2)
    beyond = output.distances.numpy() > header.calibration.distance
    assert beyond.mean() <= 0.05, "of own images"


def test_the_whole_image_is_seen_as_in_training(
    tuned: tuple[CAM, Any, Catalog], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the size the head was trained at: its answer alone is that of the tuned network."""
    monkeypatch.setattr(tuned_look, "WHOLE", (0.5,))
    model, header, data = tuned
    found = solved(tuned)
    new, wide = with_tuned(model, header, found, 2)
    output, _ = answers(new, wide, data)
    once, _ = answers(model, header, data)
    ours, theirs = output.scale_logits[:, 0] * found.choice.own, once.logits
    # Resized in two steps, from 96 px to 64 and to 32.
    related = np.corrcoef(ours.numpy().ravel(), theirs.numpy().ravel())[0, 1]
    assert related > 0.95
    seen = output.scale_logits[:, 1:]
    between = 2 * output.logits - output.scale_logits[:, 0]
    slack = 1e-3 * float(seen.abs().max())
    assert (between >= seen.amin(dim=1) - slack).all(), "the rest is a mean of the places"
    assert (between <= seen.amax(dim=1) + slack).all()


def test_maps_add_up_to_the_answer(
    tuned: tuple[CAM, Any, Catalog], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuned_look, "WHOLE", (0.5,))
    new, header = with_tuned(*tuned[:2], solved(tuned), 2)
    assert new.closer is not None
    output, _ = answers(new, header, tuned[2])
    bias = 0.5 * new.head.bias / new.closer.whole_temperature + 0.5 * new.closer.head.bias
    wanted = (output.logits - bias).detach().numpy().ravel()
    sums = output.maps.mean(dim=(2, 3)).numpy().ravel()
    assert np.corrcoef(sums, wanted)[0, 1] > 0.95, "up to interpolation"


def test_what_is_chosen_already_is_kept(tuned: tuple[CAM, Any, Catalog]) -> None:
    choice = Choice(0.34, 0.2, 3.0, 2.0, Calibration(1.5, 40), 0.7, 0.9)
    found = solved(tuned, choice=choice)
    assert found.choice == choice
    new, header = with_tuned(*tuned[:2], found, 2)
    assert (header.arguments["share"], header.arguments["whole"]) == (0.34, 0.2)
    assert header.calibration == choice.calibration
    assert header.scores == {"val_acc": 0.7, "val_loss": 0.9}
    assert new.closer is not None
    assert float(new.closer.temperature) == pytest.approx(
        2 * found.second.calibration.temperature, rel=1e-5
    )
    assert (new.closer.whole_temperature, header.arguments["whole_temperature"]) == (3, 3)
    torch.testing.assert_close(new.head.weight, tuned[0].head.weight)


def test_without_val_crops_left_out_choose_the_size_and_nothing_is_known(
    tuned: tuple[CAM, Any, Catalog],
) -> None:
    model, header, data = tuned
    found = solve_tuned(model, header, data.split("train"), (), places=1)
    assert found.choice == Choice(found.choice.share)
    _, header = with_tuned(model, header, found, 1)
    assert (header.scores, header.calibration) == ({}, Calibration())


class TestChosen:
    """By made-up looks at 60 images of three classes."""

    CLASSES = np.arange(60) % 3

    def chosen(
        self, monkeypatch: pytest.MonkeyPatch, whole: float, crops: float, scale: float = 1.0
    ) -> Choice:
        """With a whole image and crops that say so much of the truth, beside noise."""
        noise = np.random.default_rng(0)
        truth = np.eye(3)[self.CLASSES]
        first = (whole * truth + noise.normal(size=(60, 3))).astype(np.float32)
        seen = scale * (crops * truth[:, None] + noise.normal(size=(60, 2, 3)))
        present = np.zeros((60, 2), np.float32)
        monkeypatch.setattr(tuned_look, "_places", lambda *_: (present, seen.astype(np.float32)))
        metric = Metric(np.zeros(3), np.zeros((0, 3)), np.zeros(0), 1.0, np.zeros(3))
        head = Head(np.eye(3), np.zeros(3), 0.1, Calibration(1.0, 60), 0.5, 0.5, metric)
        held: Any = SimpleNamespace(looks=SimpleNamespace(classes=self.CLASSES), first=first)
        look: Any = SimpleNamespace(share=0.26)
        return tuned_look._chosen(held, look, head)

    def test_a_whole_image_that_knows_nothing_has_no_say(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.chosen(monkeypatch, whole=0.0, crops=3.0).whole <= 0.1

    def test_one_that_knows_more_is_heard(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = self.chosen(monkeypatch, whole=4.0, crops=0.3)
        assert found.whole > 0
        assert found.accuracy > 0.95, "of the crops alone about half would be right"

    def test_two_that_know_something_are_better_together(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        both = self.chosen(monkeypatch, whole=1.5, crops=1.5)
        assert 0.1 <= both.whole <= 0.8
        monkeypatch.setattr(tuned_look, "WHOLE", (0.0,))
        assert both.loss < self.chosen(monkeypatch, whole=1.5, crops=1.5).loss

    def test_a_head_that_is_too_sure_of_itself_is_cooled_by_val(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        honest = self.chosen(monkeypatch, whole=1.0, crops=2.0)
        loud = self.chosen(monkeypatch, whole=1.0, crops=2.0, scale=30.0)
        assert loud.crops == pytest.approx(30 * honest.crops, rel=1e-2)
        assert (loud.whole, loud.accuracy) == (honest.whole, honest.accuracy)
        assert loud.loss == pytest.approx(honest.loss, rel=1e-2)
