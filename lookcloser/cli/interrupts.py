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

INTERRUPTED = 130


@contextmanager
def ending_by_ctrl_c() -> Iterator[None]:
    """Leave the block with exit code 130 once Ctrl-C was pressed and anything but 0 came of it.

    The KeyboardInterrupt alone is not enough: in the middle of an import or of a library's own
    clean-up it is lost, or comes out as an ImportError or another exit code.
    """
    pressed: list[int] = []

    def press(number: int, _frame: FrameType | None) -> NoReturn:
        pressed.append(number)
        raise KeyboardInterrupt

    # Who started the program may have it ignore Ctrl-C, and only the main thread may listen.
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, press)
    try:
        yield
    except KeyboardInterrupt:
        _leave()
    except SystemExit as end:
        if not pressed or end.code in {None, 0}:
            raise
        _leave()
    except BaseException:
        if not pressed:
            raise
        _leave()
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave() -> NoReturn:
    if "--debug" in sys.argv:
        traceback.print_exc()
    with suppress(AttributeError, OSError, ValueError):  # no stderr, or one that is closed
        os.write(sys.stderr.fileno(), b"\nInterrupted.\n")
    sys.exit(INTERRUPTED)
