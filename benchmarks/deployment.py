"""The environment without torch: its size, the time to a first answer, and memory, beside torch's.

    python benchmarks/deployment.py [--rounds 3] [--environment DIR]

Makes an environment as docs/how-to.md says, and a file of tf_efficientnet_lite0 (ImageNet weights,
a random head of 50 classes, 224 px). A first answer is a new process that imports, loads, answers
one image and ends; both are run in turns. Writes benchmarks/results/deployment.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import numpy as np
import torch
from _harness import RESULTS, machine, write
from PIL import Image

from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.export import build_onnx, save
from lookcloser.models import build_model, save_model_file
from lookcloser.models.weights import load_backbone_weights

ROOT = Path(__file__).parents[1]
NEEDED = ("numpy", "pillow", "onnxruntime", "typer", "rich")
# The peak is the process's own: what getrusage says is at least that of the process it came from.
ANSWER = (
    "import re, sys, lookcloser\n"
    "(found,) = lookcloser.load(sys.argv[1]).predict(sys.argv[2])\n"
    "peak = re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())\n"
    "print(found.labels[0].name, int(peak[1]) // 1024)\n"
)


def make_environment(folder: Path) -> None:
    venv.create(folder, with_pip=True)
    program = folder / "bin" / "python"
    for given in (NEEDED, ("hatchling",), ("--no-deps", "--no-build-isolation", str(ROOT))):
        subprocess.run([program, "-m", "pip", "install", "-q", *given], check=True)


def made_models(folder: Path) -> tuple[Path, Path]:
    torch.manual_seed(0)
    arguments = {"num_classes": 50, "backbone": "tf_efficientnet_lite0"}
    model = build_model("cam", arguments).eval()
    for backbone in model.backbones:
        load_backbone_weights(backbone, "pretrained")
    names = tuple(f"class {index}" for index in range(50))
    header = ModelHeader("cam", arguments, "classification", names, Preprocessing((224, 224)))
    save(build_onnx(model, header), folder / "model.onnx")
    path = save_model_file(folder / "model.safetensors", model.state_dict(), header)
    return folder / "model.onnx", path


def first_answer(program: Path | str, model: Path, image: Path) -> dict[str, float | str]:
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(
        [program, "-c", ANSWER, model, image],
        capture_output=True,
        text=True,
        check=True,
        cwd=image.parent,
    )
    after = os.times()
    cpu = sum(getattr(after, name) - getattr(before, name) for name in _CHILDREN)
    *name, memory = done.stdout.split()
    wall = time.perf_counter() - started
    return {"answer": " ".join(name), "wall": wall, "cpu": cpu, "MiB": float(memory)}


_CHILDREN = ("children_user", "children_system")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--environment", type=Path, help="One that was made before.")
    given = parser.parse_args()
    rounds = given.rounds
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        environment = given.environment or folder / "env"
        program = environment / "bin" / "python"
        if given.environment is None:
            make_environment(environment)
        size = sum(f.stat().st_size for f in environment.rglob("*") if f.is_file()) / 2**20
        onnx, safetensors = made_models(folder)
        image = folder / "photo.png"
        noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
        Image.fromarray(noise).save(image)
        runs: dict[str, list[dict[str, float | str]]] = {"without torch": [], "torch": []}
        for _ in range(rounds + 1):  # the first reads files from the disk, and is left out
            runs["without torch"].append(first_answer(program, onnx, image))
            runs["torch"].append(first_answer(sys.executable, safetensors, image))
    answers = {run["answer"] for kind in runs.values() for run in kind}
    medians = {
        kind: {
            name: statistics.median(float(run[name]) for run in own[1:])
            for name in ("wall", "cpu", "MiB")
        }
        for kind, own in runs.items()
    }
    ratios = {
        name: medians["without torch"][name] / medians["torch"][name] for name in ("wall", "cpu")
    }
    result = {
        "machine": machine("onnxruntime"),
        "load": os.getloadavg()[0],
        "environment MiB": size,
        "same answer": len(answers) == 1,
        "medians": medians,
        "ratios": ratios,
    }
    print(json.dumps(result, indent=1))
    write(RESULTS / "deployment.json", result)


if __name__ == "__main__":
    main()
