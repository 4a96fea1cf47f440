"""Two files side by side: hand-written networks, whose differences are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from lookcloser.core.header import ModelHeader, header_text
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.decoding import Search
from lookcloser.export.measure import Measured, Row, side_by_side
from lookcloser.runtime.onnx import load
from lookcloser.runtime.onnx_engine import OnnxEngine
from lookcloser.runtime.onnx_file import KEY

from ..runtime.decoders import END, LONGEST, START, parsed, write_decoder

onnx = pytest.importorskip("onnx")

SIDE = 16
HEADER = ModelHeader(
    "cam", {}, "classification", ("red", "green", "blue"), Preprocessing((SIDE, SIDE))
)
# Its maps are the channels of the image, four times smaller, and its logits their means.
CHANNELS = """
network (float[batch,3,16,16] image)
    => (float[batch,3] logits, float[batch,3] scores, float[batch,3,4,4] saliency_map)
<int64[3] order = {0, 1, 2}, float way = {1}> {
  chosen = Gather <axis = 1> (image, order)
  small = AveragePool <kernel_shape = [4, 4], strides = [4, 4]> (chosen)
  saliency_map = Mul(small, way)
  pooled = GlobalAveragePool(small)
  logits = Flatten(pooled)
  scores = Softmax(logits)
}"""
Opens = Callable[..., OnnxEngine]


@pytest.fixture
def channels(tmp_path: Path) -> Opens:
    """An engine of `CHANNELS`, with parts of its text replaced."""

    def opened(name: str = "a", **changed: str) -> OnnxEngine:
        text = CHANNELS
        for old, new in changed.values():
            assert old in text
            text = text.replace(old, new)
        model = parsed(text)
        onnx.helper.set_model_props(model, {KEY: header_text(HEADER)})
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        return load(path, threads=1).engine

    return opened


def squares(count: int = 20) -> Measured:
    """Images with a bright square of one color in one corner each, and the truth about them."""
    pixels = np.random.default_rng(0).integers(0, 20, (count, 3, SIDE, SIDE), dtype=np.uint8)
    labels = np.arange(count) % 3
    boxes = []
    for row, label in enumerate(labels):
        x, y = 8 * (row % 2), 8 * (row // 2 % 2)
        pixels[row, label, y : y + 8, x : x + 8] = 250
        # The originals are twice as wide.
        boxes.append([(2.0 * x, float(y), 2.0 * x + 16, y + 8.0)])
    return Measured(pixels, labels, boxes, [(2 * SIDE, SIDE)] * count)


def rows(before: OnnxEngine, after: OnnxEngine, given: Measured) -> dict[str, Row]:
    return {row.name: row for row in side_by_side(before, after, given)}


def test_a_file_beside_itself_has_the_same_numbers_twice(channels: Opens) -> None:
    engine, given = channels(), squares()
    found = rows(engine, engine, given)
    assert [found["top-1"].before, found["top-1"].after] == [1, 1]
    assert (found["same answer"].before, found["same answer"].after) == (None, 1)
    assert found["map rank correlation"].after == pytest.approx(1)
    boxes = found["MaxBoxAcc@0.5"]
    assert boxes.before == boxes.after == 1, "maps of the true class, boxes scaled to the input"
    assert found["megabytes"].before == pytest.approx(len(engine.file.model) / 1e6)
    assert found["ms an image"].after > 0


def test_another_order_of_channels_is_another_answer(channels: Opens) -> None:
    given = squares()
    found = rows(channels(), channels("b", order=("{0, 1, 2}", "{0, 2, 1}")), given)
    share = float((given.labels == 0).mean())
    assert found["top-1"].before == 1
    assert found["top-1"].after == found["same answer"].after == pytest.approx(share)
    assert found["MaxBoxAcc@0.5"].after < found["MaxBoxAcc@0.5"].before


def test_maps_are_compared_of_what_the_first_file_answers(channels: Opens) -> None:
    turned = channels("b", way=("way = {1}", "way = {-1}"))
    found = rows(channels(), turned, squares())
    assert found["same answer"].after == 1, "logits are made before"
    assert found["map rank correlation"].after == pytest.approx(-1)


def test_images_without_boxes_are_left_out_of_the_boxes(channels: Opens) -> None:
    given = squares(6)
    some = replace(given, boxes=[*given.boxes[:2], [], [], [], []])
    assert rows(channels(), channels(), some)["MaxBoxAcc@0.5"].after == 1


@pytest.mark.parametrize(
    ("known", "left"),
    [({"boxes": None}, "MaxBoxAcc@0.5"), ({"labels": None}, "top-1"), ({"labels": None}, "MaxBox")],
)
def test_what_is_not_known_has_no_row(channels: Opens, known: dict[str, None], left: str) -> None:
    found = rows(channels(), channels(), replace(squares(4), **known))
    assert not [name for name in found if name.startswith(left)]
    assert "same answer" in found


def test_files_without_maps_are_compared_by_their_answers_alone(channels: Opens) -> None:
    plain = channels("b", maps=(", float[batch,3,4,4] saliency_map", ""))
    found = rows(plain, plain, squares(5))
    assert list(found) == ["top-1", "same answer", "megabytes", "ms an image"]


def bright(*values: int) -> Measured:
    return Measured(np.stack([np.full((3, 8, 8), value, np.uint8) for value in values]))


def decoders(folder: Path) -> tuple[OnnxEngine, OnnxEngine]:
    """Of the same words, one of which stops after the first."""
    one, two = (
        load(
            write_decoder(folder / f"{longest}.onnx", Search("beam", START, END, longest)),
            threads=1,
        ).engine
        for longest in (LONGEST, 1)
    )
    return one, two


def test_sequences_are_the_same_where_every_token_is(tmp_path: Path) -> None:
    one, two = decoders(tmp_path)
    # Dark images say one word, bright ones two, of which the second is left out by one file.
    given = bright(*[10] * 15, *[240] * 5)
    assert rows(one, two, given)["same answer"].after == pytest.approx(0.75)
    assert rows(one, one, given)["same answer"].after == 1
    assert "map rank correlation" in rows(one, two, given)


def test_where_no_sequence_is_the_same_no_map_is_compared(tmp_path: Path) -> None:
    one, two = decoders(tmp_path)
    found = rows(one, two, bright(240, 230))
    assert found["same answer"].after == 0
    assert "map rank correlation" not in found


def test_a_row_is_printed_in_its_form() -> None:
    assert Row("top-1", 0.98765, 0.5, ".4f").texts() == ["top-1", "0.9877", "0.5000"]
    assert Row("megabytes", None, 12.345, ".1f").texts() == ["megabytes", "", "12.3"]
