"""The documentation builds as a site: no dead link, every public name in the reference."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

import lookcloser

from ..programs import load_program

pytest.importorskip("material", reason="the site needs the extra docs")
pytest.importorskip("mkdocstrings", reason="the site needs the extra docs")

ROOT = Path(__file__).parents[2]
ELSEWHERE = "https://github.com/lookcloser/lookcloser/blob/main"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_program("scripts", "site_pages")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, once for all tests here."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT, capture_output=True, text=True, timeout=900, check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


class _Links(HTMLParser):
    """What a page links to and loads, and the places in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.goals: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = {name: value or "" for name, value in attrs}
        self.places.add(of.get("id", ""))
        if tag == "a" and "href" in of:
            self.goals.append(of["href"])
        if tag in {"img", "script"} and "src" in of:
            self.loaded.append(of["src"])
        if tag == "link" and of.get("rel") == "stylesheet":
            self.loaded.append(of["href"])


def test_no_link_is_dead_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = {page: _Links(page.read_text(encoding="utf-8")) for page in site.rglob("*.html")}
    assert len(pages) > 30
    for page, links in pages.items():
        if page.name == "404.html":
            continue  # its links are absolute
        for goal in [*links.goals, *links.loaded]:
            if re.match(r"[a-z]+:", goal):
                assert goal not in links.loaded or goal.startswith("data:"), f"{page}: {goal}"
                continue
            path, _, place = goal.partition("#")
            there = (page.parent / path).resolve() if path else page
            there = there / "index.html" if there.is_dir() else there
            assert there.is_file(), f"{page}: {goal}"
            assert not place or there.suffix != ".html" or place in pages[there].places, goal


def test_every_public_name_is_in_the_reference(site: Path, script: ModuleType) -> None:
    for room in ("", *script.ROOMS):
        module = getattr(lookcloser, room) if room else lookcloser
        text = (site / "api" / (room or "lookcloser") / "index.html").read_text(encoding="utf-8")
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                heading = rf'<h2 id="lookcloser[.\w]*\.{value.__qualname__}"'
                assert re.search(heading, text), f"{module.__name__}.{name}"
    assert "MaxBoxAcc" in (site / "search" / "search_index.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "source", "page", "expected"),
    [
        ("[a](docs/tutorial.md#use)", "README.md", "index.md", "[a](tutorial.md#use)"),
        ("![a](docs/images/mamc_cost.png)", "README.md", "index.md", "![a](images/mamc_cost.png)"),
        ("[a](../README.md)", "docs/tutorial.md", "tutorial.md", "[a](index.md)"),
        ("[a](LICENSE)", "README.md", "index.md", f"[a]({ELSEWHERE}/LICENSE)"),
        (
            "[a](../../lookcloser/models/cam/README.md)", "docs/methods/cam.md", "methods/cam.md",
            "[a](../papers/cam.md)",
        ),
        ("[a](https://b.org/c.md) [d](#e)", "README.md", "index.md", None),
    ],
)  # fmt: skip
def test_a_link_leads_to_the_page_or_else_to_the_repository(
    script: ModuleType, text: str, source: str, page: str, expected: str | None
) -> None:
    assert script.relinked(text, source, page) == (text if expected is None else expected)


def test_bars_in_code_of_tables_are_shown_without_backslash(script: ModuleType, site: Path) -> None:
    text = "| `a\\|b` | c \\| d | `g` |\n`e\\|f`"
    assert script.with_plain_bars(text) == "| `a|b` | c \\| d | `g` |\n`e\\|f`"
    page = (site / "reference" / "index.html").read_text(encoding="utf-8")
    assert "lac|aps" in page
    assert "\\|" not in page


def test_colors_of_the_site_can_be_read(site: Path) -> None:
    """Material's own teal is below WCAG AA on white; the colors are those of the reports."""
    style = (site / "site.css").read_text(encoding="utf-8")
    page = (site / "index.html").read_text(encoding="utf-8")
    assert page.count('data-md-color-primary="custom"') >= 2
    for color in ("#0a6aa1", "#5ab3ea"):  # tests/report/test_looks.py measures them
        assert color in style
        assert color in (ROOT / "lookcloser/report/viewer/base.css").read_text(encoding="utf-8")


def test_a_link_to_nothing_is_an_error(script: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"README\.md: links to docs/gone\.md"):
        script.relinked("[a](docs/gone.md)", "README.md", "index.md")
