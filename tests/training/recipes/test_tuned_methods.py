"""A second look for methods with attentions of their own, which is there where it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lookcloser.core.images import load_image
from lookcloser.data.catalog import Catalog
from lookcloser.data.transforms import evaluation_transform
from lookcloser.models import load_model_file, read_header
from lookcloser.models.cam.closer import cut, whole_boxes
from lookcloser.models.cam.twice import LooksTwice
from lookcloser.recognizer import Recognizer
from lookcloser.training.files import MODEL_FILE
from lookcloser.training.options import TrainOptions, make_options
from lookcloser.training.recipes.choice import learn
from lookcloser.training.recipes.tuned_zooming import look_closer
from tests.training.recipes.patterns import INPUT, NAMES, scenes, write_weights

METHODS: dict[str, dict[str, Any]] = {
    "osme": {"part_width": 16, "images_per_class": 4},
    "feedback": {"stride": None},
}


def catalog() -> Catalog:
    samples = (*scenes(36, "train", 0), *scenes(24, "val", 2), *scenes(12, "test", 1))
    return Catalog(Path(), "", "classification", NAMES, samples)


class Runs:
    """Runs of a method, trained once."""

    def __init__(self, folder: Path, method: str) -> None:
        self.folder, self.method = folder, method
        stride = METHODS[method].get("stride", 8)
        self.weights = write_weights(folder / "net.safetensors", stride)

    def options(self, zoom: str) -> TrainOptions:
        given = {
            "method": self.method, "backbone": "test_resnet", "weights": self.weights, "stride": 8,
            "size": INPUT, "workers": 0, "batch_size": 12, "augment": "none", "flip": False,
            "epochs": 1, "zoom": zoom, **METHODS[self.method],
        }  # fmt: skip
        return make_options(**given)

    def run(self, zoom: str) -> Path:
        if not (self.folder / zoom).is_dir():
            learn(catalog(), self.options(zoom), self.folder / zoom, quiet=True)
        return self.folder / zoom


@pytest.fixture(scope="module", params=METHODS)
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp(request.param), request.param)


def opened(run: Path) -> tuple[LooksTwice, Recognizer]:
    model, header = load_model_file(run / MODEL_FILE)
    assert isinstance(model, LooksTwice)
    return model, Recognizer(model, header, device="cpu")


def test_the_run_says_that_it_looks_twice(runs: Runs) -> None:
    header = read_header(runs.run("2") / MODEL_FILE)
    assert header.method == runs.method
    assert (header.arguments["places"], header.arguments["view"]) == (2, INPUT)
    assert header.preprocessing.size == (2 * INPUT, 2 * INPUT), "the source's resolution"
    assert "of 24 images of val are right" in header.provenance["zoom"]
    assert header.calibration.images == 24


def test_what_was_trained_stays_and_says_the_same_of_the_whole_image(runs: Runs) -> None:
    (model, recognizer), (before, _) = opened(runs.run("2")), opened(runs.run("off"))
    ours, theirs = model.state_dict(), before.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    prepare = evaluation_transform(recognizer.header.preprocessing)
    images = torch.stack([prepare(load_image(s.source)) for s in catalog().split("val")[:4]])
    with torch.inference_mode():
        output = model.eval()(images)
        alone = before.eval()(cut(images, whole_boxes(images), INPUT))
    assert output.scale_logits is not None
    own = output.scale_logits[:, 0] * recognizer.header.arguments["whole_temperature"]
    torch.testing.assert_close(own, alone.logits, rtol=1e-4, atol=1e-4)


def test_val_is_answered_as_the_header_says(runs: Runs) -> None:
    _, recognizer = opened(runs.run("2"))
    found = recognizer.evaluate(catalog(), split="val")
    assert found["top1"] == pytest.approx(recognizer.header.scores["val_acc"])


def test_it_is_drawn_and_explained_like_every_run(runs: Runs) -> None:
    _, recognizer = opened(runs.run("2"))
    source = catalog().split("test")[0].source
    (prediction,) = recognizer.predict(source)
    places = [region for region in prediction.regions if region.kind == "place"]
    assert [region.step for region in places] == [0, 1]
    assert prediction.regions[0].heatmap is not None
    views = recognizer.explain(source, ["cam", "saliency"])
    assert {"cam", "saliency"} <= views.keys()


def test_a_finished_run_stays_and_one_that_broke_off_gets_the_same(
    runs: Runs, tmp_path: Path
) -> None:
    looked = runs.run("2") / MODEL_FILE
    before = looked.read_bytes()
    learn(catalog(), runs.options("2"), runs.run("2"), resume=True, quiet=True)
    assert looked.read_bytes() == before
    file = tmp_path / MODEL_FILE
    file.write_bytes((runs.run("off") / MODEL_FILE).read_bytes())
    assert look_closer(file, catalog(), runs.options("2")).startswith("zoom: 2 places")
    assert file.read_bytes() == before


def test_nobody_loses_the_attentions_who_has_not_asked(runs: Runs) -> None:
    file = runs.run("off") / MODEL_FILE
    before = file.read_bytes()
    assert look_closer(file, catalog(), runs.options("auto")) == ""
    assert file.read_bytes() == before
