"""A stock classifier of timm as a web folder, end to end: exported, served, answered."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookcloser.web import OrtWeb

from ..browser import CHROMIUM, Browser
from ..stock import stock
from .conftest import ROOT, Serve
from .visits import answers, give, require_same

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


@pytest.mark.parametrize(("name", "maps"), [("test_resnet", True), ("test_vit", False)])
def test_it_answers_in_the_browser_as_in_python(
    installed: OrtWeb,
    graphs_once: None,
    serve: Serve,
    browser: Browser,
    tmp_path: Path,
    name: str,
    maps: bool,
) -> None:
    assert installed.contents
    image = tmp_path / "blots.png"
    coarse = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((210, 170)).save(image)

    recognizer = stock(name, tmp_path)
    ort = os.environ.get("ORT_WEB", ROOT)
    found = recognizer.export(tmp_path / "page", form="web", ort=ort)
    browser.open(serve(found.path))
    assert name in browser.value("document.querySelector('h1').textContent + document.title")
    assert give(browser, image) == ""
    answer, wanted = answers(browser)[image.name], recognizer.predict(image)[0].to_dict()
    if not maps:  # its other views are gradients, which no file holds
        assert wanted["regions"]
        assert answer["regions"] == []
        wanted["regions"] = []
    require_same(answer, wanted)
    said = browser.value("document.querySelector('.panel').textContent")
    assert wanted["labels"][0]["name"] in said
