"""The program in this process: what it prints, and its exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from lookcloser.cli import main

commands = cache(get_command)  # building them takes longer than a call that is refused

QUICK: dict[str, Any] = {
    **{"backbone": "test_resnet", "weights": "none", "stride": 8, "size": 32, "epochs": 2},
    **{"batch_size": 16, "lr": 5e-3, "workers": 0, "augment": "shift", "warmup": 0.5},
}


@dataclass(frozen=True)
class Done:
    """A finished call."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Stderr in one line, without the frames around errors."""
        return " ".join(self.err.replace("│", " ").split())

    @property
    def next(self) -> str:
        """The command that is proposed, the last thing said."""
        last = self.err.splitlines()[-1]
        assert last.startswith("Next: "), self.err
        return last.removeprefix("Next: ")


Program = Callable[..., Done]


@pytest.fixture
def program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Program:
    """Run the program on words, in an empty folder and without a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("typer.main.get_command", commands)

    def run(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["lookcloser", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        shown = capsys.readouterr()
        code = left.value.code
        return Done(code if isinstance(code, int) else 0, shown.out, shown.err)

    return run


@pytest.fixture(scope="session")
def run_folder(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training on colored squares, in a folder whose name needs quotes in a shell."""
    from lookcloser.recognizer import run_training

    folder = tmp_path_factory.mktemp("runs") / "my 'red' run"
    run_training(squares, out=folder, quiet=True, **QUICK)
    return folder


@pytest.fixture
def options() -> list[str]:
    """`QUICK` as words of the command line."""
    return [str(word) for name, v in QUICK.items() for word in (f"--{name.replace('_', '-')}", v)]
