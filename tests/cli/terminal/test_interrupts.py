"""Ctrl-C ends the program with 130, whatever became of the KeyboardInterrupt."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable

import pytest

from lookcloser.cli import app, main
from lookcloser.cli.terminal.interrupts import going_on_later


def turned() -> None:
    """As in the middle of an import."""
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise ImportError("partially initialized module") from None


def lost_then_failed() -> None:
    """As in a ``__del__``, and something does not work any more because of it."""
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        sys.exit(1)


def lost_then_done() -> None:
    """As in a ``__del__`` without consequences."""
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        sys.exit(0)


def lost() -> None:
    """In a ``__del__``, and nobody notices."""

    class Dying:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    Dying()
    time.sleep(600)


def raised() -> None:
    """As it should be."""
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("happens", "code"),
    [(raised, 130), (lost, 130), (turned, 130), (lost_then_failed, 130), (lost_then_done, 0)],
)
def test_the_exit_code_says_so(
    happens: Callable[[], None], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook, handler = sys.unraisablehook, signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where pytest ignores Ctrl-C
    monkeypatch.setattr(app, "run", happens)
    try:
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == code
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert sys.unraisablehook is hook
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def test_without_ctrl_c_errors_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise ImportError("really")

    monkeypatch.setattr(app, "run", fails)
    with pytest.raises(ImportError, match="really"):
        main()


def test_what_goes_on_later_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), going_on_later():
        raise KeyboardInterrupt
    assert "run the same command again" in capsys.readouterr().err
    with pytest.raises(ValueError, match="else"), going_on_later():
        raise ValueError("else")
    assert capsys.readouterr().err == ""
