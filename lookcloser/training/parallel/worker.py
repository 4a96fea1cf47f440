"""The program of every process but the first; see `lookcloser.training.parallel.launch`."""

from __future__ import annotations

import os
import pickle
import sys
import threading

from lookcloser.core.errors import LookcloserError


def main() -> int:
    """Train as the job on the standard input says; returns the exit code."""
    from lookcloser.training.fit import fit_here
    from lookcloser.training.parallel.launch import Job, member

    job: Job = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    try:
        with member(job):
            fit_here(job.catalog, job.options, job.folder, resume=job.resume, quiet=True)
    except LookcloserError as error:
        print(f"process {job.rank}: {error}", file=sys.stderr)
        return 1
    return 0


def _end_with_the_first() -> None:
    """Leave when the pipe closes: a process without its first would train on unseen."""
    # By the descriptor: a thread inside a buffered read makes Python's own end fail.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
