"""The page as text: escaped, and bound to where it comes from."""

from __future__ import annotations

import json
import re

import pytest

from lookcloser.web import server_page
from lookcloser.web.page import COMMON, WORKER, page_assets, text_of

from .conftest import EVIL


def policy_of(html: str) -> dict[str, list[str]]:
    found = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert found is not None
    parts = [part.split() for part in found[1].replace("&#39;", "'").split(";")]
    return {name: sources for name, *sources in parts}


def test_a_server_shows_three_files() -> None:
    page = server_page()
    assert {name: asset.media_type for name, asset in page.items()} == {
        "index.html": "text/html; charset=utf-8",
        "page.css": "text/css; charset=utf-8",
        "page.js": "text/javascript; charset=utf-8",
    }
    html = page["index.html"].content.decode()
    assert set(re.findall(r'(?:src|href)="([^"]*)"', html)) == {"page.css", "page.js", "data:,"}
    policy = policy_of(html)
    assert policy["connect-src"] == policy["script-src"] == ["'self'"]
    assert policy["default-src"] == policy["form-action"] == ["'none'"]


@pytest.mark.parametrize("name", ["page.css", "page.js"])
def test_nothing_names_another_machine(name: str) -> None:
    text = server_page()[name].content.decode()
    assert set(re.findall(r"https?://[^\s\"'`]+", text)) <= {"http://localhost:8000"}


def test_titles_and_settings_are_escaped() -> None:
    page = page_assets(
        EVIL,
        settings={"engine": "local", "model": EVIL},
        scripts=COMMON,
        policy={},
        promise=EVIL,
    )
    html = page["index.html"].content.decode()
    assert "<img" not in html
    assert html.count("</script>") == 2
    settings = re.search(r'id="settings">(.*?)</script>', html)
    assert settings is not None
    assert json.loads(settings[1])["model"] == EVIL


def test_a_title_that_is_no_text_costs_nothing() -> None:
    page = page_assets("caf\udce9", settings={}, scripts=(), policy={}, promise="")
    assert b"<h1>caf?</h1>" in page["index.html"].content


def test_no_script_makes_markup_of_text() -> None:
    for names in ((*COMMON, "local.js", "remote.js", "page.js"), WORKER):
        text = text_of(*names)
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert way not in text


def test_the_page_has_no_style_or_script_of_its_own() -> None:
    """The policy would refuse them."""
    html = server_page()["index.html"].content.decode()
    assert not re.search(r"\s(style|on\w+)=", html)
    assert "<style" not in html
