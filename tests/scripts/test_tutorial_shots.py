"""The images of the tutorial are cut where they should be."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from ..browser import CHROMIUM, Browser
from ..programs import load_program

ROOT = Path(__file__).parents[2]
PAGE = """<!doctype html><body style="margin:0">
<div style="height:500px"></div><p class="card suspect" hidden></p><main>{things}</main>"""
THING = '<div class="card suspect" style="height:100px"></div>'


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_program("scripts", "tutorial_shots")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_pages_are_cut_below_what_is_to_be_seen(
    script: ModuleType, browser: Browser, tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "photos"
    run.mkdir(parents=True)
    (tmp_path / "evidence").mkdir()
    (tmp_path / "images").mkdir()
    for name in ("report", "audit"):
        (run / f"{name}.html").write_text(PAGE.format(things=THING * 8), encoding="utf-8")
    for name in ("views.png", "evidence/1.png"):
        Image.new("RGB", (90, 40), "teal").save(tmp_path / name)
    script.take(tmp_path, browser, tmp_path / "images")
    heights = {}
    for path in (tmp_path / "images").iterdir():
        with Image.open(path) as image:
            heights[path.name] = image.height
    assert heights == {
        "tutorial_report.jpg": 500 + 4 * 100 + 20,
        "tutorial_audit.jpg": 500 + 100 + 20,
        "tutorial_views.jpg": 40,
        "tutorial_evidence.jpg": 40,
    }


def test_the_tutorial_shows_all_of_them(script: ModuleType) -> None:
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    for name in (*script.PAGES, *script.DRAWN):
        assert f"images/tutorial_{name}.jpg" in text
        assert (script.IMAGES / f"tutorial_{name}.jpg").is_file()
