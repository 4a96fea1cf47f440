"""The page's scripts, run: heat.js in Node.js, the whole page in Chromium, where they are there."""

import json
import shutil
import subprocess
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from lookcloser.core import boxes as box_geometry
from lookcloser.core.drawing.evidence import LOOKS
from lookcloser.core.types import Kind
from lookcloser.report import write_report
from lookcloser.report.cards import encode_grid
from lookcloser.report.sources import gallery_colors, source

from ..browser import CHROMIUM

NODE = shutil.which("node")
EIGHT = np.ones((3, 3))


def node(expression, *more, **values):
    """The value of a JavaScript expression after heat.js and more, ``values`` being constants."""
    constants = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in values.items())
    scripts = "\n".join(map(source, ("heat.js", *more)))
    program = f"{scripts}\n{constants}\nprocess.stdout.write(JSON.stringify({expression}));"
    done = subprocess.run([NODE, "-"], input=program, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(NODE is None, reason="needs Node.js")
class TestHeat:
    def test_grids_are_read(self):
        heatmap = np.random.default_rng(0).random((5, 9), dtype=np.float32)
        grid = encode_grid(heatmap)
        decoded = node("[...decodeGrid(grid).values]", grid=grid)
        np.testing.assert_allclose(decoded, heatmap.ravel(), atol=0.5 / 255 + 1e-6)

    @pytest.mark.parametrize("size", [(64, 48), (128, 128), (7, 3)])
    def test_upsampling_equals_pillow(self, size):
        heatmap = np.random.default_rng(1).random((3, 7), dtype=np.float32)
        expected = np.asarray(Image.fromarray(heatmap).resize(size, Image.Resampling.BILINEAR))
        values = node(
            "[...upsample({ w: 7, h: 3, values: Float32Array.from(flat) }, ...size).values]",
            flat=heatmap.ravel().tolist(),
            size=size,
        )
        np.testing.assert_allclose(values, expected.ravel(), atol=1e-5)

    def test_boxes_that_were_looked_into_are_drawn_beside_every_map(self):
        box = [0.1, 0.1, 0.5, 0.5]
        regions = [{"kind": kind, "box": box} for kind in get_args(Kind)]
        regions.append({"kind": "scale", "box": None})
        drawn = node("regions.map((one) => !!lookedInto(one))", "viewer.js", regions=regions)
        assert drawn == [kind in LOOKS for kind in get_args(Kind)] + [False]

    def test_boxes_equal_the_largest_component(self):
        rng = np.random.default_rng(2)
        masks = [(rng.random((17, 23)) < density).astype(int) for density in (0.1, 0.3, 0.5)]
        found = node(
            "masks.map((mask) => largestBox(Uint8Array.from(mask), 23, 17))",
            masks=[mask.ravel().tolist() for mask in masks],
        )
        for mask, box in zip(masks, found, strict=True):
            labels, _ = ndimage.label(mask, EIGHT)
            largest = np.bincount(labels.ravel())[1:].argmax() + 1
            ys, xs = np.nonzero(labels == largest)
            pixels = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            np.testing.assert_allclose(np.array(box) * [23, 17, 23, 17], pixels)

    def test_nothing_to_keep_is_no_box(self):
        assert node("keep({ values: [0, 0] }, 0.5)") is None
        assert node("largestBox(new Uint8Array(4), 2, 2)") is None
        assert node("[...keep({ values: [0.1, 0.4, 0.8] }, 0.5)]") == [0, 1, 1]

    def test_overlap_is_the_iou(self):
        rng = np.random.default_rng(3)
        corners = rng.random((20, 2, 2, 2))
        boxes = np.sort(corners, axis=2).reshape(20, 2, 4).round(6)
        found = node("pairs.map(([a, b]) => overlap(a, b))", pairs=boxes.tolist())
        expected = [box_geometry.iou(a[None], b[None])[0, 0] for a, b in boxes]
        np.testing.assert_allclose(found, expected, atol=1e-9)

    def test_colors_are_interpolated(self):
        table = gallery_colors("inferno")
        found = node("[0, 1, 2, 0.5 / 32].map((v) => colorAt(table, v))", table=table)
        middle = [(a + b) / 2 for a, b in zip(table[0], table[1], strict=True)]
        assert found == [list(table[0]), list(table[-1]), list(table[-1]), middle]


SCRIPT = """
(async () => {
  const said = [];
  const form = document.querySelector(".controls");
  const cards = () => [...document.querySelectorAll(".card")].filter((card) => !card.hidden);
  const set = (name, value) => {
    form.elements[name].value = value;
    form.elements[name].dispatchEvent(new Event("input", { bubbles: true }));
  };
  const first = () => cards()[0].querySelector(".overlap").textContent;
  const light = () => {
    const canvas = cards()[0].querySelector("canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.reduce((a, b) => a + b, 0);
  };
  const next = () => new Promise(requestAnimationFrame);
  const frame = () => next().then(next);
  said.push(cards().map((card) => card.dataset.card).join(), first());
  const before = light();
  set("opacity", 0);
  await frame();
  said.push(light() !== before);
  form.querySelector("[value=random]").click();
  said.push(cards().length);
  form.querySelector("[value=worst]").click();
  set("threshold", 60);
  await frame();
  said.push(first(), form.elements.threshold.getAttribute("aria-valuetext"));
  cards()[0].querySelectorAll("button.region")[1].click();
  said.push([...cards()[0].querySelectorAll("button.region")].map((b) => b.ariaPressed).join());
  document.querySelectorAll(".sortable button")[2].click();
  const rows = [...document.querySelectorAll(".sortable tbody th")];
  said.push(rows.map((cell) => cell.textContent).join());
  return said;
})()
"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_page_works_in_a_browser(tmp_path, evaluation, browser):
    heatmap = evaluation.answers[2].prediction.regions[0].heatmap
    heatmap[:] = 0.0
    heatmap[2:4, 2:5] = 1.0
    path = write_report(tmp_path / "report.html", evaluation)
    said = browser.run(path, SCRIPT)
    before = box_geometry.iou([(100, 60, 300, 240)], [(80, 60, 280, 240)])[0, 0]
    assert said[:3] == ["2,1", f"IoU {before:.2f}", True]
    assert said[3] == 4
    # At 60 % of the maximum a cell's bilinear slope is cut 0.1 of a cell inside its edge.
    cells = np.array([2.1, 2.1, 4.9, 3.9]) / 7 * [400, 300, 400, 300]
    after = box_geometry.iou([cells], [(80, 60, 280, 240)])[0, 0]
    assert float(said[4].removeprefix("IoU ")) == pytest.approx(after, abs=0.03)
    assert said[5:] == ["60 % of max", "false,true", "dog,cat,owl"]
