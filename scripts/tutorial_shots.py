"""Take the images of docs/tutorial.md anew: ``python scripts/tutorial_shots.py FOLDER``.

FOLDER is where the commands of the tutorial were run, up to the audit. The pages are shown by the
headless Chromium of the tests.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
WIDTH = 1000  # pixels
# Of each page, down to which of what is shown: the second row of images, and the second class.
PAGES = {"report": (".card", 4), "audit": (".suspect", 1)}
DRAWN = {"views": "views.png", "evidence": "evidence/1.png"}


def take(folder: Path, browser: Any, images: Path = IMAGES) -> None:
    """Write the four images.

    Args:
        folder: Of the tutorial: ``runs/photos``, ``views.png`` and ``evidence``.
        browser: A `Browser` of the tests with an open page.
        images: Where they go.
    """
    browser.look(WIDTH, 1200)
    for name, (kind, number) in PAGES.items():
        browser.open((folder / "runs" / "photos" / f"{name}.html").resolve().as_uri())
        browser.wait_for("[...document.images].every((image) => image.complete)")
        shown = f"[...document.querySelectorAll('{kind}')].filter((one) => one.offsetParent)"
        top = browser.value(f"{shown}[{number}].getBoundingClientRect().top")
        shot = images / f"tutorial_{name}.png"
        browser.screenshot(shot)
        with Image.open(shot) as page:
            _save(page.crop((0, 0, WIDTH, round(top) + 20)), name, images)
        shot.unlink()
    for name, path in DRAWN.items():
        with Image.open(folder / path) as drawn:
            _save(drawn, name, images)


def _save(image: Image.Image, name: str, images: Path) -> None:
    image.convert("RGB").save(images / f"tutorial_{name}.jpg", quality=85, optimize=True)


def main() -> None:
    """Open a browser and take them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    sys.path.insert(0, str(ROOT))
    from tests.browser import Browser

    browser = Browser(tempfile.mkdtemp(), "--hide-scrollbars")
    try:
        browser.open_page()
        take(folder, browser)
    finally:
        browser.close()


if __name__ == "__main__":
    main()
