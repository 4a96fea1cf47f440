"""How many files one touches to let the package grow: counted on a copy of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from filecmp import dircmp
from pathlib import Path

import pytest
from PIL import Image
from safetensors import safe_open

from .grown import GRADES, LEARNING, SCORING, TARGET

ROOT = Path(__file__).parents[2]
QUICK = [
    "--backbone",
    "test_resnet",
    "--weights",
    "none",
    "--stride",
    "8",
    "--size",
    "32",
    "--epochs",
    "1",
    "--batch-size",
    "16",
    "--workers",
    "0",
    "--augment",
    "none",
]

OPTIONS = '''"""What `tiny` is and takes."""

from dataclasses import dataclass
from typing import Literal

from lookcloser.core.options import option
from lookcloser.models.options import BackboneOptions, Method


@dataclass(frozen=True)
class TinyOptions(BackboneOptions):
    """Options of `Tiny`."""

    depth: int = option(1, "Number of linear layers.", least=1)
    joint: Literal["relu", "tanh"] = option("relu", "What stands between them.")


METHOD = Method(
    "tiny", ("classification",), "a few linear layers on a backbone", TinyOptions,
    "lookcloser.models.tiny.model:Tiny",
)

METHODS = (METHOD,)
'''
MODEL = '''"""A few linear layers."""

from torch import nn

from lookcloser.core.types import Output
from lookcloser.models.base import Model, make_backbone
from lookcloser.models.tiny.options import METHOD, TinyOptions


class Tiny(Model, method=METHOD):
    """`depth` linear layers."""

    Options = TinyOptions

    def __init__(self, num_classes, options=None):
        super().__init__()
        options = options or TinyOptions()
        self.backbone = make_backbone(options)
        width = self.backbone.width
        between = nn.ReLU if options.joint == "relu" else nn.Tanh
        layers = [[nn.Linear(width, width), between()] for _ in range(options.depth - 1)]
        self.head = nn.Sequential(*sum(layers, []), nn.Linear(width, num_classes))

    def forward(self, images, targets=None, top=None):
        features = self.backbone(images)
        logits = self.head(features.mean(dim=(2, 3)))
        count = min(top or logits.shape[1], logits.shape[1])
        tokens = logits.topk(count).indices if targets is None else targets
        maps = features.mean(dim=1, keepdim=True).expand(-1, tokens.shape[1], -1, -1)
        return Output(logits=logits, maps=maps, tokens=tokens)
'''

READER = '''"""A text of lines "cat a.jpg"."""

from pathlib import Path

from lookcloser.data.catalog import Catalog, Sample

NAME = "pairs.lst"


def recognizes(root: Path) -> bool:
    """Whether the list is there."""
    return (root / NAME).is_file()


def read(root: Path, skip_missing: bool) -> Catalog:
    """A sample for each line."""
    pairs = [line.split() for line in (root / NAME).read_text().splitlines()]
    samples = tuple(Sample(image, root / image, (label,)) for label, image in pairs)
    names = tuple(sorted({label for label, _ in pairs}))
    return Catalog(root, "pairs", "classification", names, samples)
'''
VIEW = '''"""The input times its gradient."""

from lookcloser.explain.saliency import saliency


def glow(model, images, targets=None):
    """Saliency, but brighter."""
    return 2 * saliency(model, images, targets)
'''

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the package, of the script beside it and of the page that it writes."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "lookcloser", tmp_path / "lookcloser", ignore=ignored)
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=ignored)
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "reference.md", tmp_path / "docs")
    return tmp_path


@pytest.fixture
def run(house: Path, warm_python: str) -> Run:
    """Python with the copy in the place of the package."""

    def python(*words: object) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "PYTHONPATH": str(house),
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.run(
            [warm_python, *map(str, words)],
            cwd=house,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return python


def touched(house: Path) -> tuple[set[str], set[str]]:
    """Files of the copy that are changed, and files and folders that are new."""
    changed: set[str] = set()
    new: set[str] = set()

    def walk(found: dircmp[str], below: str) -> None:
        changed.update(below + name for name in found.diff_files)
        new.update(below + name for name in found.right_only)
        for name, inner in found.subdirs.items():
            walk(inner, f"{below}{name}/")

    walk(dircmp(ROOT / "lookcloser", house / "lookcloser", ignore=["__pycache__"]), "")
    return changed, new


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), encoding="utf-8")


def flat(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


def test_a_new_method_is_its_folder_and_one_line(house: Path, run: Run, squares: Path) -> None:
    folder = house / "lookcloser" / "models" / "tiny"
    folder.mkdir()
    for name, text in (("__init__", '"""Tiny."""\n'), ("options", OPTIONS), ("model", MODEL)):
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    registry = house / "lookcloser" / "models" / "registry.py"
    change(registry, '    "feedback",\n', '    "feedback",\n    "tiny",\n')
    assert touched(house) == ({"models/registry.py"}, {"models/tiny"})

    listed = json.loads(run("-m", "lookcloser", "methods", "--json").stdout)
    (tiny,) = (method for method in listed if method["name"] == "tiny")
    assert [option["name"] for option in tiny["options"]] == ["depth", "joint"]
    assert "Only --method tiny" in run("-m", "lookcloser", "train", "--help").stdout
    refused = run("-m", "lookcloser", "train", squares, "--method", "tiny", "--joint", "rleu")
    assert (refused.returncode, flat(refused.stderr)) == (
        2,
        "Error: rleu: unknown --joint. Close: relu.",
    )
    refused = run("-m", "lookcloser", "train", squares, "--method", "cam", "--depth", "2")
    assert refused.returncode == 2
    assert "--depth 2: not an option of the method cam. It belongs to tiny." in refused.stderr

    done = run(
        *("-m", "lookcloser", "train", squares, "--out", house / "run", *QUICK),
        *("--method", "tiny", "--depth", "3", "--joint", "tanh"),
    )
    assert done.returncode == 0, done.stderr
    with safe_open(house / "run" / "model.safetensors", framework="np") as file:
        arguments = json.loads(file.metadata()["lookcloser"])["arguments"]
    assert (arguments["depth"], arguments["joint"]) == (3, "tanh")
    config = (house / "run" / "config.yaml").read_text(encoding="utf-8")
    assert "  method: tiny\n" in config
    assert "  depth: 3\n" in config

    again = run(
        "-c",
        "import sys, lookcloser\n"
        "from lookcloser.training.options import make_options\n"
        f"assert lookcloser.__file__.startswith({str(house)!r}), lookcloser.__file__\n"
        f"found = lookcloser.load({str(house / 'run')!r})\n"
        "assert len(found.model.head) == 5, found.model.head\n"
        "assert make_options(method='tiny', depth=2).own == {'depth': 2}",
    )
    assert again.returncode == 0, again.stderr


def test_a_new_option_is_one_file(house: Path, run: Run) -> None:
    file = house / "lookcloser" / "models" / "racnn" / "options.py"
    change(
        file,
        "    apn: Proposal | None = option(",
        '    glow: float = option(0.5, "How it glows.", least=0)\n'
        "    apn: Proposal | None = option(",
    )
    assert touched(house) == ({"models/racnn/options.py"}, set())

    shown = flat(run("-m", "lookcloser", "train", "--help").stdout)
    assert "--glow <float> How it glows. Default: 0.5." in shown
    refused = run("-m", "lookcloser", "train", "x", "--method", "racnn", "--glow", "-1")
    assert (refused.returncode, refused.stderr) == (
        2,
        "Error: --glow -1.0: not possible. Allowed: 0 or more.\n",
    )
    (house / "c.yaml").write_text("method: racnn\nglow: bright\n", encoding="utf-8")
    refused = run("-m", "lookcloser", "train", "x", "--config", "c.yaml")
    assert refused.returncode == 2
    assert "c.yaml: glow bright: not possible. Allowed: a finite number." in refused.stderr

    # What editors and the docs read follows by one command.
    assert run("scripts/write_options.py").returncode == 0
    keywords = (house / "lookcloser" / "training" / "keywords.py").read_text(encoding="utf-8")
    assert "    glow: float\n" in keywords
    page = (house / "docs" / "reference.md").read_text(encoding="utf-8")
    assert "| `glow` | 0.5 | 0 or more | How it glows. |" in page


def test_a_new_reader_is_one_file_and_its_line(house: Path, run: Run, squares: Path) -> None:
    readers = house / "lookcloser" / "data" / "readers"
    (readers / "pairs.py").write_text(READER, encoding="utf-8")
    listed = readers / "__init__.py"
    change(listed, "    nus_wide,\n", "    nus_wide,\n    pairs,\n")
    line = '    Reader("PASCAL VOC"'
    change(listed, line, f'    Reader("pairs", pairs.NAME, pairs.recognizes, pairs.read),\n{line}')
    assert touched(house) == ({"data/readers/__init__.py"}, {"data/readers/pairs.py"})

    data = house / "data"
    shutil.copytree(squares / "train", data)
    rows = [f"{file.parent.name} {file.relative_to(data).as_posix()}" for file in data.glob("*/*")]
    (data / "pairs.lst").write_text("\n".join(rows), encoding="utf-8")
    checked = run("-m", "lookcloser", "data", "check", "data", "--json")
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["layout"] == "pairs"


def test_a_new_view_is_one_file_and_its_line(house: Path, run: Run) -> None:
    views = house / "lookcloser" / "explain"
    (views / "glow.py").write_text(VIEW, encoding="utf-8")
    listed = views / "__init__.py"
    first = "from lookcloser.explain.gradcam import gradcam\n"
    change(listed, first, f"from lookcloser.explain.glow import glow\n{first}")
    change(
        listed,
        "        saliency,\n        smoothgrad",
        "        saliency,\n        glow,\n        smoothgrad",
    )
    assert touched(house) == ({"explain/__init__.py"}, {"explain/glow.py"})

    Image.new("RGB", (32, 32), "red").save(house / "red.png")
    asked = ["explain", "timm:test_resnet", "red.png", "--weights", "none", "--view", "glow"]
    shown = run("-m", "lookcloser", *asked, "--save", "views.png")
    assert shown.returncode == 0, shown.stderr
    assert (house / "views.png").stat().st_size > 0


def test_a_new_task_is_seven_files(house: Path, run: Run, squares: Path) -> None:
    package = house / "lookcloser"
    choices = package / "core" / "choices.py"
    change(choices, '"multilabel", "captioning"]', '"multilabel", "grading", "captioning"]')
    change(choices, '"captioning": TaskTraits(', GRADES)
    columns = package / "data" / "readers" / "tables" / "columns.py"
    change(
        columns,
        '    "caption": "captioning",\n',
        '    "caption": "captioning",\n    "grade": "grading",\n',
    )
    (package / "training" / "tasks" / "grading.py").write_text(LEARNING, encoding="utf-8")
    line = "from lookcloser.training.tasks.module import"
    fit = package / "training" / "fit.py"
    change(fit, line, f"from lookcloser.training.tasks.grading import GradingModule\n{line}")
    line = '    "captioning": CaptioningModule,\n'
    change(fit, line, f'    "grading": GradingModule,\n{line}')
    (package / "evaluation" / "grading.py").write_text(SCORING, encoding="utf-8")
    line = "from lookcloser.evaluation.loop import"
    evaluate = package / "evaluation" / "evaluate.py"
    change(evaluate, line, f"from lookcloser.evaluation.grading import evaluate_grades\n{line}")
    line = '    "captioning": evaluate_captions,\n'
    change(evaluate, line, f'    "grading": evaluate_grades,\n{line}')
    change(
        package / "models" / "cam" / "options.py",
        '    ("classification",),\n',
        '    ("classification", "grading"),\n',
    )
    changed, new = touched(house)
    assert new == {"training/tasks/grading.py", "evaluation/grading.py"}
    assert len(changed | new) == 7

    rows = ["image,grade,split"]
    for split in ("train", "val", "test"):
        for file in (squares / split).rglob("*.png"):
            rows.append(f"{file.relative_to(squares).as_posix()},{file.parent.name},{split}")
    data = house / "data"
    shutil.copytree(squares, data, ignore=shutil.ignore_patterns("*.csv"))
    (data / "grades.csv").write_text("\n".join(rows), encoding="utf-8")
    checked = run("-m", "lookcloser", "data", "check", "data/grades.csv")
    assert checked.returncode == 0, checked.stderr
    assert "grading, 3 grades" in checked.stdout

    done = run("-m", "lookcloser", "train", "data/grades.csv", "--out", "run", *QUICK)
    assert done.returncode == 0, done.stderr
    used = run(
        "-c",
        "import json, lookcloser\n"
        "found = lookcloser.load('run', device='cpu')\n"
        "(answer,) = found.predict('data/test/red/0.png')\n"
        "scores = found.evaluate('data/grades.csv', split='test')\n"
        "found.report('data/grades.csv', split='test')\n"
        "print(json.dumps([answer.to_dict(), scores]))",
    )
    assert used.returncode == 0, used.stderr
    answer, scores = json.loads(used.stdout)
    assert answer["task"] == "grading"
    assert answer["labels"][0]["name"] in {"blue", "green", "red"}
    assert answer["regions"][0]["kind"] == "map"
    assert 0 <= scores["mean error"] <= 2
    assert "given the right grade" in (house / "run" / "report.html").read_text(encoding="utf-8")


def test_a_new_form_of_export_is_one_file_and_its_line(house: Path, run: Run) -> None:
    pytest.importorskip("onnxscript", reason="export asks for its extra first")
    rooms = house / "lookcloser"
    (rooms / "export" / "arrays.py").write_text(TARGET, encoding="utf-8")
    change(
        rooms / "recognizer" / "targets.py",
        "TARGETS = {\n",
        'TARGETS = {\n    "npz": Target("weights", "lookcloser.export.arrays:write"),\n',
    )
    assert touched(house) == ({"recognizer/targets.py"}, {"export/arrays.py"})

    shown = flat(run("-m", "lookcloser", "export", "--help").stdout)
    assert "npz: weights; onnx: one file" in shown
    words = ["export", "timm:test_resnet", "--weights", "none", "--format"]
    done = run("-m", "lookcloser", *words, "npz", "--out", "w.npz")
    assert done.returncode == 0, done.stderr
    assert "To see it: numpy.load" in flat(done.stderr)
    assert (house / "w.npz").stat().st_size > 0
    refused = run("-m", "lookcloser", *words, "npy")
    assert refused.returncode == 2
    assert "Close: npz" in refused.stderr
