"""The web folder in Chromium: answers against Python's, speed, size, and what it survives.

    npm install onnxruntime-web@1.30.0
    python benchmarks/web.py --data ../shared/data --ort node_modules/onnxruntime-web
    python benchmarks/web.py --data ../shared/data --ort node_modules/onnxruntime-web --firefox

The browser reaches no host but this one. Writes benchmarks/results/web.json and, with
``--shots DIR``, pictures of the page in light, dark and 390 px wide. With ``--firefox`` answers are
compared in Firefox, to a photo of 40 megapixels too; writes benchmarks/results/web-firefox.json.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _harness import arguments, machine, report
from export import probed
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the browser of the tests

from lookcloser.core import Prediction, drawing
from lookcloser.core.images import load_image
from lookcloser.export import build_onnx, save
from lookcloser.runtime import stream
from lookcloser.runtime.onnx_file import read_onnx
from lookcloser.web import find_runtime, write_folder
from tests.browser import Browser
from tests.firefox import Firefox
from tests.web.loopback import start_server
from tests.web.visits import SAVED, TROUBLE, give

IMAGES = 20
LARGE = (7300, 5500)  # 40 megapixels
LOOKS = (("light", 1280, False), ("dark", 1280, True), ("phone", 390, False))
DIFFERENCES = ("scores", "heatmaps", "boxes")
FEW_PAGES = 400  # of 64 KiB: less than ONNX Runtime and the model need
# How much the evidence changes each pixel of the image that is shown, 64 × 64 places of it.
DRAWN = """(() => {
  const picture = document.querySelector(".past[aria-current=true] img");
  const colors = SETTINGS.colormaps.inferno, side = 64, canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d"), item = itemOf(prediction);
  const look = (opacity) => {
    paint(context, picture, item, 0, new Map(), { opacity, colors }, 1);
    return context.getImageData(0, 0, side, side).data;
  };
  const plain = look(0), drawn = look(0.7);
  return Array.from({ length: side * side }, (_, at) => (
    [0, 1, 2].reduce((sum, c) => sum + Math.abs(drawn[4 * at + c] - plain[4 * at + c]), 0)
  ));
})()"""


def opened(*flags: str) -> Browser:
    browser = Browser(tempfile.mkdtemp(), *flags)
    browser.open_page()
    return browser


def difference(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, float]:
    """The largest differences of two answers; infinite where they name other things."""
    names = [[label["name"] for label in one["labels"]] for one in (found, wanted)]
    scores = {label["name"]: label["score"] for label in wanted["labels"]}
    heat, boxes = [], []
    for one, other in zip(found["regions"], wanted["regions"], strict=True):
        if one["label"] == other["label"]:
            heat.append(np.abs(np.subtract(one["heatmap"], other["heatmap"])).max())
            boxes.append(np.abs(np.subtract(one["box"], other["box"])).max())
    return {
        "top-1 equal": float(names[0][0] == names[1][0]),
        "scores": max(
            abs(label["score"] - scores[label["name"]])
            for label in found["labels"]
            if label["name"] in scores
        ),
        "heatmaps": float(max(heat)),
        "boxes": float(max(boxes)),
    }


def correlation(browser: Browser, found: dict[str, Any], answer: Prediction) -> float:
    """Of what the page draws over the image with what Python draws, place by place."""
    drawn = browser.value(DRAWN.replace("itemOf(prediction)", f"itemOf({json.dumps(found)})"))
    image = load_image(str(answer.path)).resize((64, 64), Image.Resampling.BOX)
    over = drawing.overlay(image, answer.regions[0].heatmap, 0.7, "inferno")
    wanted = np.abs(np.asarray(over, int) - np.asarray(image, int)).sum(axis=2)
    return float(np.corrcoef(np.ravel(drawn), wanted.ravel())[0, 1])


def equality(
    browser: Browser | Firefox, address: str, files: list[Path], answers: list[Prediction]
) -> dict[str, Any]:
    """Each file alone, so that its answer is timed; the first one loads everything."""
    start = time.perf_counter()
    browser.open(address)
    assert give(browser, files[0]) == ""
    first = time.perf_counter() - start
    rows, seconds = [], []
    for path, answer in zip(files, answers, strict=True):
        browser.value("document.querySelector('#clear').click()")
        start = time.perf_counter()
        assert give(browser, path) == ""
        seconds.append(time.perf_counter() - start)
        found = browser.value(SAVED)[0]["prediction"]
        row = difference(found, answer.to_dict())
        if isinstance(browser, Browser):  # the other one does not see the page's constants
            row["drawn"] = correlation(browser, found, answer)
        rows.append(row)
    largest = {f"largest difference, {key}": max(row[key] for row in rows) for key in DIFFERENCES}
    drawn = [row["drawn"] for row in rows if "drawn" in row]
    return {
        "images": len(rows),
        "top-1 equal": int(sum(row["top-1 equal"] for row in rows)),
        **largest,
        **({"lowest correlation of what is drawn": min(drawn)} if drawn else {}),
        "seconds to the first answer": first,
        "median seconds an image": statistics.median(seconds),
    }


def in_chromium(address: str, files: list[Path], answers: list[Prediction]) -> dict[str, Any]:
    browser = opened()
    try:
        found = equality(browser, address, files, answers)
        sent = [event["request"] for event in browser.named("Network.requestWillBeSent")]
    finally:
        browser.close()
    return {
        **found,
        "requests that are no GET": sum(request["method"] != "GET" for request in sent),
        "requests to other hosts": sum(
            not request["url"].startswith((address, "blob:", "data:")) for request in sent
        ),
    }


def in_firefox(
    address: str, files: list[Path], answers: list[Prediction], folder: Path
) -> dict[str, Any]:
    browser = Firefox(folder / "profile")
    try:
        found = equality(browser, address, files, answers)
        browser.open(address)
        return found | answered_large(browser, enlarged(files[3], folder))
    finally:
        browser.close()


def enlarged(photo: Path, folder: Path) -> Path:
    large = folder / "large.jpg"
    load_image(photo).resize(LARGE).save(large)
    return large


def answered_large(browser: Browser | Firefox, large: Path) -> dict[str, Any]:
    """On a page that has answered nothing yet."""
    start = time.perf_counter()
    assert give(browser, large) == ""
    seconds = time.perf_counter() - start
    assert browser.value(SAVED)[-1]["prediction"]["size"] == list(LARGE)
    return {"seconds for 40 megapixels, the first answer": seconds}


def survival(address: str, photo: Path, folder: Path) -> dict[str, Any]:
    """What the page says of each trouble."""
    large, broken = enlarged(photo, folder), folder / "broken.jpg"
    broken.write_bytes(photo.read_bytes()[:2000])
    found: dict[str, Any] = {}
    browser = opened()
    try:
        browser.open(address)
        found["a broken file"] = give(browser, broken)
        found |= answered_large(browser, large)
        browser.give_files("#files", [large])
        browser.wait_for("sessionStorage.getItem(AT_WORK)")
        browser.crash()
        browser.events.clear()
        browser.open(address)
        found["a tab that ended"] = browser.value(TROUBLE)
        assert give(browser, photo) == ""
    finally:
        browser.close()
    browser = opened(f"--js-flags=--wasm-max-mem-pages={FEW_PAGES}")
    try:
        browser.open(address)
        found["no memory for the model"] = give(browser, photo)
    finally:
        browser.close()
    return found


def shots(address: str, files: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    browser = opened()
    try:
        browser.open(address)
        give(browser, *files[:6])
        for name, width, dark in LOOKS:
            browser.look(width, 900, dark, touch=width < 500)
            browser.value("new Promise((done) => setTimeout(done, 300))")
            browser.screenshot(folder / f"{name}.png")
    finally:
        browser.close()


def main() -> None:
    parser = arguments("web", __doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--ort", type=Path, required=True)
    parser.add_argument("--shots", type=Path)
    parser.add_argument("--firefox", action="store_true")
    given = parser.parse_args()
    every = sorted((given.data / "birds50" / "test").rglob("*.jpg"))
    files = [every[at] for at in np.linspace(0, len(every) - 1, IMAGES).astype(int)]
    engine = probed(given.data, "birds50")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "birds.onnx"
        save(build_onnx(engine.model, engine.header), path)
        runtime = find_runtime(given.ort)
        written = write_folder(read_onnx(path), Path(place) / "page", runtime, "50 bird species")
        address, answers = start_server(written.path).address, list(stream(engine, files))
        if given.firefox:
            found = in_firefox(address, files, answers, Path(place))
        else:
            assert runtime.contents is not None  # of an installed package
            found = {
                "megabytes of the folder": sum(written.sizes.values()) / 1e6,
                "of these ONNX Runtime Web": sum(map(len, runtime.contents.values())) / 1e6,
                **in_chromium(address, files, answers),
                **survival(address, files[3], Path(place)),
            }
        if given.shots:
            shots(address, files, given.shots)
    about = machine("onnx") | {"onnxruntime-web": runtime.version, "seed": 0}
    out = given.json.with_stem("web-firefox") if given.firefox else given.json
    report(out, about, {"web": [{"what": name, "found": found[name]} for name in found]})


if __name__ == "__main__":
    main()
