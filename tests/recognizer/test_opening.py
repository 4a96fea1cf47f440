"""Whatever answers, by its path: what is taken, and what is named that is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lookcloser.core import LookcloserError
from lookcloser.core.errors import UsageError
from lookcloser.models import read_header
from lookcloser.recognizer import Recognizer, load, load_run, loading
from tests.stock import stock


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder and the home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


def test_a_run_knows_its_folder_and_a_file_has_none(untrained_run: Path) -> None:
    header = read_header(untrained_run / "model.safetensors")
    for given in (untrained_run, "my run", "~/my run"):
        found = load(given)
        assert isinstance(found, Recognizer)
        assert found.header == header
        assert found.folder is not None
        assert found.folder.resolve() == untrained_run.resolve()
    assert load_run("~/my run/model.safetensors").folder is None


def test_what_is_saved_is_loaded(alone: Recognizer, home: Path) -> None:
    assert alone.save("~/new/a.safetensors") == home / "new" / "a.safetensors"
    again = load_run("new/a.safetensors")
    assert again.header == alone.header
    for name, value in alone.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("my rnu", r"my rnu: no such run or model. Did you mean 'my run'"),
        (
            "my run/model.safetensor",
            "no such run or model. Did you mean 'my run/model.sa",
        ),
        ("empty run", r"no model.safetensors in this folder.*--resume 'empty run'`"),
        ("my run/config.yaml", r"config.yaml: "),
        ("a.onnx", r"a.onnx: no such model file"),
        ("hub:a", "OWNER/NAME"),
        ("timm:resnet", "resnet: unknown backbone"),
    ],
)
def test_what_is_no_model_is_named(untrained_run: Path, place: str, message: str) -> None:
    Path("empty run").mkdir()
    with pytest.raises(LookcloserError, match=message):
        load(place)


@pytest.mark.parametrize("name", ["a" * 300, "a" * 300 + ".safetensors", "~no-one.safetensors"])
def test_a_name_that_no_disk_or_no_home_has_is_not_there(name: str) -> None:
    with pytest.raises(LookcloserError, match="no such run or model"):
        load(name)


def test_an_exported_file_answers_on_the_cpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(loading, "load_onnx", lambda path, box_rule: asked.append((path, box_rule)))
    for device in (None, "cpu", torch.device("cpu")):
        load("A.ONNX", device=device, box_rule="max")
    assert asked == [("A.ONNX", "max")] * 3
    with pytest.raises(UsageError, match="cuda: not for an exported file. Allowed: cpu"):
        load("a.onnx", device="cuda")


def test_what_needs_a_network_does_not_take_an_exported_file() -> None:
    with pytest.raises(UsageError, match="a.onnx: an exported file, which can only answer"):
        load_run("a.onnx")


@pytest.mark.parametrize("path", ["nowhere", "timm:resnet18", "my run"])
def test_a_device_that_is_not_there_is_said_before_the_work(path: str, untrained_run: Path) -> None:
    with pytest.raises(LookcloserError, match="cuda:7|tpu"):
        load(path, device="tpu")


def test_another_box_rule_is_of_this_object_alone(untrained_run: Path) -> None:
    assert load(untrained_run, box_rule="max").header.box_rule == "max"
    assert load(untrained_run).header.box_rule == "range"
    with pytest.raises(UsageError, match="mean: unknown box rule"):
        load(untrained_run, box_rule="mean")


class TestStock:
    def test_it_has_no_folder_and_names_its_weights_without_their_place(self, home: Path) -> None:
        recognizer = stock("test_resnet", home)
        assert recognizer.folder is None
        assert recognizer.header.provenance["weights"] == "test_resnet.safetensors"
        again = load("timm:test_resnet", weights="~/test_resnet.safetensors",
                     model_kwargs={"num_classes": 7}, box_rule="max")  # fmt: skip
        assert again.header.box_rule == "max"
        image = torch.rand(1, 3, 160, 160)
        with torch.inference_mode():
            assert torch.equal(recognizer.model(image), again.model(image))

    def test_what_it_cannot_be_asked_says_how_it_could(self, home: Path, squares: Path) -> None:
        recognizer = stock("test_resnet", home)
        for ask in (recognizer.evaluation, recognizer.audit, recognizer.rate_views):
            with pytest.raises(UsageError, match="timm:test_resnet: a stock classifier.*Train"):
                ask(squares)


def test_it_says_what_it_is(alone: Recognizer) -> None:
    assert repr(alone) == "Recognizer(cam, test_resnet, 3 classes, cpu)"
    assert not alone.model.training


def test_data_for_another_task_is_refused(alone: Recognizer, home: Path, squares: Path) -> None:
    catalog = alone.catalog(squares)
    assert alone.catalog(catalog) is catalog
    (home / "tags.csv").write_text("image,tags\na.png,x|y\n")
    (home / "a.png").write_bytes((squares / "test" / "red" / "0.png").read_bytes())
    with pytest.raises(LookcloserError, match="a data set for multilabel.*answers classification"):
        alone.catalog(home / "tags.csv")
