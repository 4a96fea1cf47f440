"""Every image is answered exactly once, whatever is killed, whenever.

20,000 images are answered by `lookcloser predict --out`, while 50 times something is killed
(SIGKILL) at a random moment: the program, one of its processes, an actor of Ray, or Ray's driver.
At the end each image has to be in the answers once, with the answer of an undisturbed run.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _harness import arguments, machine, report
from PIL import Image

import lookcloser as lc
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.export import write_onnx
from lookcloser.inference.engine import TorchEngine
from lookcloser.models import build_model

SIDE = 64


def write_images(folder: Path, count: int, seed: int) -> Path:
    """JPEG files of soft blots, no two alike, a hundredth of them broken."""
    generator = np.random.default_rng(seed)
    for number in range(count):
        path = folder / f"{number // 1000:02d}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % 100 == 57:
            path.write_bytes(b"no image")
            continue
        coarse = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((SIDE, SIDE)).save(path, quality=90)
    return folder


def write_network(path: Path) -> Path:
    """A small network with random weights, exported."""
    torch.manual_seed(3)
    model = build_model("cam", {"num_classes": 9, "backbone": "test_resnet", "stride": 8}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=2.0)
    names = tuple(f"class {index}" for index in range(9))
    header = ModelHeader("cam", {}, "classification", names, Preprocessing((SIDE, SIDE)))
    engine = TorchEngine(model, header, torch.device("cpu"))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, SIDE, SIDE), dtype=np.uint8)
    write_onnx(model, header, path, reference=engine, pixels=pixels)
    return path


class Trial:
    """A source, a folder of answers, and what is killed.

    Args:
        network: The exported file.
        source: The images.
        out: Where the answers go.
        generator: Of the moments.
    """

    def __init__(self, network: Path, source: Path, out: Path, generator: Any) -> None:
        self.command = [
            *(sys.executable, "-m", "lookcloser", "predict", str(network), str(source)),
            *("--out", str(out), "--part-images", "200", "--batch-size", "16"),
        ]
        self.out, self.generator = out, generator
        self.kills: Counter[str] = Counter()

    def run(self, victims: list[str], *options: str) -> None:
        """One run, or several where the program itself is killed, with these deaths on the way."""
        left = list(victims)
        while left:
            program = subprocess.Popen([*self.command, *options], start_new_session=True)
            try:
                while left and program.poll() is None:
                    if not self._wait_for_work(program):
                        break
                    time.sleep(float(self.generator.uniform(0, 0.5)))
                    if self._kill(program, left[0]):
                        self.kills[left.pop(0)] += 1
                    if program.poll() is not None or self._is_gone(program):
                        break
                else:
                    if not left:
                        program.kill()
            finally:
                program.kill()
                program.wait()
            if (self.out / "summary.json").exists():
                raise SystemExit(f"all was done before all were killed: {left}; give more --images")

    def finish(self) -> int:
        """Run to the end; the exit code."""
        return subprocess.run(self.command, check=False).returncode

    def _wait_for_work(self, program: subprocess.Popen[bytes]) -> bool:
        """Until answers have been added; False where the program ended before."""
        before = self._bytes()
        while self._bytes() <= before:
            if program.poll() is not None:
                return False
            time.sleep(0.01)
        return True

    def _bytes(self) -> int:
        """Of all that was ever written: parts and what is on the way to them."""
        total = 0
        for folder in (self.out, self.out / ".work"):
            if folder.is_dir():
                for entry in os.scandir(folder):
                    try:
                        total += entry.stat().st_size
                    except FileNotFoundError:
                        continue
        return total

    def _kill(self, program: subprocess.Popen[bytes], kind: str) -> bool:
        if kind in {"program", "driver"}:
            program.send_signal(signal.SIGKILL)
            program.wait()
            return True
        mark = b"lookcloser.batch.worker" if kind == "worker" else b"ray::MapWorker"
        found = [pid for pid in _below(program.pid) if mark in _line_of(pid)]
        if not found:
            return False
        os.kill(int(self.generator.choice(found)), signal.SIGKILL)
        return True

    @staticmethod
    def _is_gone(program: subprocess.Popen[bytes]) -> bool:
        return program.returncode is not None


def _line_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _below(root: int) -> list[int]:
    """The processes that were started by one, and by those, and so on."""
    parents: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found, level = [], {root}
    while level:
        level = {pid for pid, parent in parents.items() if parent in level}
        found += level
    return sorted(found)


def check(out: Path, source: Path, network: Path, count: int) -> dict[str, Any]:
    """What is in the answers, against the images and against an undisturbed run on some of them."""
    rows = [
        json.loads(line)
        for file in sorted(out.glob("part-*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    times = Counter(row["index"] for row in rows)
    names = {str(path) for path in source.glob("*/*.jpg")}
    sample = sorted(names)[:: max(1, count // 500)]
    plain = {str(p.path): p for p in lc.load(network).predict(sample)}
    found = {row["path"]: row for row in rows}
    differences = [
        abs(label["score"] - other.score)
        for path, prediction in plain.items()
        for label, other in zip(found[path]["labels"], prediction.labels, strict=True)
    ]
    return {
        "images": count,
        "answered": len(times),
        "lost": count - len(times),
        "answered twice": sum(number > 1 for number in times.values()),
        "paths that are not of the source": len(set(found) - names),
        "could not be read": sum(row["error"] is not None for row in rows),
        "largest difference of a score": max(differences),
    }


def main() -> None:
    parser = arguments("batch_kills", __doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--program", type=int, default=20, help="kills of the program")
    parser.add_argument("--worker", type=int, default=14, help="kills of one of two processes")
    parser.add_argument("--actor", type=int, default=13, help="kills of an actor of Ray")
    parser.add_argument("--driver", type=int, default=3, help="kills of the driver of Ray")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    generator = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = write_images(folder / "images", options.images, options.seed)
        network = write_network(folder / "small.onnx")
        trial = Trial(network, source, folder / "out", generator)
        start = time.perf_counter()
        trial.run(["program"] * options.program)
        trial.run(["worker"] * options.worker, "--processes", "2")
        if options.actor or options.driver:
            on_ray = ["actor"] * options.actor + ["driver"] * options.driver
            order = generator.permutation(len(on_ray)).tolist()
            trial.run([on_ray[i] for i in order], "--engine", "ray", "--processes", "2")
        code = trial.finish()
        row = check(folder / "out", source, network, options.images)
        rows = [{**row, "exit code": code, "seconds": time.perf_counter() - start}]
        kills = [{"killed": kind, "times": times} for kind, times in trial.kills.items()]
    report(options.json, machine("ray", "onnxruntime"), {"kills": kills, "answers": rows})


if __name__ == "__main__":
    main()
