"""Masks beside images: which belong together, and what is none."""

import numpy as np
import pytest
from PIL import Image

from lookcloser.core import LookcloserError
from lookcloser.core.sizes import ImageSize
from lookcloser.data import Sample
from lookcloser.data.masks import find_masks, open_mask


def save(file, values, mode="L"):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).convert(mode).save(file)
    return file


def test_masks_are_found_by_the_names_of_the_images(tmp_path):
    samples = [Sample(name, tmp_path / name) for name in ("a/1.jpg", "a/2.jpg", "b/1.v.jpeg")]
    assert find_masks(tmp_path, samples) == {}
    first = save(tmp_path / "masks/a/1.png", [[1]])
    third = save(tmp_path / "masks/b/1.v.png", [[1]])
    assert find_masks(tmp_path, samples) == {0: first, 2: third}


def test_what_is_no_mask(tmp_path):
    (tmp_path / "x.png").write_bytes(b"no")
    with pytest.raises(LookcloserError, match=r"x\.png: not an image that can be read"):
        open_mask(tmp_path / "x.png", ImageSize(2, 2))
    with pytest.raises(LookcloserError, match="mode RGB"):
        open_mask(save(tmp_path / "c.png", [[1, 2]], "RGB"), ImageSize(2, 1))
    with pytest.raises(LookcloserError, match="2×1 pixels.* 3×1, as its image"):
        open_mask(save(tmp_path / "s.png", [[1, 2]]), ImageSize(3, 1))
