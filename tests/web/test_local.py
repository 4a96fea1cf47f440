"""The web folder in Chromium, with no network but loopback: the answers are those of Python."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookcloser.runtime.onnx import load
from lookcloser.web import OrtWeb, find_runtime, write_folder
from lookcloser.web.ort import VERSION

from ..browser import CHROMIUM, Browser
from .conftest import EVIL, Serve, Site
from .loopback import Quiet
from .networks import write_network
from .visits import SAVED, TROUBLE, answers, choose, give, require_same

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


@pytest.fixture
def small_memory(tmp_path: Path) -> Iterator[Browser]:
    """A browser in which WebAssembly gets less memory than ONNX Runtime needs."""
    opened = Browser(tmp_path / "small", "--js-flags=--wasm-max-mem-pages=200")
    try:
        opened.open_page()
        yield opened
    finally:
        opened.close()


def test_answers_are_those_of_python(
    site: Site, serve: Serve, browser: Browser, photos: list[Path]
) -> None:
    folder, recognizer = site()
    browser.open(serve(folder))
    assert give(browser, *photos) == ""
    found = answers(browser)
    for path in photos:
        require_same(found[path.name], recognizer.predict(path)[0].to_dict())
    assert browser.value("document.querySelectorAll('.zoom canvas').length") == 2
    best = recognizer.predict(photos[0])[0].labels[0].name
    words = "document.querySelector('.zoom span').textContent"
    assert browser.value(words).startswith(f"look 2 · {best} ")
    assert EVIL in browser.value("document.body.textContent")
    assert browser.value("document.querySelectorAll('main img[onerror]').length") == 0


def test_classes_that_may_be_true_are_those_of_python(
    site: Site, serve: Serve, browser: Browser, photos: list[Path]
) -> None:
    folder, recognizer = site()
    browser.open(serve(folder))
    browser.wait_for("!document.querySelector('#sets').hidden")
    choose(browser, "coverage", "0.9")
    assert give(browser, *photos) == ""
    found, sizes = answers(browser), set()
    for path in photos:
        (wanted,) = recognizer.predict(path, coverage=0.9)
        assert wanted.candidates is not None
        names = [label["name"] for label in found[path.name]["candidates"]]
        assert names == [label.name for label in wanted.candidates]
        assert found[path.name]["coverage"] == 0.9
        sizes.add(len(names))
    assert max(sizes) > 0


def test_tags_are_those_of_python(
    site: Site, serve: Serve, browser: Browser, photos: list[Path]
) -> None:
    folder, recognizer = site("sigmoid")
    browser.open(serve(folder))
    browser.wait_for("document.querySelector('#about').textContent")
    assert browser.value("document.querySelector('#sets').hidden"), "a tag is no class"
    assert give(browser, *photos) == ""
    found = answers(browser)
    for path in photos:
        (wanted,) = recognizer.predict(path)
        assert 0 < len(wanted.labels) < len(recognizer.names)
        answer = found[path.name]
        assert [item["name"] for item in answer["labels"]] == [item.name for item in wanted.labels]
        steps = [(region["label"], region["step"]) for region in answer["regions"]]
        assert steps[: len(wanted.labels)] == [(r.label, r.step) for r in wanted.regions]


def test_images_stay_in_the_browser(
    site: Site, serve: Serve, browser: Browser, photos: list[Path]
) -> None:
    address = serve(site()[0])
    other = serve(photos[0].parent)
    browser.open(address)
    assert give(browser, photos[0]) == ""
    before = len(browser.named("Network.requestWillBeSent"))
    assert give(browser, *photos[1:]) == ""
    asked = browser.named("Network.requestWillBeSent")
    assert {event["request"]["method"] for event in asked} == {"GET"}
    later = [event["request"]["url"] for event in asked[before:]]
    assert all(url.startswith(("blob:", "data:")) for url in later)
    send = f"fetch('{other}fine.jpg', {{ mode: 'no-cors' }}).then(() => 'sent', () => 'kept')"
    assert browser.value(send) == "kept"
    in_worker = f"{send}.then(postMessage)"
    assert (
        browser.value(
            "new Promise((done) => { const worker = new Worker(URL.createObjectURL("
            f"new Blob([{json.dumps(in_worker)}]))); worker.onmessage = (e) => done(e.data); }})"
        )
        == "kept"
    )


def test_captions_are_walked_through_by_keyboard(
    site: Site, serve: Serve, browser: Browser, photos: list[Path]
) -> None:
    folder, recognizer = site("lstm")
    browser.open(serve(folder))
    assert give(browser, photos[1]) == ""
    (wanted,) = recognizer.predict(photos[1])
    ((answer),) = browser.value(SAVED)
    assert answer["prediction"]["caption"] == wanted.caption
    scores = [region["score"] for region in answer["prediction"]["regions"]]
    assert scores == pytest.approx([region.score for region in wanted.regions], abs=1e-3)
    pressed = "[...document.querySelectorAll('.region')].map((e) => e.ariaPressed).join()"
    browser.value("document.querySelector('.region').focus()")
    steps = len(wanted.regions)
    assert steps > 1
    for turn in (1, 2, steps - 1):
        for kind in ("keyDown", "keyUp"):
            key = "ArrowLeft" if turn == steps - 1 else "ArrowRight"
            browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)
        place = (turn % steps) if key == "ArrowRight" else 1 % steps
        assert browser.value(pressed).split(",").index("true") == place


def test_a_broken_file_costs_nothing_else(
    site: Site, serve: Serve, browser: Browser, photos: list[Path], tmp_path: Path
) -> None:
    browser.open(serve(site()[0]))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photos[1].read_bytes()[:900])
    (tmp_path / "words.png").write_text("<script>alert(1)</script>")
    assert "broken.jpg: This JPEG file is damaged or cut off" in give(browser, broken)
    assert "words.png: This is not an image" in give(browser, tmp_path / "words.png")
    assert give(browser, photos[0]) == ""
    assert browser.value("document.querySelectorAll('.failed').length") == 2
    browser.value("document.querySelector('#clear').click()")
    assert browser.value("document.querySelectorAll('.past').length") == 0


def test_want_of_memory_is_said(
    site: Site, serve: Serve, small_memory: Browser, photos: list[Path]
) -> None:
    small_memory.open(serve(site()[0]))
    for _ in range(2):  # the second try starts afresh
        assert "not enough memory for this. Close other tabs." in give(small_memory, photos[0])


def test_a_tab_that_ended_says_so_when_it_comes_back(
    site: Site, serve: Serve, browser: Browser
) -> None:
    address = serve(site()[0])
    browser.open(address)
    browser.value("sessionStorage.setItem(AT_WORK, 'large.jpg')")
    browser.crash()
    browser.open(address)
    assert "The tab ended while it worked on large.jpg" in browser.value(TROUBLE)
    browser.open(address)
    assert browser.value(TROUBLE) == ""


def test_a_page_whose_model_comes_late_answers_then(
    site: Site, serve: Serve, browser: Browser, photos: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "late"
    shutil.copytree(site()[0], folder)
    card = folder / "model.json"
    card.rename(folder / "kept.json")
    browser.open(serve(folder))
    assert "model.json is not there" in give(browser, photos[0])
    (folder / "kept.json").rename(card)
    assert give(browser, photos[1]) == ""
    assert EVIL in browser.value("document.querySelector('.panel').textContent")


@pytest.mark.parametrize("change", ["gone", "changed"])
def test_half_a_folder_is_said(
    site: Site, serve: Serve, browser: Browser, photos: list[Path], tmp_path: Path, change: str
) -> None:
    folder = tmp_path / "half"
    shutil.copytree(site()[0], folder)
    model = folder / "model.onnx"
    if change == "gone":
        model.unlink()
    else:
        model.write_bytes(model.read_bytes()[:-1])
    browser.open(serve(folder))
    assert "model.onnx" in (said := give(browser, photos[0]))
    assert "upload the whole folder again" in said


NEEDED = {
    "img-src": "'self' blob: data:",
    "worker-src": "blob:",
    "script-src": "'self' blob: 'wasm-unsafe-eval'",
}


@pytest.mark.parametrize(
    ("directive", "sources", "missing"),
    [
        ("img-src", "'self'", "no blob: in img-src"),
        ("worker-src", "'self'", "no blob: in worker-src"),
        ("script-src", "'self' blob:", "no 'wasm-unsafe-eval' in script-src"),
        ("connect-src", "'self'", ""),
    ],
)
def test_what_the_policy_of_a_host_forbids_is_named(
    site: Site,
    serve: Serve,
    browser: Browser,
    photos: list[Path],
    directive: str,
    sources: str,
    missing: str,
) -> None:
    policy = {**NEEDED, directive: sources}

    class Strict(Quiet):
        def end_headers(self) -> None:
            given = "; ".join(f"{name} {value}" for name, value in policy.items())
            self.send_header("Content-Security-Policy", f"default-src 'self'; {given}")
            super().end_headers()

    browser.open(serve(site()[0], Strict))
    said = give(browser, photos[0])
    assert missing in said
    assert bool(said) == bool(missing)


@pytest.mark.parametrize("name", ["model.json", "worker.js", "model.onnx"])
def test_a_host_that_answers_all_with_its_own_page_is_found_out(
    site: Site, serve: Serve, browser: Browser, photos: list[Path], tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "other"
    shutil.copytree(site()[0], folder)
    (folder / name).write_text("<!doctype html><title>Not found</title>")
    browser.open(serve(folder))
    assert f"{name} is not" in (said := give(browser, photos[0]))
    assert "upload the whole folder again" in said.lower()


def test_a_page_whose_script_does_not_come_says_so(
    site: Site, serve: Serve, browser: Browser, tmp_path: Path
) -> None:
    folder = tmp_path / "dead"
    shutil.copytree(site()[0], folder)
    (folder / "page.js").unlink()
    browser.open(serve(folder))
    assert "has not started: page.js" in browser.value(TROUBLE)
    late = "document.getAnimations().map((e) => { e.finish(); return e.animationName; })"
    assert browser.value(late) == ["late"]
    seen = "getComputedStyle(document.querySelector('#unstarted')).visibility"
    assert browser.value(seen) == "visible"


class Kept(Quiet):
    """Files that browsers shall keep."""

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "max-age=3600")
        super().end_headers()


def test_what_the_browser_kept_of_an_earlier_export_is_not_taken(
    site: Site,
    installed: OrtWeb,
    serve: Serve,
    browser: Browser,
    photos: list[Path],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "site" / "below" / "this"
    folder.parent.mkdir(parents=True)
    address = f"{serve(tmp_path / 'site', Kept)}below/this/"
    for method in ("racnn", "sigmoid"):
        recognizer = site(method)[1]
        write_folder(recognizer.engine.file, folder, installed, "page")
        browser.open(address)
        assert give(browser, photos[0]) == ""
        found = browser.value(SAVED)[0]["prediction"]
        require_same(found, recognizer.predict(photos[0])[0].to_dict())


class Open(Quiet):
    """Files that other pages may load too, as those of a content delivery network."""

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()


@pytest.mark.parametrize("sound", [True, False])
def test_the_runtime_may_come_from_another_host(
    site: Site,
    installed: OrtWeb,
    serve: Serve,
    browser: Browser,
    photos: list[Path],
    tmp_path: Path,
    sound: bool,
) -> None:
    assert installed.contents is not None
    (tmp_path / "host").mkdir()
    for name, data in installed.contents.items():
        (tmp_path / "host" / name).write_bytes(data if sound else data + b"\n")
    address = serve(tmp_path / "host", Open)
    runtime = OrtWeb(installed.version, installed.hashes, address=address)
    write_folder(site()[1].engine.file, tmp_path / "page", runtime, "page")
    browser.open(serve(tmp_path / "page"))
    said = give(browser, photos[0])
    assert (said == "") == sound
    assert sound or "is not the file that was exported" in said


def test_a_runtime_whose_host_cannot_be_reached_is_said(
    serve: Serve, browser: Browser, photos: list[Path], tmp_path: Path
) -> None:
    file = load(write_network(tmp_path / "model.onnx", "racnn"), threads=1).engine.file
    write_folder(file, tmp_path / "page", find_runtime("cdn"), "far away")
    browser.open(serve(tmp_path / "page"))
    assert "far away" in browser.value("document.body.textContent")
    said = give(browser, photos[0])
    assert f"onnxruntime-web@{VERSION}" in said
    assert "Is this device online?" in said
