"""A program that may take so many seconds: its rows as they come, and its end when they are over.

What hangs (a compiler, a loading process) is ended with all processes that it has started.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

Row = dict[str, Any]
FAILED = "failed"  # the only field of the row that says why there are no more
_LOOK = 0.2  # seconds between two looks at the file


def rows_within(command: Sequence[str], file: Path, seconds: float) -> Iterator[Row]:
    """Start ``command``, which writes lines of JSON to ``file``, and yield them.

    Raises:
        TimeoutError: When the time is over; what was written until then has been yielded.
        RuntimeError: When the program failed, with what it said in a row, or its exit code.
    """
    until = time.monotonic() + seconds
    file.touch()
    process = subprocess.Popen(command, start_new_session=True)
    try:
        with file.open(encoding="utf-8") as lines:
            is_over = False
            while not is_over:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK)
                is_over = process.returncode is not None or time.monotonic() > until
                yield from _new_rows(lines)
    finally:
        code = process.poll()
        with suppress(ProcessLookupError):  # where nobody of the group is left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if code is None:
        raise TimeoutError(f"cut off after {seconds:.0f} s")
    if code:
        raise RuntimeError(f"ended with exit code {code}")


def _new_rows(lines: Any) -> Iterator[Row]:
    """Those whose line is whole; a part of one is read again."""
    while True:
        place = lines.tell()
        line = lines.readline()
        if not line.endswith("\n"):
            lines.seek(place)
            return
        row = json.loads(line)
        if FAILED in row:
            raise RuntimeError(row[FAILED])
        yield row


def write_rows(rows: Iterator[Row], file: Path) -> None:
    """The other end: write each row when it is there, and why there are no more."""
    with file.open("a", encoding="utf-8") as lines:
        try:
            for row in rows:
                print(json.dumps(row), file=lines, flush=True)
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            print(json.dumps({FAILED: reason}), file=lines, flush=True)
            raise
