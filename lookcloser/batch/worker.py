"""A process that answers parts: jobs and parts come on standard input, news go to standard output.

It ends when its input closes, so when the process dies that started it.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO

from lookcloser.batch.answering import answer_part
from lookcloser.batch.job import Job
from lookcloser.batch.sources import Part
from lookcloser.core.errors import LookcloserError
from lookcloser.core.memory import kept_memory


def read_words(line: str) -> list[Any] | None:
    """What a process said; None for a line that it did not finish."""
    try:
        words = json.loads(line)
    except ValueError:
        return None
    return words if isinstance(words, list) and words else None


def serve(given: TextIO, told: TextIO) -> None:
    """Answer the parts that come, each a line, for the job on the first line."""

    def say(*words: Any) -> None:
        told.write(json.dumps(words) + "\n")
        told.flush()

    job, answerer = Job.from_json(given.readline()), None
    for line in given:
        done = 0

        def tell(images: int) -> None:
            nonlocal done
            done += images
            say("images", done)

        try:
            answerer = answerer or job.answerer()
            say("done", *answer_part(job, answerer, Part.from_json(line), tell))
        except LookcloserError as error:
            say("failed", error.for_the_command_line())


def main() -> None:
    """Standard output is for the news alone: what libraries print goes to standard error."""
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        with told, kept_memory():
            serve(sys.stdin, told)
    except BrokenPipeError:  # who started this is gone
        os._exit(1)


if __name__ == "__main__":
    main()
