"""Draw the README's figure: one photograph, and the evidence for two classes in it.

``python scripts/figure_readme.py`` needs the extra ``docs``: the photograph is scikit-image's
"camera" (CC0, by Lav Varshney). The network is EfficientNet-Lite0 as the ImageNet weights make it.
"""

from __future__ import annotations

from pathlib import Path

import skimage.data
from PIL import Image

import lookcloser as lc
from lookcloser.core.drawing import contact_sheet, save_image

FIGURE = Path(__file__).parents[1] / "docs" / "images" / "photograph.png"
CLASSES = ("tripod", "reflex camera")
SIDE = 280  # pixels of a panel, so that the file stays below 300 kB


def draw(path: Path = FIGURE) -> dict[str, tuple[float, float]]:
    """Write the figure; the strongest place (x, y) of each class, as shares of the sides."""
    photo = Image.fromarray(skimage.data.camera()).convert("RGB")
    small = photo.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    recognizer = lc.load("timm:tf_efficientnet_lite0")
    views = recognizer.explain_labels(photo, ["cam"], labels=CLASSES)["cam"]
    panels, titles, strongest = [small], ["the photograph"], {}
    for name, region in zip(CLASSES, views, strict=True):
        assert region.heatmap is not None
        panels.append(lc.overlay(small, region.heatmap))
        titles.append(f"{name}: {region.score:.1%}")
        row, column = divmod(int(region.heatmap.argmax()), region.heatmap.shape[1])
        height, width = region.heatmap.shape
        strongest[name] = ((column + 0.5) / width, (row + 0.5) / height)
    sheet = contact_sheet(panels, titles, len(panels))
    save_image(sheet, path)
    return strongest


if __name__ == "__main__":
    print(draw())
