"""The documented way to deploy: an environment without torch answers, and saves an image."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.inference.engine import TorchEngine
from lookcloser.models import build_model

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

ROOT = Path(__file__).parents[2]
# What docs/how-to.md tells to install beside lookcloser itself.
NEEDED = ("numpy", "pillow", "onnxruntime", "typer", "rich")
LARGEST = 350 * 2**20
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A fresh environment, as the documentation says to make it, but by the pip of this one."""
    folder = tmp_path_factory.mktemp("deployed") / "env"
    venv.create(folder, with_pip=False)
    program = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    for given in ((*NEEDED, "hatchling"), ("--no-deps", "--no-build-isolation", str(ROOT))):
        done = subprocess.run(
            [*PIP, "--python", program, "install", "-q", "--no-compile", *given],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"no packages to be had: {done.stderr[-300:]}")
    return program


@pytest.fixture(scope="module")
def model(graphs_once, tmp_path_factory):
    from lookcloser.export import write_onnx

    torch.manual_seed(0)
    network = build_model("cam", {"num_classes": 3, "backbone": "test_resnet"}).eval()
    header = ModelHeader(
        "cam", {}, "classification", ("ant", "bee", "fly"), Preprocessing((32, 32))
    )
    engine = TorchEngine(network, header, torch.device("cpu"))
    path = tmp_path_factory.mktemp("file") / "insects.onnx"
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)
    write_onnx(network, header, path, reference=engine, pixels=pixels)
    return engine, path


def test_it_answers_and_saves_an_image_without_torch(python, model, tmp_path):
    from lookcloser.runtime import stream

    engine, path = model
    image = tmp_path / "photo.png"
    noise = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(image)
    code = (
        "import sys, json, lookcloser\n"
        "recognizer = lookcloser.load(sys.argv[1])\n"
        "(found,) = recognizer.predict(sys.argv[2])\n"
        "found.save('seen.png')\n"
        "assert not {'torch', 'scipy', 'timm'} & set(sys.modules)\n"
        "print(json.dumps(found.to_dict()))\n"
    )
    done = subprocess.run(
        [python, "-c", code, path, image], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (wanted,) = stream(engine, image)
    assert [label["name"] for label in found["labels"]] == [item.name for item in wanted.labels]
    assert [label["score"] for label in found["labels"]] == pytest.approx(
        [item.score for item in wanted.labels], abs=1e-4
    )
    with Image.open(tmp_path / "seen.png") as seen:
        assert seen.size[0] > 60


def test_the_command_answers_too(python, model, tmp_path):
    Image.new("RGB", (50, 40), "teal").save(tmp_path / "a.png")
    done = subprocess.run(
        [python, "-m", "lookcloser", "predict", model[1], tmp_path / "a.png", "--save", "seen"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "bee" in done.stdout
    assert list((tmp_path / "seen").iterdir())


def test_the_environment_is_small(python):
    listed = subprocess.run(
        [*PIP, "--python", python, "list", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = {package["name"].lower() for package in json.loads(listed.stdout)}
    assert not names & {"torch", "torchvision", "timm", "scipy"}
    folder = python.parents[1]
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert size <= LARGEST, f"{size / 2**20:.0f} MiB"
