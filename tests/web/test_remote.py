"""The page before a server, in Chromium; the server is a few lines that keep the contract."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from lookcloser.core import Label, Prediction, Region
from lookcloser.web import server_page

from ..browser import CHROMIUM, Browser
from .conftest import EVIL, Serve
from .loopback import Quiet
from .visits import ANSWERED, SAVED, TROUBLE, choose, give

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

KEY = "a key"
HEAT = np.array([[0.0, 0.25], [0.5, 1.0]], dtype=np.float32)


def answer(model: str, coverage: str | None = None) -> dict[str, Any]:
    """Another answer of each model: one a classifier, the other a tagger."""
    if model == "birds":
        label = Label(EVIL, 0.75, 0)
        sets = {"0.95": (label, Label("owl", 0.2, 1)), "0.8": ()}
        regions = (Region("map", EVIL, 0.75, (20, 10, 60, 40), HEAT),)
        return Prediction(
            "classification",
            (label,),
            regions,
            (80, 60),
            refusal="like no class it knows",
            group=Label(EVIL, 0.8, -1),
            candidates=None if coverage is None else sets[coverage],
            coverage=None if coverage is None else float(coverage),
        ).to_dict()
    labels = (Label("sky", 0.9, 0), Label("sea", 0.6, 1))
    steps = tuple(
        Region("step", item.name, item.score, None, HEAT, step=number)
        for number, item in enumerate(labels)
    )
    return Prediction("multilabel", labels, steps, (80, 60)).to_dict()


class Api(Quiet):
    """The page and its two routes; what is asked is kept."""

    asked: list[tuple[str, str, bytes]]
    coverages: list[str | None]
    key: str | None = None
    most = 20_000  # bytes

    def reply(self, status: int, content: object, kind: str = "application/json") -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def problem(self, status: int, detail: str) -> None:
        self.reply(status, {"title": "No", "detail": detail}, "application/problem+json")

    def allowed(self) -> bool:
        given = self.headers.get("Authorization")
        if self.key is None or given == f"Bearer {self.key}":
            return True
        self.problem(401, "a key is needed")
        return False

    def do_GET(self) -> None:  # noqa: N802
        path = urlsplit(self.path).path
        if path == "/v1/models":
            if self.allowed():
                models = [
                    {
                        **{"name": "birds", "task": "classification", "coverage": True},
                        "classes": [EVIL, "owl"],
                    },
                    {"name": EVIL, "task": "multilabel", "classes": 2},
                ]
                self.reply(200, {"models": models})
            return
        asset = server_page().get(path.strip("/") or "index.html")
        if asset is None:
            self.problem(404, "nothing here")
        else:
            self.reply(200, asset.content, asset.media_type)

    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        self.asked.append((query["model"], query["heatmaps"], body))
        self.coverages.append(query.get("coverage"))
        if self.headers["Content-Type"] != "application/octet-stream":
            self.problem(415, "not as bytes")
            return
        if not self.allowed():
            return
        if len(body) > self.most:
            self.problem(413, f"{len(body)} bytes are too many")
        elif body.startswith(b"BM"):
            self.reply(200, {"predictions": [{"error": {"detail": "no BMP today"}}]})
        else:
            given = answer(query["model"], query.get("coverage"))
            self.reply(200, {"model": query["model"], "predictions": [given]})


@pytest.fixture
def api() -> type[Api]:
    """A handler of its own for the test."""
    return type("OwnApi", (Api,), {"asked": [], "coverages": []})


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (80, 60), "teal").save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def show(browser: Browser, address: str, *files: Path) -> None:
    """Open the page and give it files, which it answers."""
    browser.open(address)
    assert give(browser, *files) == ""


def test_two_models_are_compared(
    serve: Serve, browser: Browser, api: type[Api], photo: Path
) -> None:
    show(browser, serve(handler=api), photo)
    assert [asked[:2] for asked in api.asked] == [("birds", "raw")]
    assert api.asked[0][2] == photo.read_bytes()
    assert browser.value("document.querySelector('.refusal').textContent") == (
        "This may be none of the classes: it is like no class it knows. "
        f"It is surer of the group {EVIL}: 80.0 %."
    )
    choose(browser, "beside", EVIL)
    browser.wait_for("document.querySelectorAll('.panel .region').length === 3")
    assert [asked[0] for asked in api.asked] == ["birds", EVIL]
    titles = "[...document.querySelectorAll('.panel .model')].map((e) => e.textContent)"
    assert browser.value(titles) == ["birds", EVIL]
    names = "[...document.querySelectorAll('.region .name')].map((e) => e.textContent)"
    assert browser.value(names) == [EVIL, "1. sky", "2. sea"]
    assert browser.value("document.querySelectorAll('main img[onerror]').length") == 0
    saved = browser.value(SAVED)
    assert [(row["model"], row["image"]) for row in saved] == [
        ("birds", "photo.png"),
        (EVIL, "photo.png"),
    ]
    assert saved[0]["prediction"]["labels"] == answer("birds")["labels"]


def test_classes_that_may_be_true_are_named_where_they_are_asked_for(
    serve: Serve, browser: Browser, api: type[Api], photo: Path
) -> None:
    """Of all images of the visit, and by the model that can promise it alone."""
    show(browser, serve(handler=api), photo, photo)
    sets = "document.querySelector('.panel .sets')"
    assert browser.value(f"{sets}.hidden && !document.querySelector('#sets').hidden")
    choose(browser, "beside", EVIL)
    choose(browser, "coverage", "0.95")
    browser.wait_for(f"!{sets}.hidden")
    assert browser.value(f"{sets}.textContent") == (
        f"With 95 % coverage, the class is one of: {EVIL}, owl."
    )
    browser.wait_for(ANSWERED)
    saved = browser.value(SAVED)
    promised = [(row["model"], row["prediction"]["coverage"]) for row in saved]
    assert sorted(promised) == [(EVIL, None), (EVIL, None), ("birds", 0.95), ("birds", 0.95)]
    choose(browser, "coverage", "0.8")
    browser.wait_for(f"{sets}.textContent === 'No class is likely enough for 80 % coverage.'")
    choose(browser, "coverage", "")
    browser.wait_for(f"!document.querySelector('.answers').hidden && {sets}.hidden")
    asked = {(asked[0], covered) for asked, covered in zip(api.asked, api.coverages, strict=True)}
    assert asked == {("birds", None), ("birds", "0.95"), ("birds", "0.8"), (EVIL, None)}


def test_the_images_of_a_visit_are_small_and_say_what_the_chosen_model_says(
    serve: Serve, browser: Browser, api: type[Api], tmp_path: Path
) -> None:
    """Tall images are cut to the form of all, and another model's answers are not shown."""
    tall, wide = tmp_path / "tall.png", tmp_path / "wide.png"
    Image.new("RGB", (20, 400), "teal").save(tall)
    Image.new("RGB", (400, 20), "teal").save(wide)
    show(browser, serve(handler=api), tall, wide)
    shapes = (
        """[...document.querySelectorAll(".thumb")].map((e) => e.clientWidth / e.clientHeight)"""
    )
    browser.wait_for("document.querySelectorAll('.thumb img').length === 2")
    assert browser.value(shapes) == pytest.approx([4 / 3, 4 / 3], rel=0.03)
    said = """[...document.querySelectorAll(".past")].map((e) => (
      e.querySelector(".past-name").textContent + ": " + e.querySelector(".past-answer").textContent
    ))"""
    doubted = f"perhaps none: {EVIL}"
    assert browser.value(said) == [f"tall.png: {doubted}", f"wide.png: {doubted}"]
    choose(browser, "model", EVIL)
    browser.wait_for("document.querySelectorAll('.panel .region').length === 2")
    assert browser.value(said) == ["tall.png: sky, sea", "wide.png: not asked yet"]


