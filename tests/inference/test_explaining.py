"""One image looked at in several ways: of which class, where, and what cannot be asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing, input_pixels
from lookcloser.core.sizes import Grid, ImageSize
from lookcloser.core.types import Label, Region
from lookcloser.explain import VIEWS
from lookcloser.inference.derivatives import ranking_regions
from lookcloser.inference.engine import TorchEngine
from lookcloser.inference.explaining import class_index, explain_image, explain_labels
from lookcloser.inference.stock import StockEngine
from lookcloser.inference.views import look
from lookcloser.losses import pairwise_ranking_loss
from lookcloser.models import build_model
from lookcloser.runtime import label_scores, map_regions

from .conftest import NAMES

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
Engines = Callable[..., TorchEngine]


def built(method: str, **options: object) -> TorchEngine:
    """An engine of a random network of that method, whose tags are all above their threshold."""
    torch.manual_seed(2)
    given = {"num_classes": 3, "backbone": "test_resnet", "stride": 8, **options}
    model = build_model(method, given).eval()
    kind = "step" if model.tasks[0] == "multilabel" else "map"
    header = ModelHeader(
        method, given, model.tasks[0], NAMES, Preprocessing(Grid(32, 32)), evidence_kind=kind
    )
    return TorchEngine(model, header, torch.device("cpu"))


@pytest.fixture(scope="module")
def closer() -> TorchEngine:
    """A network that looks twice."""
    return built("racnn", scales=2)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("wren", 0), ("tabby", 1), ("tabby cat", 1), ("tabby, tabby cat", 1), ("tiger", 3),
        ("0", 4), ("2", 2), ("1", 1),
    ],
)  # fmt: skip
def test_a_class_is_found_by_its_name_before_anything_else(name: str, index: int) -> None:
    names = ("wren", "tabby, tabby cat", "tiger, tabby", "tiger", "0")
    assert class_index(name, ModelHeader("cam", {}, "classification", names)) == index


@pytest.mark.parametrize("name", ["3", "-1", "1.0", "²", "9" * 5000, "", "a", "Blue", " "])
def test_what_names_no_class_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="unknown class"):
        class_index(name, ModelHeader("cam", {}, "classification", NAMES))


def test_without_a_target_it_is_the_label_of_the_answer(make_engine: Engines) -> None:
    engine = make_engine()
    pixels = input_pixels(IMAGE, engine.header.preprocessing)[None]
    answer = engine.answer(pixels, 1)
    assert answer.tokens is not None
    best = int(answer.tokens[0, 0])
    found = explain_image(engine, IMAGE, ["cam", "gradcam"], target=None)
    assert list(found) == ["cam", "gradcam"]
    scores = label_scores(answer.logits, engine.header)[0]
    for region in found.values():
        assert (region.label, region.kind) == (NAMES[best], "map")
        assert region.score == pytest.approx(float(scores[best]))
    wanted = explain_image(engine, IMAGE, ["cam"], target=str(best))["cam"]
    assert wanted.to_dict() == found["cam"].to_dict()


def test_a_view_is_the_map_of_the_network_in_pixels_of_the_image(make_engine: Engines) -> None:
    engine = make_engine()
    images = engine.images(input_pixels(IMAGE, engine.header.preprocessing)[None])
    for view in ("cam", "saliency"):
        found = explain_image(engine, IMAGE, [view], target="green")[view]
        maps = look(engine.model, images, torch.tensor([[1]]), [view])[view]
        (wanted,) = map_regions(
            maps[0].detach().numpy(),
            [Label("green", found.score, 1)],
            ImageSize(60, 40),
            engine.header.preprocessing.size,
            engine.header.box_threshold,
            engine.header.box_rule,
        )
        assert found.to_dict() == wanted.to_dict()


def test_an_image_in_any_form_gives_the_same(make_engine: Engines, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    IMAGE.save(path)
    engine = make_engine()
    wanted = explain_image(engine, IMAGE, ["cam"], target="red")["cam"].to_dict()
    for source in (path, str(path), path.read_bytes(), np.asarray(IMAGE)):
        assert explain_image(engine, source, ["cam"], target="red")["cam"].to_dict() == wanted


def test_the_network_is_left_as_it_was(make_engine: Engines) -> None:
    engine = make_engine()
    engine.model.train()
    explain_image(engine, IMAGE, None, target="red")
    assert engine.model.training
    assert all(parameter.grad is None for parameter in engine.model.parameters())
    assert not any(module._forward_hooks for module in engine.model.modules())


def test_labels_have_a_region_in_each_view_in_their_order(make_engine: Engines) -> None:
    engine = make_engine()
    found = explain_labels(engine, IMAGE, ["cam", "gradcam"], labels=["red", "0", "red"])
    assert list(found) == ["cam", "gradcam"]
    for view, regions in found.items():
        assert [region.label for region in regions] == ["red", "blue", "red"]
        alone = explain_image(engine, IMAGE, [view], target="red")[view]
        np.testing.assert_allclose(regions[0].heatmap, alone.heatmap, rtol=1e-3, atol=1e-3)
        np.testing.assert_array_equal(regions[0].heatmap, regions[2].heatmap)


def test_the_labels_of_an_answer_are_its_steps_and_none_are_refused() -> None:
    every, none = (built("sigmoid", threshold=threshold) for threshold in (0.01, 0.99))
    answer = every.answer(input_pixels(IMAGE, every.header.preprocessing)[None], 1)
    assert answer.tokens is not None
    found = explain_labels(every, IMAGE, ["cam"], labels=None)["cam"]
    assert [region.label for region in found] == [NAMES[tag] for tag in answer.tokens[0]]
    assert [(region.kind, region.step) for region in found] == [("step", n) for n in range(3)]
    with pytest.raises(LookcloserError, match=r"no label to explain\. Name one: `--target LABEL`"):
        explain_labels(none, IMAGE, ["cam"], labels=None)
    with pytest.raises(LookcloserError, match="no label to explain"):
        explain_labels(every, IMAGE, ["cam"], labels=[])
    likeliest = explain_image(none, IMAGE, ["cam"], target=None)["cam"]
    scores = label_scores(answer.logits, every.header)[0]
    assert likeliest.label == NAMES[int(scores.argmax())], "where none is answered"


@pytest.mark.parametrize("ask", [explain_image, explain_labels])
def test_what_cannot_be_looked_at_is_refused_before_the_image_is_read(
    make_engine: Engines, ask: Callable[..., object]
) -> None:
    engine = make_engine()
    option = "target" if ask is explain_image else "labels"
    with pytest.raises(UsageError, match=r"gradcan: unknown view\. Close: gradcam"):
        ask(engine, "missing.png", ["cam", "gradcan"], **{option: None})
    captioner = replace(engine, header=replace(engine.header, task="captioning"))
    with pytest.raises(LookcloserError, match="writes captions, and a view is of one class"):
        ask(captioner, "missing.png", None, **{option: None})
    with pytest.raises(LookcloserError, match=r"missing\.png: no such file"):
        ask(engine, "missing.png", None, **{option: None})


def test_all_views_are_those_that_the_network_has(make_engine: Engines) -> None:
    found = explain_image(make_engine(), IMAGE, ["all"], target="red")
    plain = [name for name in found if name in VIEWS]
    assert plain == [name for name in VIEWS if name in plain], "in the order of `VIEWS`"
    assert {"cam", "gradcam", "saliency"} < set(plain)
    assert not [name for name in found if name.startswith("part")]


def test_of_a_network_that_looks_closer_the_moves_of_its_boxes_are_shown(
    closer: TorchEngine,
) -> None:
    found = explain_image(closer, IMAGE, ["derivative"], target="red")
    moved = {name: region for name, region in found.items() if region.move is not None}
    assert list(moved) == [
        "derivative of the score (scale 2)", "derivative of the ranking loss (scale 2)",
    ]  # fmt: skip
    output = closer.answer(input_pixels(IMAGE, closer.header.preprocessing)[None], 1)
    assert output.boxes is not None
    x0, y0, x1, y1 = ((output.boxes[0, 0] + 1) / 2 * [60, 40, 60, 40]).tolist()
    wanted = (max(x0, 0), max(y0, 0), min(x1, 60), min(y1, 40))
    for region in moved.values():
        assert (region.kind, region.label, region.step) == ("scale", "red", 1)
        assert region.box == pytest.approx(wanted, abs=0.02)
        assert region.move is not None
        assert np.linalg.norm(region.move) == pytest.approx(1, rel=1e-4)
    assert len(explain_image(closer, IMAGE, ["cam"], target="red")) == 1


def test_the_move_of_the_ranking_loss_lowers_it(closer: TorchEngine) -> None:
    model = closer.model.double()
    images = closer.images(input_pixels(IMAGE, closer.header.preprocessing)[None]).double()
    corners = torch.tensor([[-0.6, -0.5, 0.4, 0.5]])
    scale = Region("scale", "red", 0.5, (0, 0, 1, 1), step=1)
    (region,) = ranking_regions(model, images, corners, 2, [scale]).values()
    assert region.move is not None
    assert region.heatmap is not None
    assert region.heatmap.max() == pytest.approx(1)

    def loss(step: float) -> float:
        center = torch.tensor([[-0.1, 0.0, 0.5]]).double() + step * torch.tensor([region.move])
        logits = model.logits_at(images, center[None].to(images.dtype))
        assert logits is not None
        return float(pairwise_ranking_loss(logits[:, 0], logits[:, 1], torch.tensor([2]), 2.0))

    with torch.no_grad():
        assert loss(1e-4) < loss(0) < loss(-1e-4)
    closer.model.float()


def test_a_network_that_looks_once_has_no_ranking_loss(make_engine: Engines) -> None:
    engine = make_engine()
    images = engine.images(input_pixels(IMAGE, engine.header.preprocessing)[None])
    assert ranking_regions(engine.model, images, torch.zeros(1, 4), 0, []) == {}


class Flat(torch.nn.Module):
    """Logits straight from the pixels: no class maps, no features."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(3 * 32 * 32, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(images.flatten(1))


def test_a_view_that_a_network_does_not_have_is_named_or_left_out() -> None:
    torch.manual_seed(0)
    header = ModelHeader("timm", {}, "classification", NAMES, Preprocessing(Grid(32, 32)))
    engine = StockEngine(Flat().eval(), header, torch.device("cpu"))
    assert list(explain_image(engine, IMAGE, None, target="red")) == ["saliency"]
    with pytest.raises(LookcloserError, match="^cam: "):
        explain_image(engine, IMAGE, ["saliency", "cam"], target="red")
    answer = engine.answer(input_pixels(IMAGE, header.preprocessing)[None], 2)
    assert answer.maps is not None
    assert answer.maps.shape == (1, 2, 32, 32), "the evidence that it has is by pixel"
    order = np.argsort(-answer.logits[0])[:2]
    np.testing.assert_array_equal(answer.tokens, order[None])
