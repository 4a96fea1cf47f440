"""A Python whose programs start with the slow libraries loaded: each is a fork of one process.

Most of the seconds that a program in a process of its own takes are imports of torch, Lightning and
timm. `Warm.python` stands for ``sys.executable``: it takes those of its words that tests use
(``-P``, ``-W``, ``-m``, ``-c``, a file), and has the folder, environment, pipes and exit code of
any other program; killed, it ends a moment before its fork. Only what the libraries do while they
are imported is not as in a fresh interpreter, as their reading of the environment. lookcloser
itself is imported anew.

Run as a program, this file is the process that is forked.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import runpy
import select
import shlex
import socket
import subprocess
import sys
import warnings
from contextlib import suppress
from multiprocessing.context import ForkProcess
from pathlib import Path
from types import ModuleType

LIBRARIES = ("numpy", "PIL.Image", "scipy.ndimage", "timm", "lightning.pytorch")
LIBRARIES += ("torch.utils.tensorboard", "torchvision.transforms.v2")
LIBRARIES += ("torch.distributed.algorithms.ddp_comm_hooks.default_hooks",)

# Light, as it runs for each program: it gives its pipes away and ends as the fork does.
CLIENT = """
import json, os, signal, socket, sys
near = socket.socket(socket.AF_UNIX)
near.connect(sys.argv[1])
asked = {"words": sys.argv[2:], "folder": os.getcwd(), "environment": dict(os.environ)}
said = json.dumps(asked).encode()
socket.send_fds(near, [len(said).to_bytes(8, "big")], [0, 1, 2])
near.sendall(said)
code = int(near.recv(64) or -signal.SIGKILL)
if code < 0:
    os.kill(os.getpid(), -code)
os._exit(code)
"""


class Warm:
    """Starts the process that is forked.

    Args:
        folder: A folder of its own, whose path is short enough for a socket.

    Attributes:
        python: The program to use in the place of ``sys.executable``.
    """

    def __init__(self, folder: Path) -> None:
        client, address = folder / "client.py", folder / "socket"
        client.write_text(CLIENT, encoding="utf-8")
        words = [sys.executable, "-I", "-S", str(client), str(address)]
        self.python = folder / "python"
        self.python.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
        self.python.chmod(0o755)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", __file__, str(address)],
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None  # a pipe, as asked for
        assert self._process.stdout.readline() == b"ready\n", "not all libraries are here"

    def close(self) -> None:
        """End it, and what still runs."""
        self._process.communicate()


def serve(address: str) -> None:
    """Fork for each client until the standard input ends."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    print("ready", flush=True)
    running: dict[int, tuple[ForkProcess, socket.socket]] = {}  # by what tells of its end
    while True:
        clients = {client: process for process, client in running.values()}
        ready, _, _ = select.select([0, listener, *running, *clients], [], [])
        for client in clients.keys() & set(ready):  # it has no more to say: it was killed
            clients[client].kill()
        for end in running.keys() & set(ready):
            process, client = running.pop(end)
            process.join()
            with client, suppress(BrokenPipeError):
                client.send(str(process.exitcode).encode())
        if 0 in ready:
            for process in clients.values():
                process.kill()
            return
        if listener in ready:
            client, _ = listener.accept()
            length, pipes, _, _ = socket.recv_fds(client, 8, 3)
            with client.makefile("rb") as said:
                asked = json.loads(said.read(int.from_bytes(length, "big")))
            process = ForkProcess(target=become, args=(pipes,), kwargs=asked)
            process.start()  # it ends without taking down what was imported
            for pipe in pipes:
                os.close(pipe)
            running[process.sentinel] = process, client


def become(pipes: list[int], words: list[str], folder: str, environment: dict[str, str]) -> None:
    """Do what the client was asked."""
    for number, pipe in enumerate(pipes):
        os.dup2(pipe, number)
        os.close(pipe)
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in environment
    warnings.resetwarnings()
    random.seed()
    gc.enable()
    run(words)


def run(words: list[str]) -> None:
    """Do as an interpreter with these words."""
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    own = [""]
    while words[0] in {"-P", "-W"}:
        if words.pop(0) == "-P":
            own = []
        else:
            warnings.simplefilter(words.pop(0))  # type: ignore[arg-type]  # as it was given
    kind, sys.argv = words[0], words
    if kind == "-c":
        main = sys.modules["__main__"] = ModuleType("__main__")
        sys.path[:0], code = own, words.pop(1)
        exec(compile(code, "<string>", "exec"), vars(main))
    elif kind == "-m":
        sys.path[:0], sys.argv = own, words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[:0] = [str(Path(kind).resolve().parent)] if own else []
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    gc.disable()  # all that is imported stays
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()  # so that no fork looks through it
    serve(sys.argv[1])
