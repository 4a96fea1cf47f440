"""A recognizer that nobody trained: it has answers and evidence all the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lookcloser.recognizer import Recognizer

NAMES = ("blue", "green", "red")


@pytest.fixture(scope="session")
def untrained_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `cam` for the classes of the squares, as one file."""
    import torch

    from lookcloser.core.header import ModelHeader
    from lookcloser.core.preprocessing import Preprocessing
    from lookcloser.models import build_model, save_model_file

    torch.manual_seed(0)
    arguments = {"num_classes": 3, "backbone": "test_resnet", "stride": 8}
    model = build_model("cam", arguments)
    with torch.no_grad():
        model.head.weight.normal_()
    header = ModelHeader(
        "cam", arguments, "classification", NAMES, Preprocessing((32, 32)),
        scores={"val_acc": 0.5}, provenance={"weights": "none", "seed": 3},
    )  # fmt: skip
    path = tmp_path_factory.mktemp("untrained") / "m.safetensors"
    return save_model_file(path, model.state_dict(), header)


@pytest.fixture
def untrained_run(untrained_file: Path, squares: Path, tmp_path: Path) -> Path:
    """The same as a run that was trained on the squares."""
    from lookcloser.training.files import MODEL_FILE
    from lookcloser.training.folder import write_config
    from lookcloser.training.options import make_options

    folder = tmp_path / "my run"
    folder.mkdir()
    (folder / MODEL_FILE).write_bytes(untrained_file.read_bytes())
    write_config(folder, squares, make_options(method="cam"), "lookcloser train squares")
    return folder


@pytest.fixture(scope="session")
def loaded(untrained_file: Path) -> Recognizer:
    """Loaded once; the fixtures below put its network into recognizers that may be changed."""
    from lookcloser.recognizer import load_run

    return load_run(untrained_file, device="cpu")


@pytest.fixture
def alone(loaded: Recognizer) -> Recognizer:
    """Of a single file."""
    from lookcloser.recognizer import Recognizer

    return Recognizer(loaded.model, loaded.header, device="cpu")


@pytest.fixture
def of_run(loaded: Recognizer, untrained_run: Path) -> Recognizer:
    """Of a run, with its folder and data."""
    from lookcloser.recognizer import Recognizer

    return Recognizer(loaded.model, loaded.header, device="cpu", folder=untrained_run)
