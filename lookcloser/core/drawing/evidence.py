"""Images of evidence: a prediction, or several views, beside the image they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, get_args

from PIL import Image

from lookcloser.core import boxes as box_geometry
from lookcloser.core.choices import BoxKind
from lookcloser.core.drawing.marks import draw_box, draw_boxes, draw_move, overlay
from lookcloser.core.drawing.sheets import contact_sheet
from lookcloser.core.errors import LookcloserError
from lookcloser.core.sizes import ImageSize

if TYPE_CHECKING:
    from lookcloser.core.types import Box, Prediction, Region

LONGEST_SIDE = (320, 640)  # pixels of a drawn image: room for text, and no poster
LOOKS = get_args(BoxKind)
WIDE = 2.5  # times as wide as high: a panorama, whose panels stand below each other


def plot_prediction(prediction: Prediction, regions: int = 1) -> Image.Image:
    """The image beside its evidence, one panel for each of the first ``regions``.

    The maps of all attentions are in a panel each, and the boxes of all scales or places together
    in one more, whatever ``regions``.

    The image is scaled so that its longest side lies in `LONGEST_SIDE`; panels of a `WIDE` image
    stand below each other, twice as large. A heatmap that points
    nowhere leaves the image as it is, and the title says why (`Region.says_nothing`). The title of
    the image says so where it may show none of the classes.

    Raises:
        LookcloserError: If the prediction failed, or its image cannot be read (any more).
    """
    image = _fitted(_image(prediction))
    name = prediction.path.name if prediction.path else "image"
    doubt = "perhaps none of these: " if prediction.refusal else ""
    panels, titles = [image], [doubt + (prediction.caption or name)]
    looks = [region for region in prediction.regions if region.kind in LOOKS]
    parts = [region for region in prediction.regions if region.kind == "part"]
    single = [region for region in prediction.regions if region.kind not in {*LOOKS, "part"}]
    for region in [*single[:regions], *parts]:
        panels.append(draw_region(image, region, prediction.size))
        titles.append(_title(region))
    if looks:
        panels.append(_nested(image, looks, prediction.size))
        titles.append(f"looked closer: {looks[-1].label}")  # each box has its own score
    return contact_sheet(panels, titles, columns=_columns(image))


def plot_views(image: Image.Image, views: Mapping[str, Region]) -> Image.Image:
    """An image beside several views of it, each titled with its name; sizes as `plot_prediction`.

    The title of the image is what the views were asked for.

    Args:
        image: The original; boxes are in its pixels.
        views: Name -> what the view found.
    """
    fitted = _fitted(image.convert("RGB"))
    titles = [_view_title(name, region) for name, region in views.items()]
    panels = [draw_region(fitted, region, ImageSize(*image.size)) for region in views.values()]
    asked = " and ".join(dict.fromkeys(_named(region) for region in views.values()))
    sheet = [asked or "original", *titles]
    return contact_sheet([fitted, *panels], sheet, columns=_columns(fitted))


def plot_labels(image: Image.Image, views: Mapping[str, Sequence[Region]]) -> Image.Image:
    """A row of views for each of several labels, titled with the label; sizes as `plot_prediction`.

    Args:
        image: The original; boxes are in its pixels.
        views: Name -> one region per label, the same labels in each.
    """
    fitted = _fitted(image.convert("RGB"))
    panels, titles = [], []
    for together in zip(*views.values(), strict=True):
        panels.append(fitted)
        titles.append(_named(together[0]))
        for name, region in zip(views, together, strict=True):
            panels.append(draw_region(fitted, region, ImageSize(*image.size)))
            titles.append(_view_title(name, region))
    return contact_sheet(panels, titles, columns=len(views) + 1)


def draw_region(image: Image.Image, region: Region, size: ImageSize) -> Image.Image:
    """``image`` with the map and the box of a piece of evidence, and where it would move.

    Args:
        image: Of any size.
        region: The evidence.
        size: Of the original, in whose pixels the box is.
    """
    panel = image
    if region.heatmap is not None and not region.says_nothing:
        panel = overlay(image, region.heatmap)
    if region.box is None:
        return panel
    box = _on(image, region.box, size)
    panel = draw_box(panel, box, f"{region.label} {region.score:.2f}")
    return panel if region.move is None else draw_move(panel, box, region.move)


def _image(prediction: Prediction) -> Image.Image:
    from lookcloser.core.images import load_image

    name = str(prediction.path or "the image")
    if prediction.error is not None:
        raise LookcloserError(f"{name}: nothing to draw, the prediction failed: {prediction.error}")
    source = prediction.image if prediction.path is None else prediction.path
    if source is None:
        raise LookcloserError(f"{name}: nothing to draw, it was not kept with the prediction")
    return load_image(source)


def _columns(image: Image.Image) -> int:
    return 1 if image.width >= WIDE * image.height else 4


def _fitted(image: Image.Image) -> Image.Image:
    low, high = LONGEST_SIDE
    high *= 2 if _columns(image) == 1 else 1  # as wide as two beside each other
    longest = max(image.size)
    factor = min(max(longest, low), high) / longest
    width, height = (max(1, round(side * factor)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _nested(image: Image.Image, looks: Sequence[Region], size: ImageSize) -> Image.Image:
    """The boxes that were looked into, each with its number and how sure that look was."""
    boxes = [
        (_on(image, region.box, size), f"{(region.step or 0) + 1}: {region.score:.2f}")
        for region in looks
        if region.box is not None
    ]
    return draw_boxes(image, boxes)


def _on(image: Image.Image, box: Box, size: ImageSize) -> Box:
    """A box of the original in pixels of an image of any size."""
    x0, y0, x1, y1 = box_geometry.scale(box, size, ImageSize(*image.size)).tolist()
    return x0, y0, x1, y1


def _title(region: Region) -> str:
    if region.says_nothing:
        return f"{region.says_nothing} for {region.label} ({region.score:.2f})"
    return _named(region) if region.step is not None else f"evidence for {_named(region)}"


def _view_title(name: str, region: Region) -> str:
    return f"{name}: {region.says_nothing}" if region.says_nothing else name


def _named(region: Region) -> str:
    place = "" if region.step is None else f"{region.kind} {region.step + 1}: "
    return f"{place}{region.label} ({region.score:.2f})"
