"""The server under load, under attack and for a long time.

Use: ``python benchmarks/serving.py IMAGES [--litserve PYTHON]``, IMAGES a folder of photographs.

Throughput: 32 clients on loopback, in turns with the same engine offline in batches, with a plain
FastAPI handler and with LitServe (in the environment of PYTHON). While one works, the others are
stopped. Processor time is that of the server alone; the clients take some of the same cores.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import _load
import _malformed
from _harness import arguments, machine, report

HERE = Path(__file__).parent
CLIENTS = 32
CLASSES = 50


def export_model(folder: Path, backbone: str, side: int) -> Path:
    """A classifier with maps as one file; its answers are random, its cost is not."""
    import torch

    from lookcloser.core.header import ModelHeader
    from lookcloser.core.preprocessing import Preprocessing
    from lookcloser.export import write_onnx
    from lookcloser.export.samples import drawn_pixels
    from lookcloser.inference.engine import TorchEngine
    from lookcloser.models import build_model

    torch.manual_seed(0)
    given = {"num_classes": CLASSES, "backbone": backbone}
    model = build_model("cam", given).eval()
    names = tuple(f"class {number}" for number in range(CLASSES))
    header = ModelHeader("cam", given, "classification", names, Preprocessing((side, side)))
    engine = TorchEngine(model, header, torch.device("cpu"))
    path = folder / f"{backbone}.onnx"
    pixels = drawn_pixels(header.preprocessing, 2)
    write_onnx(model, header, path, reference=engine, pixels=pixels)
    return path


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Program:
    """A process with its children, which can be stopped and goes on later."""

    def __init__(self, *words: object, stdin: int | None = None) -> None:
        self.process = subprocess.Popen(
            [str(word) for word in words],
            stdin=stdin,
            stdout=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def send(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def members(self) -> list[Path]:
        """The folders in /proc of its processes."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == self.process.pid:
                found.append(folder)
        return found

    def seconds(self) -> float:
        """Processor time so far."""
        ticks = 0
        for folder in self.members():
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Resident MiB."""
        pages = sum(int((f / "statm").read_text().split()[1]) for f in self.members())
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def end(self) -> None:
        self.send(signal.SIGCONT)
        self.send(signal.SIGKILL)
        self.process.wait()


def wait_for(port: int) -> None:
    until = time.monotonic() + 180
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"nobody listens at {port}")


def serve(model: Path) -> tuple[Program, int]:
    port = free_port()
    words = ("-m", "lookcloser", "serve", model, "--port", port)
    server = Program(sys.executable, *words)
    wait_for(port)
    return server, port


class Throughput:
    """All that compete, one of them awake at a time."""

    def __init__(self, model: Path, images: list[Path], litserve: str | None) -> None:
        peers = HERE / "_serving_peers.py"
        self.images = [str(image) for image in images]
        self.offline = Program(sys.executable, peers, "offline", model, 0, stdin=subprocess.PIPE)
        ours, port = serve(model)
        self.servers = {"lookcloser": (ours, port, "/v1/predict")}
        others = {"FastAPI": (sys.executable, peers, "fastapi", model)}
        if litserve is not None:
            others["LitServe"] = (litserve, HERE / "_serving_litserve.py", model)
        for name, words in others.items():
            port = free_port()
            self.servers[name] = (Program(*words, port), port, "/predict")
            wait_for(port)
        self.everyone = {"offline": self.offline} | {n: s[0] for n, s in self.servers.items()}

    def measure(self, name: str, count: int) -> dict[str, Any]:
        program = self.everyone[name]
        program.send(signal.SIGCONT)
        before = program.seconds()
        if name == "offline":
            found = {"seconds": self._offline(count), "latencies": [], "statuses": {"200": count}}
        else:
            _, port, path = self.servers[name]
            words = (port, CLIENTS, count, path, *self.images)
            done = subprocess.run(
                [sys.executable, HERE / "_load.py", *map(str, words)],
                capture_output=True,
                text=True,
                check=True,
            )
            found = json.loads(done.stdout)
        found["processor"] = program.seconds() - before
        program.send(signal.SIGSTOP)
        assert found["statuses"] == {"200": count}, (name, found["statuses"])
        return found

    def _offline(self, count: int) -> float:
        process = self.offline.process
        assert process.stdin is not None
        assert process.stdout is not None
        several = [self.images[number % len(self.images)] for number in range(count)]
        process.stdin.write(json.dumps(several) + "\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    def end(self) -> None:
        for program in self.everyone.values():
            program.end()


def throughput(
    model: Path, images: list[Path], litserve: str | None, rounds: int, count: int
) -> list[dict[str, Any]]:
    racing = Throughput(model, images, litserve)
    try:
        names = list(racing.everyone)
        for name in names:
            racing.measure(name, CLIENTS * 2)
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        for turn in range(rounds):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                runs[name].append(racing.measure(name, count))
                print(turn, name, count / runs[name][-1]["seconds"], file=sys.stderr)
    finally:
        racing.end()
    return [_row(name, found, runs["offline"], count) for name, found in runs.items()]


def _row(
    name: str, found: list[dict[str, Any]], base: list[dict[str, Any]], count: int
) -> dict[str, Any]:
    pairs = list(zip(found, base, strict=True))
    latencies = sorted(second for run in found for second in run["latencies"])
    row = {
        "name": name,
        "images/s": statistics.median(count / run["seconds"] for run in found),
        "throughput over offline": statistics.median(b["seconds"] / f["seconds"] for f, b in pairs),
        "ms of processor/image": 1000 * statistics.median(r["processor"] / count for r in found),
        "processor over offline": statistics.median(
            f["processor"] / b["processor"] for f, b in pairs
        ),
    }
    if latencies:
        row["p50 ms"] = 1000 * latencies[len(latencies) // 2]
        row["p99 ms"] = 1000 * latencies[int(0.99 * len(latencies))]
    return row


def endurance(model: Path, images: list[Path], count: int) -> list[dict[str, Any]]:
    """Memory while many valid requests are answered, read every twentieth part of them."""
    server, port = serve(model)
    rows: list[dict[str, Any]] = []

    def tell(done: int) -> None:
        if done % (count // 20) == 0:
            rows.append({"requests": done, "MiB": server.memory()})

    uploads = [_load.upload("/v1/predict", image.read_bytes()) for image in images]
    try:
        found = _load.run(port, uploads, clients=CLIENTS, total=count, tell=tell)
    finally:
        server.end()
    assert found.statuses == {"200": count}, found.statuses
    return rows


def malformed(model: Path, count: int, seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What each kind was answered with, and memory from a fifth of the way to the end."""
    server, port = serve(model)
    host = f"127.0.0.1:{port}"
    kinds: dict[str, Counter[str]] = {kind: Counter() for kind in _malformed.KINDS}
    memory = []
    try:
        part = count // 10
        stream = _malformed.requests(count, seed)
        for _ in range(10):
            by_kind: dict[str, list[bytes]] = {kind: [] for kind in kinds}
            for odd in (next(stream) for _ in range(part)):
                by_kind[odd.kind].append(
                    _load.message(odd.path, odd.body, odd.headers, odd.method, host)
                )
            for kind, several in by_kind.items():
                if several:
                    found = _load.run(port, several, clients=4)
                    kinds[kind].update(found.statuses)
            memory.append(server.memory())
            print(len(memory), memory[-1], file=sys.stderr)
        good = _load.upload("/v1/predict", _malformed.image(random.Random(0)))
        after = _load.run(port, [good], clients=1, total=20)
    finally:
        server.end()
    assert after.statuses == {"200": 20}
    rows = [{"kind": kind, **dict(sorted(found.items()))} for kind, found in kinds.items()]
    faults = sum(n for found in kinds.values() for status, n in found.items() if status[0] == "5")
    lost = sum(found["lost"] for found in kinds.values())
    return rows, {
        **{"requests": count, "seed": seed, "5xx": faults, "lost": lost},
        **{"MiB after a fifth": memory[1], "MiB at the end": memory[-1]},
    }


