"""What is mistyped is said before the libraries are loaded, which takes seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CALL = """
import sys
from lookcloser.cli import main
try:
    main()
except SystemExit as left:
    print(left.code, "torch" in sys.modules, "timm" in sys.modules)
"""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["train", "brids"], 1, "brids: no such file or folder. Did you mean 'birds'?"),
        (["train", "birds", "--epoch", "3"], 2, "--epochs"),
        (["train", "birds", "--epochs", "0"], 2, "--epochs 0: not possible"),
        (["train", "birds", "--out", "."], 1, ".: exists already and is not empty"),
        (["train", "birds", "--weights", "runs/x"], 2, "--weights runs/x: no such file or run"),
        (["train", "birds", "--model-kwargs", "a"], 2, "--model-kwargs a: not a pair"),
        (["train", "--resume", "rnu"], 1, "rnu: no such run. Did you mean 'run'?"),
        (["train", "--resume", "run"], 1, "no readable config.yaml"),
        (["train", "--resume", "run", "--size", "8"], 2, "Leave out --size"),
        (["predict", "rnu", "a.jpg"], 1, "rnu: no such run or model. Did you mean 'run'?"),
        (["evaluate", "rnu", "birds"], 1, "rnu: no such run or model"),
        (["explain", "rnu", "a.jpg"], 1, "rnu: no such run or model"),
        (["report", "rnu", "birds"], 1, "rnu: no such run or model"),
        (["audit", "rnu", "birds"], 1, "rnu: no such run or model"),
        (["annotate", "rnu", "birds"], 1, "rnu: no such run or model"),
    ],
)
def test_it_is_said_at_once(tmp_path: Path, words: list[str], code: int, said: str) -> None:
    for name in ("birds", "run"):
        (tmp_path / name).mkdir()
    done = subprocess.run(
        [sys.executable, "-c", CALL, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"COLUMNS": "200", "NO_COLOR": "1", "PATH": ""},
    )
    assert done.stdout.split() == [str(code), "False", "False"], done.stderr
    assert said in " ".join(done.stderr.replace("│", " ").split())
