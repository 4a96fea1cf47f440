"""The rules of the house, run by the tools that know them."""

import ast
import importlib
import inspect
import pkgutil
import re
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lookcloser

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "lookcloser"


def run(*command):
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff():
    run("ruff", "check", ".")
    run("ruff", "format", "--check", ".")


def test_types():
    run("mypy")


def test_imports_only_go_down():
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def modules():
    found = pkgutil.walk_packages(lookcloser.__path__, "lookcloser.")
    return [item.name for item in found if not item.name.endswith("__main__")]


@pytest.mark.parametrize("name", modules())
def test_every_module_says_what_it_is_for(name):
    assert importlib.import_module(name).__doc__


@pytest.mark.parametrize(
    "folder",
    ["core", "data", "decoding", "explain", "layers", "losses", "metrics", "models", "scratch"],
)
def test_public_names_exist_and_are_documented(folder):
    module = importlib.import_module(f"lookcloser.{folder}")
    assert module.__all__
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{folder}.{name}"


STABLE = [
    "train",
    "load",
    "Prediction",
    "Region",
    "Label",
    "Recognizer",
    "LookcloserError",
    "layers.boxcar_mask",
    "layers.crop_and_zoom",
    "losses.pairwise_ranking_loss",
    "losses.mamc_loss",
    "decoding.beam_search",
    "decoding.best_first_search",
    "metrics.multilabel_scores",
    "metrics.max_box_acc",
    "metrics.bleu",
    "metrics.rouge_l",
    "metrics.cider_d",
    "explain.cam",
    "explain.gradcam",
    "explain.saliency",
    "scratch.rnn_step_forward",
    "scratch.lstm_backward",
    "scratch.CaptioningRNN",
]


@pytest.mark.parametrize("path", STABLE)
def test_stable_names_are_reached_from_the_top(path):
    value = lookcloser
    for part in path.split("."):
        value = getattr(value, part)
    assert value is not None


def seconds(program):
    """Processor time of a program, the least of five runs, less the interpreter's own start.

    Not the clock on the wall, which a busy machine stretches; docs/benchmarks.md has that one.
    """

    def least(code):
        times = []
        for _ in range(5):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(times)

    return least(program) - least("pass")


def test_importing_is_instant_and_loads_no_torch():
    subprocess.run(
        [sys.executable, "-c", "import lookcloser, sys; assert 'torch' not in sys.modules"],
        check=True,
    )
    assert seconds("import lookcloser") < 0.1


def test_help_loads_no_torch():
    program = (
        "import sys; sys.argv = ['lookcloser', '--help']\n"
        "from lookcloser.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'matplotlib', 'lightning'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_ci_runs_exactly_the_readmes_test_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python3 -m venv .*$", readme, flags=re.MULTILINE)
    assert len(commands) == 2, "one command to run the demo, one to run the tests"
    assert commands[1] in (ROOT / ".ci" / "run").read_text().splitlines()


def test_every_dependency_has_its_reason():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += extra
    for requirement in wanted:
        line = next(line for line in text.splitlines() if f'"{requirement}"' in line)
        assert re.search(r"#\s+\w", line), requirement


def test_files_stay_small():
    for path in PACKAGE.rglob("*.py"):
        lines = path.read_text(encoding="utf-8").count("\n")
        assert lines <= 400, f"{path}: {lines} lines; split it by what it is about"


def test_no_global_statement():
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not any(isinstance(node, ast.Global) for node in ast.walk(tree)), path


def test_images_are_opened_in_one_place_only():
    """Pillow opens PostScript, whatever its name, by running it: `core.images` does not."""
    for path in PACKAGE.rglob("*.py"):
        if path != PACKAGE / "core" / "images.py":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                called = isinstance(node, ast.Attribute) and node.attr == "open"
                assert not (called and "Image" in ast.unparse(node.value)), path
                imported = isinstance(node, ast.ImportFrom) and node.module == "PIL.Image"
                assert not (imported and any(name.name == "open" for name in node.names)), path


@pytest.mark.parametrize("package", [lookcloser, lookcloser.metrics], ids=lambda p: p.__name__)
def test_no_module_hides_a_name_that_is_imported_on_first_use(package):
    inside = {item.name for item in pkgutil.iter_modules(package.__path__)}
    assert not inside & set(package._HOME)