def main() -> None:
    parser: argparse.ArgumentParser = arguments("serving", __doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--litserve", help="An interpreter that has LitServe.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=320, help="Images of a round.")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--malformed", type=int, default=10_000)
    parser.add_argument("--only", choices=["throughput", "endurance", "malformed"])
    given = parser.parse_args()
    images = sorted(given.images.rglob("*.jpg"))[:64]
    tables: dict[str, list[dict[str, Any]]] = {}
    if given.json.exists() and given.only:
        tables = json.loads(given.json.read_text())
        tables.pop("machine")
    with tempfile.TemporaryDirectory() as name:
        small = export_model(Path(name), "test_resnet", 64)
        if given.only in (None, "throughput"):
            model = export_model(Path(name), "tf_efficientnet_lite0", 224)
            tables["throughput"] = throughput(
                model, images, given.litserve, given.rounds, given.count
            )
        if given.only in (None, "endurance"):
            tables["endurance"] = endurance(small, images, given.requests)
        if given.only in (None, "malformed"):
            rows, whole = malformed(small, given.malformed, seed=0)
            tables["malformed by kind"], tables["malformed"] = rows, [whole]
    about = machine("onnxruntime", "fastapi", "uvicorn")
    report(given.json, about, tables)


if __name__ == "__main__":
    main()
