"""resize.js gives the pixels that Pillow gives."""

import base64

import numpy as np
import pytest
from PIL import Image

from lookcloser.core.preprocessing import Preprocessing, input_pixels

from .conftest import needs_node, node

# (width, height) of images -> (height, width) of inputs: smaller, larger, the same, odd, thin.
SIZES = [
    ((200, 151), (32, 48)),
    ((31, 17), (64, 40)),
    ((48, 32), (32, 48)),
    ((1, 1), (8, 8)),
    ((301, 3), (16, 16)),
    ((97, 64), (64, 33)),
]

EVERY = """cases.map(({ rgba, width, height, size, interpolation }) => {
  const bytes = Uint8ClampedArray.from(Buffer.from(rgba, "base64"));
  return [...resizeImage(bytes, width, height, size, interpolation)];
})"""

STRIPS = """[...(() => {
  const bytes = Uint8ClampedArray.from(Buffer.from(rgba, "base64"));
  const lines = new Uint8Array(60 * 16 * 3);
  const taps = makeTaps(50, 16, "bicubic");
  for (let top = 0; top < 60; top += 7) {
    const rows = Math.min(7, 60 - top);
    squeezeRows(bytes.subarray(4 * 50 * top, 4 * 50 * (top + rows)), 50, rows, taps, lines, top);
  }
  return squeezeColumns(lines, 16, makeTaps(60, 24, "bicubic"));
})()]"""


def drawn(size, seed):
    """Noise, with the extreme values at which rounding and overshoot show."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    pixels[rng.random(pixels.shape) < 0.3] = 255
    pixels[rng.random(pixels.shape) < 0.3] = 0
    return Image.fromarray(pixels)


def packed(image):
    return base64.b64encode(np.asarray(image.convert("RGBA")).tobytes()).decode()


@needs_node
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_every_pixel_is_pillows(interpolation):
    images = [drawn(size, seed) for seed, (size, _) in enumerate(SIZES)]
    cases = [
        {
            "rgba": packed(image),
            "width": image.width,
            "height": image.height,
            "size": size,
            "interpolation": interpolation,
        }
        for image, (_, size) in zip(images, SIZES, strict=True)
    ]
    found = node(("resize.js",), EVERY, cases=cases)
    for pixels, image, (_, size) in zip(found, images, SIZES, strict=True):
        wanted = input_pixels(image, Preprocessing(size, interpolation=interpolation))
        np.testing.assert_array_equal(np.reshape(pixels, wanted.shape), wanted)


@needs_node
def test_strips_give_what_the_whole_image_gives():
    image = drawn((50, 60), 9)
    found = node(("resize.js",), STRIPS, rgba=packed(image))
    wanted = input_pixels(image, Preprocessing((24, 16), interpolation="bicubic"))
    np.testing.assert_array_equal(np.reshape(found, wanted.shape), wanted)
