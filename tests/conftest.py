"""Small real files that many tests share."""

from __future__ import annotations

import gc
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import lookcloser as lc

from .browser import Browser
from .warm import Warm

if TYPE_CHECKING:
    from lookcloser.recognizer import Recognizer

# Tests run in as many processes as there are cores; threads beside them would only get in the way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Numbers are compared with those of a CPU. LOOKCLOSER_TEST_GPU=1 shows that a GPU gives them too,
# when it computes float32 in float32.
if os.environ.get("LOOKCLOSER_TEST_GPU"):
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
else:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

# The package is compiled once, not by each program that tests start, which takes it half a second;
# where PYTHONDONTWRITEBYTECODE is set it would be.
sys.dont_write_bytecode = False

# Nothing of what is imported is ever garbage: a look at each of its million objects costs half a
# second, again and again. `pytest_runtestloop` switches this on again.
gc.disable()

ROOT = Path(__file__).parents[1]
before = set(os.listdir(ROOT))

COLORS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 70, 230)}


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Collect the garbage of the tests alone."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where tests have left something in the checkout, which would be committed one day."""
    left = sorted(name for name in set(os.listdir(ROOT)) - before if not name.startswith("."))
    if left and not hasattr(session.config, "workerinput"):
        print(f"\nleft in the checkout: {', '.join(left)}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers for a test alone, in any order and in any of several workers."""
    random.seed(0)
    if "torch" in sys.modules:  # else it starts from a seed of its own, always the same
        sys.modules["torch"].default_generator.manual_seed(0)


def paint(name: str, seed: int, size: int = 32) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """A noisy gray picture with one square in the color of its class, and the square's box."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(90, 150, (size, size, 3)).astype(np.uint8)
    x, y = (int(value) for value in generator.integers(2, size - 14, 2))
    pixels[y : y + 12, x : x + 12] = COLORS[name]
    return Image.fromarray(pixels), (x, y, x + 12, y + 12)


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders with splits, 3 classes × (16 train, 4 val, 6 test), and boxes.csv."""
    return make_squares(tmp_path_factory.mktemp("data") / "squares")


def make_squares(root: Path) -> Path:
    """Write the pictures of `squares` below ``root``."""
    rows = ["image,label,split,x0,y0,x1,y1"]
    for split, count in (("train", 16), ("val", 4), ("test", 6)):
        for class_index, name in enumerate(COLORS):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                seed = 1000 * class_index + 100 * len(split) + number
                picture, box = paint(name, seed)
                picture.save(folder / f"{number}.png")
                rows.append(f"{split}/{name}/{number}.png,{name},{split},{','.join(map(str, box))}")
    (root / "boxes.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="session")
def recognizer(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    """A small network that has learned `squares`, in a run of its own."""
    return lc.train(
        squares,
        out=tmp_path_factory.mktemp("runs") / "squares",
        quiet=True,
        **{"backbone": "test_resnet", "weights": "none", "stride": 8, "size": 32, "epochs": 8},
        **{"batch_size": 16, "lr": 5e-3, "workers": 0, "augment": "shift"},
    )


@pytest.fixture
def quick() -> dict[str, object]:
    """Options of a training that takes a second or two."""
    return {
        "backbone": "test_resnet",
        "weights": "none",
        "stride": 8,
        "size": 32,
        "epochs": 3,
        "batch_size": 16,
        "lr": 5e-3,
        "workers": 0,
        "augment": "shift",
        "warmup": 0.5,
    }


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """The folder of a real data set by name; skips where it is not on this machine."""
    default = Path(__file__).parents[1].parent / "shared" / "data"
    root = Path(os.environ.get("LOOKCLOSER_DATA", default))

    def find(name: str) -> Path:
        if not (root / name).exists():
            pytest.skip(f"real data not here: {root / name} (set LOOKCLOSER_DATA)")
        return root / name

    return find


@pytest.fixture(scope="session")
def warm_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """To be used as ``sys.executable``: programs that train, without seconds of imports each."""
    if sys.platform != "linux":
        yield sys.executable
        return
    warm = Warm(tmp_path_factory.mktemp("warm"))
    yield str(warm.python)
    warm.close()


@pytest.fixture(scope="session")
def graphs_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Graphs of equal networks are exported once, whichever of the session's processes does it."""
    from .graphs import sharing  # it needs onnx

    folder = tmp_path_factory.getbasetemp()
    with sharing((folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "graphs"):
        yield


@pytest.fixture(scope="session")
def opened_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A `Browser` for all tests of a process."""
    opened = Browser(tmp_path_factory.mktemp("browser"))
    try:
        opened.open_page()
        yield opened
    finally:
        opened.close()


@pytest.fixture
def browser(opened_browser: Browser) -> Browser:
    """A `Browser` with an empty page."""
    opened_browser.begin()
    return opened_browser
