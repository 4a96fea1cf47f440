"""What the method is for: a detail that the input size cannot show, found from labels alone."""

from pathlib import Path

import numpy as np

from lookcloser.data.catalog import Catalog, Sample
from lookcloser.models import load_model_file
from lookcloser.recognizer import Recognizer
from lookcloser.training.fit import fit
from lookcloser.training.options import make_options

SIDE, PATCH, INPUT = 128, 28, 32
NAMES = ("columns", "grid", "rows")


def patterns():
    """Stripes of four pixels a period: at a quarter of the size all three are one gray."""
    y, x = np.mgrid[:PATCH, :PATCH] // 2
    return {"columns": x % 2, "grid": (x + y) % 2, "rows": y % 2}


def scenes(count, split, seed):
    generator, drawn = np.random.default_rng(seed), patterns()
    for number in range(count):
        name = NAMES[number % 3]
        pixels = generator.integers(60, 110, (SIDE, SIDE, 3)).astype(np.uint8)
        x, y = (int(place) for place in generator.integers(0, SIDE - PATCH, 2))
        pixels[y : y + PATCH, x : x + PATCH] = 90 + 130 * drawn[name][..., None]
        box = (float(x), float(y), float(x + PATCH), float(y + PATCH))
        file = f"{split}/{name}/{number}.png"
        yield Sample(file, pixels, (name,), boxes=((name, box),), split=split)


def train(tmp_path, **options):
    samples = (*scenes(480, "train", 0), *scenes(120, "test", 1))
    catalog = Catalog(Path(), "", "classification", NAMES, samples)
    chosen = make_options(
        backbone="test_resnet", weights="none", stride=8, size=INPUT, batch_size=16, workers=0,
        augment="shift", flip=False, epochs=6, **options,
    )  # fmt: skip
    fit(catalog, chosen, tmp_path / "run", quiet=True)
    model, header = load_model_file(tmp_path / "run" / "model.safetensors")
    return Recognizer(model, header, device="cpu").evaluation(catalog)


def test_at_the_input_size_the_classes_are_the_same():
    for name, pattern in patterns().items():
        blocks = pattern.reshape(PATCH // 4, 4, PATCH // 4, 4).mean(axis=(1, 3))
        assert (blocks == 0.5).all(), name


def test_the_finer_view_decides_where_the_whole_image_cannot(tmp_path):
    result = train(tmp_path, method="racnn", scales=2, source_size=SIDE)
    coarse, fine = (result.metrics[f"top1 scale {scale}"] for scale in (1, 2))
    assert result.metrics["top1"] >= 0.6, "three classes: chance is a third"
    assert fine >= coarse + 0.1
