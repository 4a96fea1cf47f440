"""racnn by evidence: what is solved before, what learns, and when it is a plain network instead."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lookcloser.core import LookcloserError
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.models import CAM, RACNN, load_model_file
from lookcloser.models.base import make_backbone
from lookcloser.recognizer import Recognizer
from lookcloser.training.fit import fit
from lookcloser.training.options import make_options
from lookcloser.training.recipes.first_look import by_evidence

SIDE, PATCH, INPUT = 128, 28, 64
NAMES = ("columns", "grid", "rows")


def drawn(name):
    y, x = np.mgrid[:PATCH, :PATCH] // 2
    return {"columns": x % 2, "grid": (x + y) % 2, "rows": y % 2}[name]


def scenes(count, split, seed, side=SIDE):
    """Photographs of noise with one small pattern, which is the class."""
    generator = np.random.default_rng(seed)
    for number in range(count):
        name = NAMES[number % 3]
        pixels = generator.integers(60, 110, (side, side, 3)).astype(np.uint8)
        x, y = (int(place) for place in generator.integers(0, side - PATCH + 1, 2))
        pixels[y : y + PATCH, x : x + PATCH] = 90 + 130 * drawn(name)[..., None]
        box = (float(x), float(y), float(x + PATCH), float(y + PATCH))
        file = f"{split}/{name}/{number}.png"
        yield Sample(file, pixels, (name,), boxes=((name, box),), split=split)


def catalog(train=90, side=SIDE):
    samples = (*scenes(train, "train", 0, side), *scenes(60, "test", 1, side))
    return Catalog(Path(), "", "classification", NAMES, samples)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    net = make_backbone(CAM.Options("test_resnet", stride=8)).net
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, path)
    return str(path)


def options(weights, **more):
    return make_options(
        method="racnn", backbone="test_resnet", weights=weights, stride=8, size=INPUT, workers=0,
        batch_size=30, augment="none", flip=False, epochs=1, **more,
    )  # fmt: skip


def test_it_runs(weights, tmp_path, capsys):
    data = catalog()
    fit(data, options(weights, scales=2), tmp_path / "run")
    print(capsys.readouterr().err)
    model, header = load_model_file(tmp_path / "run" / "model.safetensors")
    assert isinstance(model, RACNN)
    result = Recognizer(model, header, device="cpu").evaluation(data)
    print(result.metrics, header.arguments)
    fit(data, options(weights), tmp_path / "run2")
    print(capsys.readouterr().err)
    model, header = load_model_file(tmp_path / "run2" / "model.safetensors")
    print(type(model), header.arguments, header.provenance)
