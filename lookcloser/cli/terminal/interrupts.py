"""Ctrl-C ends the program with exit code 130, whatever it hits."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from lookcloser.cli.terminal import printing

INTERRUPTED = 130
AGAIN = 0.05  # seconds until a Ctrl-C that was lost is tried again


@contextmanager
def ending_by_ctrl_c() -> Iterator[None]:
    """Leave the block with exit code 130 once Ctrl-C was pressed and anything but 0 came of it.

    The KeyboardInterrupt alone is not enough. Raised in a call-back or a ``__del__`` it is lost, in
    the middle of an import or of a library's clean-up it may come out as another error.
    """
    # Who started the program may have it ignore Ctrl-C, and only the main thread may listen.
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    pressed: list[int] = []

    def press(number: int, _frame: FrameType | None) -> NoReturn:
        pressed.append(number)
        raise KeyboardInterrupt

    def lost(what: sys.UnraisableHookArgs) -> None:
        if issubclass(what.exc_type, KeyboardInterrupt) and hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, press)
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
        else:
            before(what)

    before = sys.unraisablehook
    sys.unraisablehook = lost
    signal.signal(signal.SIGINT, press)
    try:
        yield
    except BaseException as error:
        is_success = isinstance(error, SystemExit) and error.code in {None, 0}
        if is_success or not (pressed or isinstance(error, KeyboardInterrupt)):
            raise
        _leave()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.unraisablehook = before
        if pressed and hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_IGN)  # one may be on its way


@contextmanager
def going_on_later() -> Iterator[None]:
    """Say after Ctrl-C that nothing done inside is lost: the same command takes it up again."""
    try:
        yield
    except KeyboardInterrupt:
        printing.say("\nWhat is done is kept: run the same command again to go on")
        raise


def _leave() -> NoReturn:
    if "--debug" in sys.argv:
        traceback.print_exc()
    with suppress(AttributeError, OSError, ValueError):  # no stderr, or one that is closed
        os.write(sys.stderr.fileno(), b"\nInterrupted.\n")
    sys.exit(INTERRUPTED)
