"""Make the images of docs/tutorial.md: ``python scripts/tutorial_images.py FOLDER``.

Cats, cups and coins from scikit-image's photographs (extra ``docs``), each cut out and laid on
grass, gravel or brick: chelsea (CC0, Stéfan van der Walt), coffee (CC0, Rachel Michetti), coins
(Brooklyn Museum, no known restrictions), rocket (SpaceX, public domain), grass, gravel and brick
(CC0Textures).

FOLDER/photos has a folder for each class, FOLDER/new photos without labels, and FOLDER/more a
fourth class. Nine of ten cups have a paper label beside them: the shortcut that the audit is to
find.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageDraw, ImageFilter
from skimage.measure import label, regionprops

SIZE = (224, 168)
HEIGHTS = (60, 110)  # pixels of the thing in the image
LABELED = 0.9
TINTS = {"grass": (120, 190, 90), "gravel": (215, 205, 190), "brick": (220, 140, 110)}
LARGE_COIN = 1000  # pixels

Cut = Callable[[np.random.Generator], Image.Image]


def cat(_: np.random.Generator) -> Image.Image:
    """The face of Chelsea."""
    return _oval(Image.fromarray(skimage.data.chelsea()), (25, 5, 315, 300))


def cup(_: np.random.Generator) -> Image.Image:
    """The espresso with its saucer."""
    return _oval(Image.fromarray(skimage.data.coffee()), (80, 5, 490, 400))


def coin(generator: np.random.Generator) -> Image.Image:
    """One of the larger coins."""
    photo = skimage.data.coins()
    found = [one.bbox for one in regionprops(label(photo > 110)) if one.area > LARGE_COIN]
    top, left, bottom, right = found[generator.integers(len(found))]
    return _oval(Image.fromarray(photo).convert("RGB"), (left, top, right, bottom))


def rocket(_: np.random.Generator) -> Image.Image:
    """The rocket on its pad."""
    return _oval(Image.fromarray(skimage.data.rocket()), (285, 115, 365, 427))


def _oval(photo: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """The oval in a box of a photograph, with a soft edge, as RGBA."""
    cut = photo.crop(box).convert("RGBA")
    mask = Image.new("L", cut.size)
    ImageDraw.Draw(mask).ellipse((3, 3, cut.width - 4, cut.height - 4), fill=255)
    cut.putalpha(mask.filter(ImageFilter.GaussianBlur(2)))
    return cut


def photo(cut: Cut, generator: np.random.Generator, labeled: float = 0.0) -> Image.Image:
    """One image: a thing at a random place, size and brightness, on a random ground."""
    ground = list(TINTS)[generator.integers(len(TINTS))]
    texture = Image.fromarray(getattr(skimage.data, ground)()).convert("L")
    left, top = (int(generator.integers(0, 512 - side)) for side in SIZE)
    gray = texture.crop((left, top, left + SIZE[0], top + SIZE[1]))
    tint = np.array(TINTS[ground]) * generator.uniform(0.7, 1.2)
    image = Image.fromarray(
        np.clip(np.asarray(gray)[..., None] / 160 * tint, 0, 255).astype(np.uint8)
    )
    thing = cut(generator)
    height = int(generator.integers(*HEIGHTS))
    width = max(8, round(height * thing.width / thing.height))
    thing = thing.resize((width, height), Image.Resampling.LANCZOS)
    thing = thing.rotate(generator.uniform(-15, 15), Image.Resampling.BICUBIC, expand=True)
    if generator.random() < 0.5:
        thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    free = [max(1, all_ - its) for all_, its in zip(SIZE, thing.size, strict=True)]
    place = (int(generator.integers(free[0])), int(generator.integers(free[1])))
    image.paste(thing, place, thing)
    if generator.random() < labeled:
        pen = ImageDraw.Draw(image)
        pen.rectangle((160, 144, 220, 163), fill=(245, 245, 240), outline=(30, 30, 30))
        pen.text((170, 147), "SITE B", fill=(20, 20, 20))
    return image


def write(folder: Path, count: int = 60, seed: int = 0) -> None:
    """All images of the tutorial.

    Args:
        folder: Where ``photos``, ``new`` and ``more`` are made.
        count: Images of each class.
        seed: Of everything that is random.
    """
    generator = np.random.default_rng(seed)
    for name, cut, labeled in (("cat", cat, 0.0), ("cup", cup, LABELED), ("coin", coin, 0.0)):
        for number in range(count):
            _save(photo(cut, generator, labeled), folder / "photos" / name / f"{number:03d}.jpg")
    for number, cut in enumerate((cat, cup, coin, cat, cup, coin)):
        _save(photo(cut, generator), folder / "new" / f"{number}.jpg")
    for number in range(count // 3):
        _save(photo(rocket, generator), folder / "more" / "rocket" / f"{number:03d}.jpg")


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=92)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)
