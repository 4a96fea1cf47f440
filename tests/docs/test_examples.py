"""What README and docs tell people to type: it parses, and what is marked ``run`` is run."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import yaml
from PIL import Image

import lookcloser
from lookcloser.cli import main
from lookcloser.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"(?P<run><!-- run -->\n)?^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$",
    re.M | re.S,
)
# Seconds instead of minutes; what is typed in a page wins.
QUICK = {
    **{"backbone": "test_resnet", "weights": "none", "stride": 8, "size": 32},
    "recipe": "closed-form",
}


@dataclass(frozen=True)
class Block:
    """A block of code in a page."""

    page: Path
    language: str
    text: str
    run: bool

    def commands(self) -> Iterator[list[str]]:
        """The words of each call of the program, without what the shell does with its output."""
        for line in self.text.replace("\\\n", " ").splitlines():
            for part in line.split("&&"):
                words = shlex.split(part, comments=True) if "lookcloser " in part else []
                if words[:1] == ["lookcloser"]:
                    end = next((i for i, word in enumerate(words) if word in {">", "|"}), None)
                    yield words[1:end]


def blocks() -> list[Block]:
    return [
        Block(page, found["language"], found["text"], found["run"] is not None)
        for page in PAGES
        for found in FENCE.finditer(page.read_text(encoding="utf-8"))
    ]


BLOCKS = blocks()
COMMANDS = [
    pytest.param(words, id=f"{block.page.stem}: {' '.join(words)}"[:100])
    for block in BLOCKS
    for words in block.commands()
]
PYTHON = [
    pytest.param(block, id=f"{block.page.stem}-{number}")
    for number, block in enumerate(BLOCKS)
    if block.language == "python"
]


def test_the_pages_have_blocks_of_each_kind() -> None:
    assert len(COMMANDS) > 30
    assert len(PYTHON) > 5
    assert sum(block.run for block in BLOCKS) >= 8


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_has_the_verb_and_the_options(words: list[str]) -> None:
    command: Any = typer.main.get_command(app)  # typer has click, or its own copy of it
    context = command.context_class(command, info_name="lookcloser")
    while hasattr(command, "get_command") and words:
        name, *words = words
        command = command.get_command(context, name)
        assert command is not None, name
        context = command.context_class(command, parent=context, info_name=name)
    assert not hasattr(command, "get_command"), "a verb of verbs, without the second"
    command.make_parser(context).parse_args(list(words))


def test_an_option_that_is_not_there_would_be_found() -> None:
    (words,) = Block(PAGES[0], "", "lookcloser predict a b --sav c > d  # so\n", False).commands()
    assert words == ["predict", "a", "b", "--sav", "c"]
    with pytest.raises(Exception, match="No such option: --sav"):
        test_a_command_has_the_verb_and_the_options(words)


@pytest.mark.parametrize("block", PYTHON)
def test_python_names_what_is_there(block: Block) -> None:
    tree = ast.parse(block.text)
    known: dict[str, object] = {"recognizer": lookcloser.Recognizer, "lookcloser": lookcloser}
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in imports:
        if "lookcloser" in ast.unparse(node):
            exec(compile(ast.Module([node], []), str(block.page), "exec"), known)
    known |= {"lc": lookcloser}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            root, *names = ast.unparse(node).split(".")
            value = known.get(root)
            for name in names if value is not None else ():
                if not name.isidentifier():
                    break
                assert hasattr(value, name), f"{root}.{name} in {block.page.name}"
                value = getattr(value, name)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tutorial's data, small: squares whose color is their class."""
    folder = tmp_path_factory.mktemp("desk")
    generator = np.random.default_rng(0)

    def write(path: Path, channel: int) -> None:
        pixels = generator.integers(0, 90, (40, 48, 3), dtype=np.uint8)
        left = int(generator.integers(0, 30))
        pixels[12:28, left : left + 16, channel] = 250
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

    for channel, name in enumerate(("cat", "coin", "cup")):
        for split, count in (("train", 12), ("val", 4), ("test", 9)):
            for number in range(count):
                write(folder / "photos" / split / name / f"{number}.png", channel)
    for number in range(6):
        write(folder / "new" / f"{number}.jpg", number % 3)
    for number in range(4):
        write(folder / "more" / "rocket" / f"{number}.png", 0)
    (folder / "quick.yaml").write_text(yaml.safe_dump(QUICK), encoding="utf-8")
    return folder


def first_words(text: str) -> set[str]:
    """What lines begin with, tables left out: numbers differ, and what is said does not."""
    lines = [line for line in text.splitlines() if line and line[0] not in "┏┃┡│└"]
    return {line.split()[0] for line in lines}


def test_the_tutorial_runs(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(desk)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = []
    for block, below in pairwise(BLOCKS):
        if not block.run or block.page.name != "tutorial.md":
            continue
        if block.language == "python":
            capsys.readouterr()
            exec(compile(block.text, "tutorial.md", "exec"), {})
            assert len(capsys.readouterr().out.splitlines()) == 2
        for words in block.commands():
            quick = ["--config", "quick.yaml"] if words[0] == "train" else []
            monkeypatch.setattr(sys, "argv", ["lookcloser", *words, *quick])
            with pytest.raises(SystemExit) as left:
                main()
            said = capsys.readouterr()
            assert left.value.code in {0, None}, f"{words}: {said.err}"
            if "\nNext: " in below.text:  # all that is said, not a part of it
                assert first_words(said.out + said.err) <= first_words(below.text), words
            done.append(words[0])
    assert done == ["data", "train", "report", "predict", "explain", "audit", "annotate", "add"]
    assert sorted(path.name for path in desk.glob("evidence/*.png")) == [
        f"{i}.png" for i in range(6)
    ]
    for made in ("report.html", "audit.html"):
        assert (desk / "runs" / "photos" / made).is_file()
    assert (desk / "views.png").is_file()
    assert (desk / "boxes" / "annotations.json").is_file()


def test_every_image_is_small_and_used() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    text += "".join(p.read_text(encoding="utf-8") for p in ROOT.glob("lookcloser/models/*/*.md"))
    for image in (ROOT / "docs" / "images").iterdir():
        assert image.stat().st_size < 300_000, image.name
        assert f"images/{image.name})" in text, f"{image.name} is in no page"


def test_every_image_says_what_it_shows() -> None:
    for page in PAGES:
        for alt in re.findall(r"!\[(.*?)\]\(", page.read_text(encoding="utf-8")):
            assert len(alt.split()) >= 3, f"{page.name}: {alt!r}"
