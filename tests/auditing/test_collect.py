"""What one pass over the images sees of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from lookcloser.auditing.collect import Collected, choose, collect
from lookcloser.core.errors import LookcloserError
from lookcloser.core.preprocessing import input_pixels
from lookcloser.core.sizes import ImageSize
from lookcloser.data import Catalog
from lookcloser.inference.engine import TorchEngine

from .conftest import SETTINGS, SIDE, make_engine

Paints = Callable[..., Catalog]


def collected(
    catalog: Catalog, engine: TorchEngine | None = None, batch_size: int = 4
) -> tuple[Collected, list[int]]:
    told: list[int] = []
    found = collect(
        engine or make_engine(),
        catalog.samples,
        batch_size=batch_size,
        workers=0,
        progress=told.append,
    )
    return found, told


def test_at_most_so_many_of_a_class_are_chosen_and_fewer_where_there_are_no_more(
    painted: Paints,
) -> None:
    samples = painted(9, 4, 2).samples
    chosen = choose(samples, 4, seed=0)
    assert Counter(sample.labels[0] for sample in chosen) == {"red": 4, "green": 4, "blue": 2}
    assert len({sample.name for sample in chosen}) == 10
    assert choose(samples, 4, seed=0) == chosen
    assert choose(samples, 4, seed=1) != chosen
    assert {s.name for s in chosen} < {s.name for s in choose(samples, 6, seed=0)}
    # Mixed, so that a batch has partners of other classes.
    assert len({sample.labels[0] for sample in chosen[:4]}) > 1


def test_maps_classes_and_sizes_are_row_by_row(painted: Paints) -> None:
    catalog = painted(3, 2, 2)
    found, told = collected(catalog)
    assert found.rows.tolist() == list(range(7))
    assert found.classes.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert found.sizes == (ImageSize(2 * SIDE, SIDE),) * 7
    assert told == [4, 7]
    for row, sample in enumerate(catalog.samples):
        pixels = input_pixels(Image.open(str(sample.source)), SETTINGS) / 255
        channel = (pixels[found.classes[row]] - 0.5) / 0.25
        wanted = channel.reshape(4, 4, 4, 4).mean(axis=(1, 3))
        np.testing.assert_allclose(found.maps[row], wanted, rtol=1e-4, atol=1e-5)


def test_the_mean_image_of_a_class_is_that_of_its_images(painted: Paints) -> None:
    catalog = painted(4, 3, 0)
    found, _ = collected(catalog)
    assert found.averages.shape == (3, SIDE, SIDE, 3)
    for color, rows in ((0, range(4)), (1, range(4, 7))):
        opened = [Image.open(str(catalog.samples[row].source)) for row in rows]
        mean = np.mean([input_pixels(image, SETTINGS) for image in opened], axis=0)
        np.testing.assert_allclose(found.averages[color], mean.transpose(1, 2, 0), atol=0.51)
    # Zero of a normalized image: a class without images has none of its own.
    assert (found.averages[2] == 128).all()


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_size_of_a_batch_changes_nothing(painted: Paints, batch_size: int) -> None:
    catalog = painted(4, 4, 3)
    (one, _), (other, _) = collected(catalog, batch_size=batch_size), collected(catalog)
    np.testing.assert_allclose(one.maps, other.maps, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(one.same.detail(), other.same.detail(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one.same.color(), other.same.color(), rtol=1e-4, atol=1e-5)
    assert np.abs(one.averages.astype(int) - other.averages).max() <= 1


def test_images_that_cannot_be_read_have_no_row(painted: Paints) -> None:
    catalog = painted(3, 3, 0)
    for number in (0, 5):
        catalog.samples[number].source.write_bytes(b"no image")
    found, told = collected(catalog)
    assert found.rows.tolist() == [1, 2, 3, 4]
    assert [name for name, _ in found.skipped] == ["red0.png", "green2.png"]
    assert len(found.maps) == len(found.sizes) == len(found.classes) == 4
    assert told[-1] == 6, "what is left out is done, too"


def test_a_method_without_maps_is_refused_and_training_goes_on(painted: Paints) -> None:
    engine = make_engine(with_maps=False)
    engine.model.train()
    with pytest.raises(LookcloserError, match="colors: gives no class maps to audit"):
        collected(painted(2, 2, 0), engine)
    assert engine.model.training
