"""How soon a program starts: in processor time beside that of NumPy and Pillow on this machine.

Not in seconds, which say more about who else works here; docs/benchmarks.md has those.
"""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

ROUNDS = 3
WORDS = """
import sys
from lookcloser.cli import main
sys.argv = ["lookcloser", *{words!r}]
try:
    main()
except SystemExit as left:
    assert left.code == {code}, left.code
"""
YARDSTICK = "import numpy, PIL.Image"
PROGRAMS = {
    "runtime": "import lookcloser.runtime",
    "--help": WORDS.format(words=["--help"], code=0),
    "a run that is not there": WORDS.format(words=["predict", "rnu", "a.jpg"], code=1),
    "an option that is not there": WORDS.format(words=["train", "x", "--epohcs", "3"], code=2),
}
# On quiet machines NumPy and Pillow take 0.1 s: these are 0.2, 0.3 and 0.5 s.
MOST = {
    "runtime": 2.0,
    "--help": 3.0,
    "a run that is not there": 5.0,
    "an option that is not there": 5.0,
}


def spent(program: str) -> float:
    """Processor seconds of a Python program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture(scope="module")
def shares() -> dict[str, float]:
    """The least of some rounds, less the interpreter's own start, as a share of the yardstick."""
    programs = {"": "pass", "yardstick": YARDSTICK, **PROGRAMS}
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, program in programs.items():
            times[name].append(spent(program))
    own = {name: min(found) - min(times[""]) for name, found in times.items()}
    return {name: own[name] / own["yardstick"] for name in PROGRAMS}


@pytest.mark.parametrize("name", PROGRAMS)
def test_starting_takes_little_more_than_numpy_and_pillow(
    shares: dict[str, float], name: str
) -> None:
    assert shares[name] < MOST[name]


@pytest.mark.parametrize(
    ("program", "most"),
    [("import lookcloser", 5), ("import lookcloser.runtime", 50)],
)
def test_few_modules_of_this_package_are_loaded(program: str, most: int) -> None:
    """And nothing of what a mistake, an archive or a notebook alone needs."""
    asked = f"{program}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert len([name for name in loaded if name.split(".")[0] == "lookcloser"]) <= most
    assert not {"torch", "scipy", "tarfile", "difflib", "concurrent", "importlib.metadata"} & set(
        loaded
    )
