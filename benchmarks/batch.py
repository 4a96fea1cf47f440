"""What a batch costs over the bare loop, and what several processes and Ray bring.

The bare loop opens each JPEG, resizes it, runs the exported network on 16 at a time and keeps the
best class. Ours is all of `lookcloser predict --out`: journals, part files, and evidence: with
`--top 1` a box for the best class, with the usual 5 one for each. The loop with evidence makes the
same answers and writes nothing.
Counted is the time of the images from a quarter to seven eighths, without starting and loading, and
without the last parts, which Ray hands over together: of the clock, and of processors (of the
program and all that it started), which other work on the machine stretches less.

`--memory N` measures another thing, alone: the resident memory of `lookcloser predict --out` while
it answers N small images with a small network, every ten seconds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from _harness import arguments, machine, report, write
from batch_kills import _below
from PIL import Image

from lookcloser.batch import How, Job, predict_source
from lookcloser.core.header import ModelHeader
from lookcloser.core.images import load_image
from lookcloser.core.preprocessing import Preprocessing, input_pixels
from lookcloser.export import write_onnx
from lookcloser.inference.engine import TorchEngine
from lookcloser.models import build_model
from lookcloser.runtime import predictions
from lookcloser.runtime.onnx import load as load_onnx

TICK = os.sysconf("SC_CLK_TCK")
BATCH = 16


class Spent(NamedTuple):
    """Seconds of the clock and of processors, for one image."""

    wall: float
    cpu: float


def write_images(folder: Path, count: int, size: tuple[int, int] = (500, 375)) -> Path:
    """JPEG files, by default of the size that photographs in data sets have."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number in range(count):
        coarse = generator.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize(size)
        noise = generator.integers(0, 24, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(np.asarray(image) // 2 + noise).save(folder / f"{number:05d}.jpg")
    return folder


def write_network(path: Path, backbone: str, size: int) -> Path:
    """A classifier of 50 classes, exported."""
    torch.manual_seed(0)
    model = build_model("cam", {"num_classes": 50, "backbone": backbone}).eval()
    names = tuple(f"class {index}" for index in range(50))
    header = ModelHeader("cam", {}, "classification", names, Preprocessing((size, size)))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, size, size), dtype=np.uint8)
    engine = TorchEngine(model, header, torch.device("cpu"))
    write_onnx(model, header, path, reference=engine, pixels=pixels)
    return path


def cpu_seconds() -> float:
    """Of this process and of everything below it."""
    ticks = 0
    for pid in [os.getpid(), *_below(os.getpid())]:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))  # with those of its own that have ended
    return ticks / TICK


class Watch:
    """Notes when images were done."""

    def __init__(self) -> None:
        self.marks: list[tuple[int, float, float]] = []

    def __call__(self, done: int, _total: int) -> None:
        if done and (not self.marks or done > self.marks[-1][0]):
            self.marks.append((done, time.perf_counter(), cpu_seconds()))

    def spent(self) -> Spent:
        total = self.marks[-1][0]
        # By a quarter every process has loaded its libraries. Ray tells of a part when the next one
        # is done, and of the last ones at once.
        counted = [mark for mark in self.marks if total / 4 <= mark[0] <= total * 7 / 8]
        (first, wall, cpu), (last, end, cpu_end) = counted[0], counted[-1]
        return Spent((end - wall) / (last - first), (cpu_end - cpu) / (last - first))


def bare(network: Path, source: Path, threads: int) -> Spent:
    """Open, resize, run; the same preprocessing, written out."""
    engine = load_onnx(network, threads=threads).engine
    session, size = engine._image.session, engine.header.preprocessing.size
    files, watch, done = sorted(source.iterdir()), Watch(), 0
    for at in range(0, len(files), BATCH):
        arrays = []
        for file in files[at : at + BATCH]:
            with Image.open(file) as image:
                small = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
            arrays.append(np.asarray(small).transpose(2, 0, 1))
        found = session.run(["scores"], {"image": np.stack(arrays).astype(np.float32)})
        found[0].argmax(axis=1)
        done += len(arrays)
        watch(done, len(files))
    return watch.spent()


def with_evidence(network: Path, source: Path, threads: int) -> Spent:
    """The answers of `Recognizer.stream`, one after the other."""
    recognizer, watch = load_onnx(network, threads=threads), Watch()
    files = sorted(source.iterdir())
    for done, _ in enumerate(recognizer.stream(files, batch_size=BATCH), 1):
        if done % BATCH == 0:
            watch(done, len(files))
    return watch.spent()


def ours(network: Path, source: Path, out: Path, top: int = 5, **how: Any) -> Spent:
    """`predict --out`, whole."""
    watch = Watch()
    job = Job(str(network), out, how=How(top=top, batch_size=BATCH), threads=1)
    predict_source(job, [str(source)], progress=watch, **how)
    return watch.spent()


