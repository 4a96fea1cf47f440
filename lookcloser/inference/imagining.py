"""Images that a network makes: what it takes for a class, and what fools it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lookcloser.core.header import ModelHeader
from lookcloser.core.images import ImageSource, load_image
from lookcloser.core.options import whole
from lookcloser.core.preprocessing import Preprocessing, input_pixels
from lookcloser.explain.class_visualization import class_visualization
from lookcloser.explain.fooling_images import fooling_images
from lookcloser.explain.made_images import to_images
from lookcloser.inference.explaining import AnyEngine, class_index
from lookcloser.inference.views import check_task


class Fooling(NamedTuple):
    """An image that the network takes for another class, beside the original.

    Attributes:
        original: As the network sees it, at the size of its input.
        fooling: The same with the smallest change that was found.
        change: The difference around middle gray, made as strong as it can be shown.
        target: The class wanted.
        flipped: Whether the network now answers with it.
        steps: Gradient steps taken; 0 where the answer was the target already.
        strength: Root mean square of the change, in 0…255.
    """

    original: Image.Image
    fooling: Image.Image
    change: Image.Image
    target: str
    flipped: bool
    steps: int
    strength: float


def imagine_class(
    engine: AnyEngine, target: str, *, steps: int = 150, seed: int = 0
) -> Image.Image:
    """An image that a network takes for a class, by gradient ascent from noise.

    Args:
        engine: The network: `Recognizer.engine`.
        target: The class, by its name or number.
        steps: Gradient steps.
        seed: Of the noise and the shifts.

    Returns:
        A PIL image of the size of the network's input; see `class_visualization`.

    Raises:
        LookcloserError: For an unknown class, no step, and a captioner.
    """
    index = _target(engine.header, target)
    whole(1, steps=steps)
    preprocessing = engine.header.preprocessing
    low, high = _bounds(preprocessing)
    images = class_visualization(
        engine.model, index, preprocessing.size, steps=steps, seed=seed, bounds=(low, high),
        # Some heads are made for one size of input.
        scales=(1.0,),
    )  # fmt: skip
    return to_images(images, preprocessing.mean, preprocessing.std)[0]


def fool(engine: AnyEngine, image: ImageSource, target: str, *, max_steps: int = 50) -> Fooling:
    """The smallest change of an image, as found, for which a network answers a class.

    Args:
        engine: The network: `Recognizer.engine`.
        image: As in `Recognizer.predict`, one.
        target: The class wanted, by its name or number.
        max_steps: Gradient steps after which it is given up; see `fooling_images`.

    Raises:
        LookcloserError: As `imagine_class`, and for an image that cannot be read.
    """
    index = _target(engine.header, target)
    whole(1, max_steps=max_steps)
    preprocessing = engine.header.preprocessing
    pixels = input_pixels(load_image(image), preprocessing)
    images = engine.images(pixels[None])
    found = fooling_images(engine.model, images, index, max_steps=max_steps)
    change = _levels(found.images[0] - images[0], preprocessing)
    return Fooling(
        _image(pixels),
        to_images(found.images, preprocessing.mean, preprocessing.std)[0],
        _image(127.5 + change * (127.5 / max(np.abs(change).max(), 1e-12))),
        engine.header.names[index],
        bool(found.flipped[0]),
        int(found.steps[0]),
        float(np.sqrt(np.mean(change**2))),
    )


def _target(header: ModelHeader, target: str) -> int:
    check_task(header)
    return class_index(target, header)


def _bounds(preprocessing: Preprocessing) -> tuple[float, float]:
    """The widest range of the network's input that is black to white in every channel."""
    ends = [
        ((0 - mean) / std, (1 - mean) / std)
        for mean, std in zip(preprocessing.mean, preprocessing.std, strict=True)
    ]
    return max(low for low, _ in ends), min(high for _, high in ends)


def _levels(difference: Tensor, preprocessing: Preprocessing) -> NDArray[np.float64]:
    """A difference (3, H, W) of inputs of the network in gray levels, not rounded."""
    array = difference.detach().to("cpu", torch.float64).numpy()
    levels: NDArray[np.float64] = array * np.array(preprocessing.std)[:, None, None] * 255
    return levels


def _image(values: NDArray[np.generic]) -> Image.Image:
    """(3, H, W) in 0…255."""
    rounded = np.clip(values, 0, 255).round().astype(np.uint8)
    return Image.fromarray(rounded.transpose(1, 2, 0))