def test_the_evidence_is_drawn_where_it_is(
    serve: Serve, browser: Browser, api: type[Api], photo: Path
) -> None:
    show(browser, serve(handler=api), photo)
    light = """(() => {
      const canvas = document.querySelector("canvas.evidence");
      const { width, height } = canvas, context = canvas.getContext("2d");
      return [0.1, 0.9].map((at) => [...context.getImageData(width * at, height * at, 1, 1).data]);
    })()"""
    far, near = browser.value(light)
    assert far[:3] == pytest.approx([0, 128, 128], abs=3)
    assert near[0] > 150, "the color of strong evidence over teal"
    choose(browser, "opacity", "0")
    browser.value(
        "new Promise(requestAnimationFrame).then(() => new Promise(requestAnimationFrame))"
    )
    assert browser.value(light)[1][:3] == pytest.approx([0, 128, 128], abs=3)


def test_what_the_server_refuses_is_said(
    serve: Serve, browser: Browser, api: type[Api], photo: Path, tmp_path: Path
) -> None:
    browser.open(serve(handler=api))
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (99, 99, 3), dtype=np.uint8))
    noise.save(tmp_path / "large.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "small.bmp")
    assert "bytes are too many" in give(browser, tmp_path / "large.png")
    assert "small.bmp: no BMP today" in give(browser, tmp_path / "small.bmp")
    assert give(browser, photo) == ""
    browser.value("document.querySelectorAll('.past')[1].click()")
    assert "no BMP today" in browser.value(TROUBLE)


def test_a_key_is_asked_for(serve: Serve, browser: Browser, api: type[Api], photo: Path) -> None:
    api.key = KEY
    browser.open(serve(handler=api))
    for given, again in (("wrong", False), (KEY, True)):
        hidden = json.dumps(not again)
        browser.wait_for(
            "document.querySelector('#key').open"
            f" && document.querySelector('.again').hidden === {hidden}"
        )
        browser.value(f"document.querySelector('#key input').value = {given!r}")
        browser.value("document.querySelector('#key button').click()")
    browser.wait_for("document.querySelector('[name=model]').options.length === 2")
    assert give(browser, photo) == ""


def test_images_are_dropped_and_pasted(
    serve: Serve, browser: Browser, api: type[Api], photo: Path
) -> None:
    browser.open(serve(handler=api))
    send = """(async (kind, name) => {
      const canvas = document.createElement("canvas");
      const blob = await blobOf(canvas, "image/png"), data = new DataTransfer();
      data.items.add(new File([blob], name, { type: "image/png" }));
      const event = kind === "drop" ? new DragEvent("drop", { dataTransfer: data, bubbles: true })
        : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
      document.body.dispatchEvent(event);
    })"""
    browser.value(f"{send}('drop', 'dropped.png')")
    browser.value(f"{send}('paste', 'pasted.png')")
    browser.wait_for(ANSWERED)
    names = "[...document.querySelectorAll('.past-name')].map((e) => e.textContent)"
    assert browser.value(names) == ["pasted.png", "dropped.png"]
    words = """(async (text) => {
      const clipboardData = new DataTransfer();
      clipboardData.setData("text", text);
      document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
      await new Promise((done) => setTimeout(done));
    })"""
    for text, said in (("a word", "no image in this"), ("https://a.org/b.png", "an address, not")):
        browser.value(f"{words}({text!r})")
        assert said in browser.value(TROUBLE)


def test_what_only_the_server_reads_is_drawn_over_gray(
    serve: Serve, browser: Browser, api: type[Api], tmp_path: Path
) -> None:
    Image.new("RGB", (80, 60), "teal").save(tmp_path / "scan.tiff")
    show(browser, serve(handler=api), tmp_path / "scan.tiff")
    note = "document.querySelector('.panel .note').textContent"
    assert "does not read this TIFF file" in browser.value(note)
    assert "drawn over gray" in browser.value(note)
    assert browser.value("document.querySelectorAll('.thumb img').length") == 1
    shape = "(({ width, height }) => width / height)(document.querySelector('canvas.evidence'))"
    assert browser.value(shape) == pytest.approx(4 / 3, rel=0.01)


def test_of_too_many_at_once_the_first_are_taken(
    serve: Serve, browser: Browser, api: type[Api], photo: Path
) -> None:
    browser.open(serve(handler=api))
    browser.give_files("#files", [photo] * 203)
    browser.wait_for("document.querySelectorAll('.past').length === 200")
    assert "The first 200 of 203 images are taken" in browser.value(TROUBLE)
    browser.wait_for("document.querySelectorAll('.panel .region').length === 1")


def test_names_are_shown_in_their_order_and_saved_as_they_are(
    serve: Serve, browser: Browser, api: type[Api], photo: Path, tmp_path: Path
) -> None:
    name = "\u202egnp.'&\" 🦉 <b>हिन्दी.png"
    photo.rename(tmp_path / name)
    show(browser, serve(handler=api), tmp_path / name)
    shown = browser.value("document.querySelector('.past-name').textContent")
    assert shown == name.replace("\u202e", "\ufffd")
    assert browser.value(SAVED)[0]["image"] == name
    assert browser.value(f"baseOf({json.dumps(name)})") == "gnp.-b-हिन्दी"
    assert browser.value("[baseOf('🦉.png'), baseOf('.png')]") == ["image", "image"]


def test_a_saved_image_is_large_enough_to_see(
    serve: Serve, browser: Browser, api: type[Api], tmp_path: Path
) -> None:
    Image.new("RGB", (8, 6), "teal").save(tmp_path / "tiny.png")
    show(browser, serve(handler=api), tmp_path / "tiny.png")
    browser.value(f"window.saved = {SAVED}[0]")
    told = """new Promise((done) => {
      window.download = async (blob, name) => {
        const bitmap = await createImageBitmap(blob), { width, height } = bitmap;
        const context = new OffscreenCanvas(width, height).getContext("2d");
        context.drawImage(bitmap, 0, 0);
        const line = [...context.getImageData(0, 241, width, height - 241).data];
        done([name, width, height, Math.min(...line), titleOf(saved.prediction, null)]);
      };
      document.querySelector(".save-image").click();
    })"""
    name, width, height, darkest, title = browser.value(told)
    assert (name, width, height) == ("tiny-evidence.png", 320, 256)
    assert darkest < 50, "the line below the image has words"
    assert title == f"perhaps none: {EVIL}"


def test_nothing_is_wider_than_a_phone(
    serve: Serve, browser: Browser, api: type[Api], photo: Path
) -> None:
    browser.look(390, 844, dark=True, touch=True)
    show(browser, serve(handler=api), photo)
    choose(browser, "beside", EVIL)
    browser.wait_for("document.querySelectorAll('.panel .region').length === 3")
    assert browser.value("document.documentElement.scrollWidth") == 390
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(18, 21, 24)"
    unlabeled = """[...document.querySelectorAll("button, input, select")].filter((e) => (
      e.offsetParent && !e.textContent.trim() && !e.ariaLabel && !(e.labels && e.labels.length)
    )).map((e) => e.outerHTML)"""
    assert browser.value(unlabeled) == []


@pytest.fixture
def with_camera(tmp_path: Path) -> Iterator[Browser]:
    """A browser with a camera, which shows a test pattern and is allowed."""
    flags = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    opened = Browser(tmp_path / "camera", *flags)
    try:
        opened.open_page()
        yield opened
    finally:
        opened.close()


def test_the_camera_is_answered_live(serve: Serve, with_camera: Browser, api: type[Api]) -> None:
    browser = with_camera
    browser.open(serve(handler=api))
    browser.value("document.querySelector('#camera').click()")
    browser.wait_for("document.querySelectorAll('.panel .region').length === 1")
    asked = len(api.asked)
    while len(api.asked) < asked + 2:  # one image after the other
        browser.value("new Promise((done) => requestAnimationFrame(done))")
    assert browser.value("document.querySelectorAll('.past').length") == 0
    browser.value("document.querySelector('#camera-take').click()")
    browser.wait_for(ANSWERED)
    assert browser.value("document.querySelector('video').srcObject") is None
    assert browser.value("document.querySelector('#camera-bar').hidden") is True
    names = "[...document.querySelectorAll('.past-name')].map((e) => e.textContent)"
    assert browser.value(names) == ["camera 1.jpg"]
    api.most = 10
    browser.value("document.querySelector('#camera').click()")
    browser.wait_for("!document.querySelector('#trouble').hidden")
    assert "bytes are too many" in browser.value(TROUBLE)
    assert browser.value("document.querySelector('#camera-bar').hidden") is True


def test_a_camera_that_was_stopped_stays_off(
    serve: Serve, with_camera: Browser, api: type[Api]
) -> None:
    """Also where it was asked for twice, and where the browser still asked when it was stopped."""
    browser = with_camera
    browser.open(serve(handler=api))
    browser.value("""(() => {
      window.given = [];
      const media = navigator.mediaDevices, ask = media.getUserMedia.bind(media);
      media.getUserMedia = async (wanted) => {
        window.asking = (window.asking || 0) + 1;
        await new Promise((done) => { window.allow = done; });
        given.push(await ask(wanted));
        return given[0];
      };
    })()""")
    click = "document.querySelector({!r}).click()"
    for _ in range(2):
        browser.value(click.format("#camera"))
    browser.wait_for("window.asking")
    browser.value(click.format("#camera-stop"))
    browser.value("allow()")
    browser.wait_for("given.length && !given[0].active")
    assert browser.value("asking") == 1
    assert browser.value("document.querySelector('video').srcObject") is None
    assert api.asked == []


def test_a_missing_camera_is_said(serve: Serve, browser: Browser, api: type[Api]) -> None:
    browser.open(serve(handler=api))
    browser.value("document.querySelector('#camera').click()")
    browser.wait_for("!document.querySelector('#trouble').hidden")
    assert "camera" in browser.value(TROUBLE)
    assert browser.value("document.querySelector('#camera-bar').hidden") is True
