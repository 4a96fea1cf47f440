"""Pictures of evidence: heatmap overlays, labelled boxes, contact sheets.

Every function returns a new RGB image and leaves its arguments as they are. Boxes are
``(x0, y0, x1, y1)`` in pixels of the image that is drawn on, x1 and y1 exclusive. Text is
drawn by `lookcloser.core.text`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from lookcloser.core import boxes as box_geometry
from lookcloser.core.atomic import replacing
from lookcloser.core.colormaps import color_table
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.text import draw_text, shorten, text_width, wrap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookcloser.core.types import Box, Prediction, Region

COLORMAP = "inferno"  # rises evenly in lightness, so it reads alike with every colour vision
BOX_COLOUR = "#35d0ff"  # stands out from every colour of the map
LONGEST_SIDE = (320, 640)  # pixels of a drawn picture: room for text, and no poster
FONT_SIZE = 15
MARGIN = 8
PAPER, INK = "white", "#1b1f24"


def plot_prediction(prediction: Prediction, regions: int = 1) -> Image.Image:
    """The picture beside its evidence, one panel for each of the first ``regions``.

    The boxes of all scales, one inside the other, are in one more panel, whatever ``regions``.

    The picture is scaled so that its longest side lies in `LONGEST_SIDE`. A heatmap that points
    nowhere leaves the picture as it is, and the title says why (`Region.says_nothing`).

    Raises:
        LookcloserError: If the prediction failed, or its picture cannot be read (any more).
    """
    picture = _fitted(_picture(prediction))
    name = prediction.path.name if prediction.path else "picture"
    panels, titles = [picture], [prediction.caption or name]
    scales = [region for region in prediction.regions if region.kind == "scale"]
    single = [region for region in prediction.regions if region.kind != "scale"]
    for region in single[:regions]:
        panels.append(draw_region(picture, region, prediction.size))
        titles.append(_title(region))
    if scales:
        panels.append(_nested(picture, scales, prediction.size))
        titles.append(f"looked closer: {scales[-1].label} ({scales[-1].score:.2f})")
    return contact_sheet(panels, titles, columns=min(len(panels), 4))


def plot_views(image: Image.Image, views: Mapping[str, Region]) -> Image.Image:
    """A picture beside several views of it, each titled with its name; sizes as `plot_prediction`.

    Args:
        image: The original; boxes are in its pixels.
        views: Name -> what the view found.
    """
    picture = _fitted(image.convert("RGB"))
    titles = [_view_title(name, region) for name, region in views.items()]
    panels = [draw_region(picture, region, image.size) for region in views.values()]
    return contact_sheet([picture, *panels], ["original", *titles], columns=min(len(panels) + 1, 4))


def plot_labels(image: Image.Image, views: Mapping[str, Sequence[Region]]) -> Image.Image:
    """A row of views for each of several labels, titled with the label; sizes as `plot_prediction`.

    Args:
        image: The original; boxes are in its pixels.
        views: Name -> one region per label, the same labels in each.
    """
    picture = _fitted(image.convert("RGB"))
    panels, titles = [], []
    for together in zip(*views.values(), strict=True):
        panels.append(picture)
        titles.append(_named(together[0]))
        for name, region in zip(views, together, strict=True):
            panels.append(draw_region(picture, region, image.size))
            titles.append(_view_title(name, region))
    return contact_sheet(panels, titles, columns=len(views) + 1)


def overlay(
    image: Image.Image, heatmap: NDArray[np.float32], alpha: float = 0.7, colormap: str = COLORMAP
) -> Image.Image:
    """``image`` with ``heatmap`` painted over it.

    A value v is painted with opacity ``alpha * v``: what has no evidence keeps its own colours.

    Args:
        image: RGB picture.
        heatmap: (h, w) in [0, 1], covering the whole image. It is upsampled bilinearly with
            ``align_corners=False``.
        alpha: Opacity of the strongest evidence, in [0, 1].
        colormap: A name in `lookcloser.core.colormaps.COLORMAPS`.
    """
    small = Image.fromarray(np.clip(heatmap, 0.0, 1.0).astype(np.float32))
    values = np.asarray(small.resize(image.size, Image.Resampling.BILINEAR))
    colours = color_table(colormap)[np.minimum(values * 256, 255).astype(int)]
    opacity = alpha * values[..., None]
    mixed = np.asarray(image.convert("RGB")) * (1.0 - opacity) + colours * opacity
    return Image.fromarray(mixed.round().astype(np.uint8))


def draw_box(image: Image.Image, box: Box, text: str = "", colour: str = BOX_COLOUR) -> Image.Image:
    """``image`` with one box and its text, which stays inside the picture.

    The line lies inside the box and has a dark inner edge, so that it shows on any picture.
    """
    result = image.convert("RGB")  # a copy, also of an RGB image
    draw = ImageDraw.Draw(result)
    x0, y0, x1, y1 = (round(value) for value in box_geometry.clip(box, image.size).tolist())
    line = max(2, round(max(image.size) / 200))
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
    for inset in range(line + 2):  # Pillow's own wide lines leave a thin rectangle
        inner = (x0 + inset, y0 + inset, x1 - 1 - inset, y1 - 1 - inset)
        if inner[0] <= inner[2] and inner[1] <= inner[3]:
            draw.rectangle(inner, outline=colour if inset < line else "black")
    if text:
        _tag(draw, text, (x0, y0), image.size, colour)
    return result


def draw_region(picture: Image.Image, region: Region, size: tuple[int, int]) -> Image.Image:
    """``picture`` with the map and the box of a piece of evidence, and where it would move.

    Args:
        picture: Of any size.
        region: The evidence.
        size: (width, height) of the original, in whose pixels the box is.
    """
    panel = picture
    if region.heatmap is not None and not region.says_nothing:
        panel = overlay(picture, region.heatmap)
    if region.box is None:
        return panel
    x0, y0, x1, y1 = box_geometry.scale(region.box, size, picture.size).tolist()
    panel = draw_box(panel, (x0, y0, x1, y1), f"{region.label} {region.score:.2f}")
    return panel if region.move is None else draw_move(panel, (x0, y0, x1, y1), region.move)


def draw_move(
    image: Image.Image, box: Box, move: tuple[float, float, float], colour: str = BOX_COLOUR
) -> Image.Image:
    """``image`` with arrows that say which way a box would go, of one length however strongly.

    One from its middle for x and y, and one at each corner for its size: outward where it grows.

    Args:
        image: RGB picture.
        box: In its pixels.
        move: (x, y, half-side) as in `Region`.
        colour: Of the arrows.
    """
    result = image.convert("RGB")
    draw = ImageDraw.Draw(result)
    x0, y0, x1, y1 = box
    reach = 0.3 * min(x1 - x0, y1 - y0)
    along = math.hypot(move[0], move[1])
    if along > 0:
        step = (move[0] / along * reach, move[1] / along * reach)
        _arrow(draw, ((x0 + x1) / 2, (y0 + y1) / 2), step, colour)
    # From the edge outside where it grows, inside where it shrinks.
    outward = np.sign(move[2]) * reach / 2
    for x, right in ((x0, -1), (x1, 1)):
        for y, down in ((y0, -1), (y1, 1)):
            _arrow(draw, (x, y), (right * outward, down * outward), colour)
    return result


def contact_sheet(
    images: Sequence[Image.Image], titles: Sequence[str] = (), columns: int = 4
) -> Image.Image:
    """``images`` in rows on white paper, each centred under its title.

    Args:
        images: At least one picture, of any sizes; the cells are as large as the largest.
        titles: One for each image, or none at all. A title wraps onto a second line; what is
            longer is cut and ends with "…".
        columns: Pictures side by side.

    Raises:
        ValueError: If there is no image, or the number of titles differs.
    """
    if not images or (titles and len(titles) != len(images)):
        raise ValueError(f"{len(images)} images and {len(titles)} titles: one title for each.")
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    width = max(160, *(image.width for image in images))
    height = max(image.height for image in images)
    wrapped = [wrap(title, FONT_SIZE, width) for title in titles]
    line = FONT_SIZE + 4
    head = max((len(lines) for lines in wrapped), default=0) * line

    step_x, step_y = width + MARGIN, head + height + MARGIN
    sheet = Image.new("RGB", (columns * step_x + MARGIN, rows * step_y + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        x, y = MARGIN + column * step_x, MARGIN + row * step_y
        lines = wrapped[index] if titles else []
        top = y + head - len(lines) * line
        for number, text in enumerate(lines):
            draw_text(draw, (x, top + number * line), text, INK, FONT_SIZE)
        sheet.paste(image, (x + (width - image.width) // 2, y + head))
    return sheet


def _picture(prediction: Prediction) -> Image.Image:
    from lookcloser.core.images import load_image

    name = str(prediction.path or "the picture")
    if prediction.error is not None:
        raise LookcloserError(f"{name}: nothing to draw, the prediction failed: {prediction.error}")
    source = prediction.image if prediction.path is None else prediction.path
    if source is None:
        raise LookcloserError(f"{name}: nothing to draw, it was not kept with the prediction")
    return load_image(source)


def _fitted(picture: Image.Image) -> Image.Image:
    low, high = LONGEST_SIDE
    longest = max(picture.size)
    factor = min(max(longest, low), high) / longest
    width, height = (max(1, round(side * factor)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def _nested(picture: Image.Image, scales: Sequence[Region], size: tuple[int, int]) -> Image.Image:
    """The boxes of the scales, coarse to fine, each with its number and how sure it was."""
    for region in scales:
        if region.box is not None:
            x0, y0, x1, y1 = box_geometry.scale(region.box, size, picture.size).tolist()
            text = f"{(region.step or 0) + 1}: {region.score:.2f}"
            picture = draw_box(picture, (x0, y0, x1, y1), text)
    return picture


def _title(region: Region) -> str:
    if region.says_nothing:
        return f"{region.says_nothing} for {region.label} ({region.score:.2f})"
    return _named(region) if region.step is not None else f"evidence for {_named(region)}"


def _view_title(name: str, region: Region) -> str:
    return f"{name}: {region.says_nothing}" if region.says_nothing else name


def _named(region: Region) -> str:
    place = "" if region.step is None else f"{region.kind} {region.step + 1}: "
    return f"{place}{region.label} ({region.score:.2f})"


def _arrow(
    draw: ImageDraw.ImageDraw,
    start: tuple[float, float],
    step: tuple[float, float],
    colour: str,
) -> None:
    """A line with a head, on a darker one so that it shows on any picture; nothing below 3 px."""
    length = math.hypot(*step)
    if length < 3:
        return
    (x, y), (dx, dy) = start, (step[0] / length, step[1] / length)
    head = min(9.0, 0.6 * length)
    end, base = (x + step[0], y + step[1]), length - head
    neck = (x + dx * base, y + dy * base)
    sides = [(neck[0] - sign * dy * head / 2, neck[1] + sign * dx * head / 2) for sign in (-1, 1)]
    draw.line((start, neck), fill="black", width=5)
    draw.polygon((end, *sides), fill=colour, outline="black")
    draw.line((start, neck), fill=colour, width=3)


def _tag(
    draw: ImageDraw.ImageDraw,
    text: str,
    corner: tuple[int, int],
    size: tuple[int, int],
    colour: str,
) -> None:
    """Text on a filled plate above the box; inside it, where there is no room above."""
    text = shorten(text, FONT_SIZE, size[0] - 8)
    width, height = math.ceil(text_width(text, FONT_SIZE)) + 8, FONT_SIZE + 6
    x = max(0, min(corner[0], size[0] - width))
    y = corner[1] - height if corner[1] >= height else corner[1]
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=colour)
    draw_text(draw, (x + 4, y + 1), text, "black", FONT_SIZE)


def picture_format(path: str | Path) -> str:
    """Pillow's name of the format that the ending of ``path`` stands for.

    Raises:
        LookcloserError: For an ending that no format for writing has.
    """
    kind: str | None = Image.registered_extensions().get(Path(path).suffix.lower())
    if kind is None or kind not in Image.SAVE:
        raise UsageError(
            f"{path}: no format for pictures has this ending",
            allowed=".png, .jpg, .webp and others",
        )
    return kind


def save_picture(picture: Image.Image, path: str | Path) -> Path:
    """Write a picture atomically, format by the ending, folders made; returns the path.

    Raises:
        LookcloserError: As `picture_format`, and when it cannot be written.
    """
    path, kind = Path(path), picture_format(path)
    with replacing(path) as temporary:
        picture.save(temporary, format=kind)
    return path
