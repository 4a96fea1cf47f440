"""What a batch costs over the bare loop, and what several processes and Ray bring.

The bare loop opens each JPEG, resizes it, runs the exported network on 16 at a time and keeps the
best class; two bare loops share the images, and the cores. Ours is all of `lookcloser predict
--out`: journals, part files, and evidence: with `--top 1` a box for the best class, with the usual
5 one for each. The loop with evidence makes the same answers and keeps none. Workers, loops or
ours, run in one thread each.
What is counted, and when, stands in _batch_rounds.py. On two quiet cores three rounds take six
minutes: `OMP_NUM_THREADS=1 python benchmarks/batch.py`.

`--parts costs` tells what the processor time of an image goes to. `--memory N` measures another
thing, alone: the resident memory of `lookcloser predict --out` while it answers N small images with
a small network, every ten seconds. Each writes its own section of the results.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _batch_rounds import CASES, PROMISED, Cost, rows, run
from _batch_run import BATCH
from _harness import arguments, machine, report
from PIL import Image

from lookcloser.batch import How, Job
from lookcloser.core.header import ModelHeader
from lookcloser.core.images import load_image
from lookcloser.core.preprocessing import Preprocessing, input_pixels
from lookcloser.export import write_onnx
from lookcloser.inference.engine import TorchEngine
from lookcloser.models import build_model
from lookcloser.runtime import predictions


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


def engines(network: Path, folder: Path, options: Any) -> list[dict[str, Any]]:
    """The cases that were asked for, in turns; each round begins with another one."""
    sources = {
        workers: write_images(folder / f"images{workers}", workers * options.images)
        for workers in {CASES[name].workers for name in options.cases}
    }
    found: dict[str, list[Cost]] = {name: [] for name in options.cases}
    for turn in range(options.rounds):
        first = turn % len(options.cases)
        for name in options.cases[first:] + options.cases[:first]:
            case, out = CASES[name], folder / f"out{turn}-{name}"
            cost = run(case, network, sources[case.workers], out, options.part_images)
            found[name].append(cost)
            print(name, cost, flush=True)
    return rows(found)


def main() -> None:
    parser = arguments("batch", __doc__)
    parser.add_argument("--images", type=int, default=900, help="for each worker")
    parser.add_argument("--part-images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--parts", nargs="+", choices=("engines", "costs"), default=["engines"])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(PROMISED))
    parser.add_argument("--memory", type=int, metavar="N", help="only memory, over N images")
    options = parser.parse_args()
    about = machine("onnxruntime", "ray") | {"load": os.getloadavg()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.memory:
            report(options.json, about, {"memory": [memory(folder, options.memory, 10)]})
            return
        network = write_network(folder / "network.onnx", options.backbone, options.size)
        tables: dict[str, list[dict[str, Any]]] = {}
        if "engines" in options.parts:
            title = f"engines, {options.backbone}, {options.size} px"
            tables[title] = engines(network, folder, options)
        if "costs" in options.parts:
            tables["costs"] = costs(network, write_images(folder / "few", 4 * BATCH))
    report(options.json, about, tables)


if __name__ == "__main__":
    main()
