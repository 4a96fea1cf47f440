"""Pages of the documentation's site that do not lie in docs/; a hook of MkDocs.

README, changelog and the pages beside the code of the methods become pages of the site, and every
public name gets its place in the API reference. A link out of docs/ leads to such a page where
there is one, else to the file in the repository; so the same text can be read here and there.
"""

from __future__ import annotations

import inspect
import posixpath
import re
from importlib import import_module
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import lookcloser

ROOT = Path(__file__).parents[1]
ROOMS = lookcloser._FOLDERS
MOVED = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
} | {
    path.relative_to(ROOT).as_posix(): f"papers/{path.parent.name}.md"
    for path in sorted(ROOT.glob("lookcloser/models/*/README.md"))
}
CODE_IN_A_ROW = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"(\]\(|src=\")([^)#\"\s:]+)(#[^)\"\s]*)?(\)|\")")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what lies elsewhere, and the API reference."""
    for source, page in MOVED.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=relinked(text, source, page)))
    for name in ("", *ROOMS):
        page = f"api/{name or 'lookcloser'}.md"
        files.append(File.generated(config, page, content=reference(name)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links of pages in docs/ that lead out of it, and bars in code of tables."""
    place = page.file.src_uri
    markdown = with_plain_bars(markdown)
    lies_in_docs = place not in MOVED.values() and not place.startswith("api/")
    return relinked(markdown, f"docs/{place}", place) if lies_in_docs else markdown


def with_plain_bars(text: str) -> str:
    r"""Rows of tables with ``|`` in code as it is: GitHub wants ``\|`` there, MkDocs shows that."""
    return "\n".join(
        CODE_IN_A_ROW.sub(lambda code: code[0].replace("\\|", "|"), line)
        if line.startswith("|")
        else line
        for line in text.split("\n")
    )


def relinked(text: str, source: str, page: str) -> str:
    """A text with its relative links as they must be on the site.

    Args:
        text: Markdown.
        source: Its path in the repository, from which its links go.
        page: Its path on the site.

    Raises:
        ValueError: For a link to a file that does not exist.
    """

    def link(match: re.Match[str]) -> str:
        before, target, anchor, after = match.groups(default="")
        goal = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if not (ROOT / goal).exists():
            raise ValueError(f"{source}: links to {target}, which is not there")
        if goal in MOVED or goal.startswith("docs/"):
            there = MOVED.get(goal, goal.removeprefix("docs/"))
            goal = posixpath.relpath(there, posixpath.dirname(page) or ".")
        else:
            goal = f"https://github.com/lookcloser/lookcloser/blob/main/{goal}"
        return f"{before}{goal}{anchor}{after}"

    return LINK.sub(link, text)


def reference(room: str) -> str:
    """The page of a room's public names, or of those of the package itself."""
    name = f"lookcloser.{room}".rstrip(".")
    module = import_module(name)
    lines = [f"# {name}", "", *(inspect.getdoc(module) or "").splitlines(), ""]
    for public in sorted(module.__all__, key=str.lower):
        value = getattr(module, public)
        if inspect.isclass(value) or inspect.isfunction(value):
            lines += [f"::: {value.__module__}.{value.__qualname__}", ""]
    return "\n".join(lines)
