"""The one loop over a split: what it reads, what it passes over, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.preprocessing import input_pixels
from lookcloser.core.sizes import ImageSize
from lookcloser.data import Sample
from lookcloser.data.targets import ClassTargets
from lookcloser.inference.engine import TorchEngine
from lookcloser.inference.split_loop import SplitBatch, ask_split, read_split, run_split

from .conftest import NAMES

Engines = Callable[..., TorchEngine]
TARGETS = ClassTargets(NAMES)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Seven images of which the third and the last are broken."""
    folder = tmp_path_factory.mktemp("split")
    found = []
    for number in range(7):
        path = folder / f"{number}.png"
        pixels = np.random.default_rng(number).integers(0, 256, (20 + number, 30, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        if number in (2, 6):
            path.write_bytes(b"no image")
        found.append(Sample(path.name, path, (NAMES[number % 3],)))
    return found


def test_readable_images_come_in_order_and_the_others_are_listed(
    make_engine: Engines, samples: list[Sample]
) -> None:
    engine, skipped = make_engine(), list[tuple[str, str]]()
    batches = list(read_split(engine, samples, TARGETS, skipped, batch_size=3))
    assert [batch.rows for batch in batches] == [[0, 1], [3, 4, 5]]
    assert [sample.name for batch in batches for sample in batch.samples] == [
        f"{number}.png" for number in (0, 1, 3, 4, 5)
    ]
    assert torch.cat([batch.targets for batch in batches]).tolist() == [0, 1, 0, 1, 2]
    assert batches[1].sizes == [ImageSize(30, 20 + number) for number in (3, 4, 5)]
    assert [name for name, _ in skipped] == ["2.png", "6.png"]
    assert all("not an image" in reason for _, reason in skipped)


def test_progress_ends_at_the_end_also_where_the_last_image_is_broken(
    make_engine: Engines, samples: list[Sample]
) -> None:
    engine, told = make_engine(), list[int]()
    how = {"batch_size": 3, "progress": told.append}
    for batch, _ in run_split(engine, samples, TARGETS, lambda _: None, [], **how):
        assert told == ([] if batch.rows[0] == 0 else [2]), "told of what has been worked on"
    assert told == [2, 6, 7]


def test_the_input_is_that_of_a_prediction(make_engine: Engines, samples: list[Sample]) -> None:
    engine = make_engine()
    (batch,) = read_split(engine, samples[:2], TARGETS, [], batch_size=2)
    preprocessing = engine.header.preprocessing
    opened = [Image.open(str(sample.source)).convert("RGB") for sample in samples[:2]]
    pixels = np.stack([input_pixels(image, preprocessing) for image in opened])
    torch.testing.assert_close(batch.images, engine.images(pixels), rtol=0, atol=0)


def test_it_asks_in_evaluation_without_gradients_and_leaves_the_network_as_it_was(
    make_engine: Engines, samples: list[Sample]
) -> None:
    engine = make_engine()
    engine.model.train()
    asked = []

    def ask(batch: SplitBatch) -> Tensor:
        asked.append((engine.model.training, torch.is_inference_mode_enabled(), len(batch.rows)))
        return engine.model(batch.images).logits

    for _, logits in run_split(engine, samples, TARGETS, ask, [], batch_size=4):
        assert engine.model.training
        assert not torch.is_inference_mode_enabled()
        assert logits.shape[1] == 3
    assert asked == [(False, True, 3), (False, True, 2)]


def test_one_batch_is_in_memory_at_a_time(make_engine: Engines, samples: list[Sample]) -> None:
    asked = []
    stream = run_split(
        make_engine(), samples, TARGETS, lambda batch: asked.append(batch.rows), [], batch_size=2
    )
    for done, _ in enumerate(stream, start=1):
        assert len(asked) == done
    assert asked == [[0, 1], [3], [4, 5]]


def test_the_answers_do_not_depend_on_the_size_of_a_batch(
    make_engine: Engines, samples: list[Sample]
) -> None:
    engine = make_engine()
    engine.model.double()

    def logits(size: int) -> Tensor:
        found = run_split(
            engine,
            samples,
            TARGETS,
            lambda batch: engine.model(batch.images.double()).logits,
            [],
            batch_size=size,
        )
        return torch.cat([answer for _, answer in found])

    one = logits(1)
    assert len(one) == 5
    torch.testing.assert_close(logits(5), one)


def test_where_nothing_can_be_read_is_said_at_the_end(
    make_engine: Engines, samples: list[Sample]
) -> None:
    engine, broken = make_engine(), [samples[2], samples[6]]
    skipped: list[tuple[str, str]] = []
    assert not list(ask_split(engine, broken, TARGETS, id, [], batch_size=2))
    with pytest.raises(LookcloserError, match="None of the 2 images could be read") as raised:
        list(run_split(engine, broken, TARGETS, id, skipped, batch_size=2))
    assert "data check" in str(raised.value)
    assert len(skipped) == 2


@pytest.mark.parametrize("how", [{"batch_size": 0}, {"batch_size": -4}, {"workers": -1}])
def test_numbers_that_are_too_small_are_named_before_anything_is_read(
    make_engine: Engines, samples: list[Sample], how: dict[str, int]
) -> None:
    ((name, value),) = how.items()
    skipped: list[tuple[str, str]] = []
    stream = run_split(
        make_engine(), [samples[2]], TARGETS, lambda batch: batch.rows, skipped, **how
    )
    with pytest.raises(UsageError, match=f"{name} = {value}. Allowed: a whole number"):
        next(stream)
    assert not skipped


def test_a_missing_file_is_one_of_those(
    make_engine: Engines, samples: list[Sample], tmp_path: Path
) -> None:
    gone = Sample("gone.png", tmp_path / "gone.png", ("red",))
    skipped: list[tuple[str, str]] = []
    batches = list(read_split(make_engine(), [samples[0], gone], TARGETS, skipped, batch_size=2))
    assert [batch.rows for batch in batches] == [[0]]
    assert skipped[0][0] == "gone.png"