def resident_mb(pid: int) -> float:
    """Of a process, in MB; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    sizes = [line.split()[1] for line in lines if line.startswith("VmRSS")]
    return int(sizes[0]) / 1024 if sizes else 0.0


def memory(folder: Path, count: int, seconds: float) -> dict[str, Any]:
    """Resident memory while `lookcloser predict --out` answers ``count`` images."""
    few = write_images(folder / "few", 64, (64, 48))
    source, files = folder / "many", sorted(few.iterdir())
    for number in range(count):
        path = source / f"{number // 1000:04d}" / f"{number:07d}.jpg"
        if number % 1000 == 0:
            path.parent.mkdir(parents=True)
        os.link(files[number % len(files)], path)
    network, out = write_network(folder / "small.onnx", "test_resnet", 32), folder / "out"
    words = ["predict", str(network), str(source), "--out", str(out), "--device", "cpu"]
    marks: list[tuple[float, float]] = []
    with subprocess.Popen(
        [sys.executable, "-m", "lookcloser", *words], stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            time.sleep(seconds)
            done = len(list(out.rglob("part-*"))) * 1000 / count
            marks.append((min(done, 1.0), resident_mb(process.pid)))
            print(f"{marks[-1][0]:.0%} {marks[-1][1]:.1f} MB", flush=True)
    if process.returncode:
        raise SystemExit(f"predict ended with {process.returncode}")
    answered = sum(1 for path in out.rglob("part-*.jsonl") for _ in path.open())
    later = [size for done, size in marks if done >= 0.1 and size]
    return {
        "images": count,
        "answered": answered,
        "MB at 10 %": later[0],
        "MB at the end": later[-1],
        "least": min(later),
        "most": max(later),
        "samples": len(later),
    }


def costs(network: Path, source: Path) -> list[dict[str, Any]]:
    """Processor time of one image by what it goes to, in one thread."""
    job = Job(str(network), Path(), how=How(batch_size=BATCH), threads=1)
    engine = job.answerer().engine
    files = sorted(source.iterdir())[: 4 * BATCH]
    spent = dict.fromkeys(("reading the file", "decoding", "resizing", "network", "answer"), 0.0)

    def timed(name: str, call: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = call()
        spent[name] += time.process_time() - start
        return result

    for at in range(0, len(files), BATCH):
        pixels, sizes = [], []
        for file in files[at : at + BATCH]:
            content = timed("reading the file", file.read_bytes)
            image = timed("decoding", lambda content=content: load_image(content))
            sizes.append(image.size)
            pixels.append(
                timed(
                    "resizing",
                    lambda image=image: input_pixels(image, engine.header.preprocessing),
                )
            )
        stacked = np.stack(pixels)
        output = timed("network", lambda stacked=stacked: engine.answer(stacked, 5))
        timed(
            "answer",
            lambda output=output, sizes=sizes: [
                json.dumps(job.writer.record(one, False))
                for one in predictions(output, engine.header, sizes, 5)
            ],
        )
    return [
        {"of one image": name, "CPU ms": 1000 * value / len(files)} for name, value in spent.items()
    ]


def main() -> None:
    parser = arguments("batch", __doc__)
    parser.add_argument("--images", type=int, default=1200)
    parser.add_argument("--part-images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--no-ray", action="store_true")
    parser.add_argument("--single", action="store_true", help="without two of anything")
    parser.add_argument("--memory", type=int, metavar="N", help="only memory, over N images")
    options = parser.parse_args()
    if options.memory:
        with tempfile.TemporaryDirectory() as name:
            found = memory(Path(name), options.memory, 10)
        about = machine("onnxruntime") | {"load": os.getloadavg()}
        before = json.loads(options.json.read_text()) if options.json.exists() else {}
        write(options.json, before | {"memory": [found | {"machine": about}]})
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = write_images(folder / "images", options.images)
        network = write_network(folder / "network.onnx", options.backbone, options.size)
        outs = iter(range(10_000))

        def run(**how: Any) -> Spent:
            return ours(
                network, source, folder / f"out{next(outs)}", part_images=options.part_images, **how
            )

        calls: dict[str, Callable[[], Spent]] = {
            "bare loop": lambda: bare(network, source, 1),
            "loop with evidence": lambda: with_evidence(network, source, 1),
            "plain, --top 1": lambda: run(top=1),
            "plain": run,
        }
        if not options.single:
            calls["two processes"] = lambda: run(processes=2)
        if not options.no_ray:
            calls["ray, one actor, --top 1"] = lambda: run(top=1, engine="ray", processes=1)
            calls["ray, one actor"] = lambda: run(engine="ray", processes=1)
            if not options.single:
                calls["ray, two actors"] = lambda: run(engine="ray", processes=2)
        spent: dict[str, list[Spent]] = {label: [] for label in calls}
        for _ in range(options.rounds):
            for label, call in calls.items():
                spent[label].append(call())
                print(label, spent[label][-1], flush=True)
        rows = []
        for label, values in spent.items():
            if not values:
                break
            pairs = list(zip(values, spent["bare loop"], strict=True))
            rows.append(
                {
                    "how": label,
                    "images/s": 1 / statistics.median(value.wall for value in values),
                    "CPU ms/image": 1000 * statistics.median(value.cpu for value in values),
                    "speed over bare (clock)": statistics.median(b.wall / v.wall for v, b in pairs),
                    "bare over ours (CPU)": statistics.median(b.cpu / v.cpu for v, b in pairs),
                    "with evidence over ours (CPU)": statistics.median(
                        b.cpu / v.cpu
                        for v, b in zip(values, spent["loop with evidence"], strict=True)
                    ),
                }
            )
        shares = costs(network, source)
    about = machine("onnxruntime", "ray") | {"load": os.getloadavg()}
    report(options.json, about, {f"{options.backbone}, {options.size} px": rows, "costs": shares})


if __name__ == "__main__":
    main()
