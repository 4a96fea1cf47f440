"""A model goes to the hub with its card, and comes back as it was."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard

import lookcloser
from lookcloser.cli import main
from lookcloser.core import LookcloserError
from lookcloser.core.errors import UsageError
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.models import build_model
from lookcloser.recognizer import Recognizer

from .conftest import TOKEN, Hub, Repository

# Of the client's own, about how it calls the library that it sends files with.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

NAMES = ("blue", "green", "red")
FILES = {"README.md", "evidence.png", "model.safetensors"}


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    """Random weights, which have answers and evidence all the same."""
    torch.manual_seed(0)
    arguments = {"num_classes": 3, "backbone": "test_resnet", "stride": 8}
    header = ModelHeader("cam", arguments, "classification", NAMES, Preprocessing((32, 32)))
    model = build_model("cam", arguments)
    with torch.no_grad():
        model.head.weight.normal_()
    return Recognizer(model, header, device="cpu")


@pytest.fixture(scope="module")
def file(recognizer: Recognizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recognizer.save(tmp_path_factory.mktemp("model") / "squares.safetensors")


def test_what_was_pushed_is_loaded(hub: Hub, recognizer: Recognizer, squares: Path) -> None:
    done = recognizer.push("me/squares", data=squares, license="mit")
    there = hub.repositories["me/squares"]
    sha, files = there.files("main") or ("", {})
    assert done.url == f"{hub.endpoint}/me/squares/commit/{sha}"
    assert set(files) - {".gitattributes"} == FILES == set(done.files)
    assert not there.private
    assert files["README.md"].decode() == done.card
    assert files["evidence.png"].startswith(b"\x89PNG")
    assert str(squares) not in done.card
    card = ModelCard(done.card)
    found = {result.metric_name: result.metric_value for result in card.data.eval_results}
    wanted = recognizer.evaluate(squares, "test")
    assert found["top1"] == pytest.approx(wanted["top1"], abs=1e-4)
    assert "MaxBoxAcc@0.5" in found
    assert " … " in done.card.split("| top1 |")[1].splitlines()[0], "an interval"

    again = lookcloser.load("hub:me/squares", device="cpu")
    assert again.header == recognizer.header
    image = squares / "test" / "red" / "0.png"
    (first,), (second,) = (one.predict(image) for one in (recognizer, again))
    assert first.to_dict() == second.to_dict()
    # The second time only what changed is sent; the answer is a commit all the same.
    assert recognizer.push("me/squares", image=False).url.startswith(hub.endpoint)


def test_without_data_the_card_says_less(hub: Hub, recognizer: Recognizer) -> None:
    done = recognizer.push("me/squares", private=True)
    assert hub.repositories["me/squares"].private
    assert set(done.files) == FILES - {"evidence.png"}
    assert done.shown is None
    assert "## Scores" not in done.card
    with pytest.raises(UsageError, match="--split test: no data to score"):
        recognizer.push("me/squares", split="test")


def test_an_image_of_ones_own_is_shown(hub: Hub, recognizer: Recognizer, tmp_path: Path) -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    done = recognizer.push("me/squares", image=image, dry_run=True, out=tmp_path / "card")
    assert {file.name for file in (tmp_path / "card").iterdir()} == FILES
    assert (tmp_path / "card" / "README.md").read_text() == done.card
    assert not hub.asked, "a dry run sends nothing"
    with pytest.raises(UsageError, match="card: not an empty folder"):
        recognizer.push("me/squares", dry_run=True, out=tmp_path / "card")
    (tmp_path / "broken.png").write_bytes(b"x")
    with pytest.raises(LookcloserError, match=r"broken\.png"):
        recognizer.push("me/squares", image=tmp_path / "broken.png", dry_run=True)


def test_a_public_repository_does_not_take_what_shall_be_private(
    hub: Hub, recognizer: Recognizer
) -> None:
    hub.repositories["me/squares"] = Repository()
    hub.repositories["me/squares"].commit({})
    with pytest.raises(LookcloserError, match="is public, and would stay so"):
        recognizer.push("me/squares", private=True)
    assert not any("commit" in path or "blobs" in path for _, path in hub.asked)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("squares", {}, "OWNER/NAME"),
        ("me/squares", {"license": "My Own\nlicense: mit"}, "not an identifier of a license"),
        ("me/squares", {"out": "card"}, "--out without --dry-run"),
    ],
)
def test_wrong_usage_is_said_before_the_work(
    hub: Hub, recognizer: Recognizer, name: str, options: dict[str, str], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        recognizer.push(name, **options)
    assert not hub.asked


def test_who_may_not_write_is_told_so(
    hub: Hub, recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LookcloserError, match="others/squares: the hub refuses") as caught:
        recognizer.push("others/squares")
    assert TOKEN not in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(LookcloserError, match="not logged in.*hf auth login") as caught:
        recognizer.push("me/squares")
    assert "hf_wrong" not in str(caught.value)
    monkeypatch.delenv("HF_TOKEN")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere")
    with pytest.raises(LookcloserError, match="me/squares: not logged in on the hub"):
        recognizer.push("me/squares")


def test_an_upload_that_breaks_off_is_said(
    hub: Hub, recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "full", 507)
    with pytest.raises(LookcloserError, match="me/squares: the hub answers with error 507"):
        recognizer.push("me/squares")


def test_without_a_network_it_says_so(
    hub: Hub, recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(LookcloserError, match="cannot be reached at http://127"):
        recognizer.push("me/squares")


def test_a_stock_classifier_is_not_ours_to_push() -> None:
    with pytest.raises(UsageError, match="a stock classifier"):
        lookcloser.load("timm:test_resnet", weights="none").push("me/x")


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["lookcloser", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_the_command_pushes_and_its_next_step_answers(
    hub: Hub,
    file: Path,
    squares: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    assert run(monkeypatch, "push", file, "me/squares", "--data", squares, "--dry-run") == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("---\nlibrary_name: lookcloser")
    assert "Would send README.md, evidence.png, model.safetensors to me/squares" in shown.err
    assert "for all to see" in shown.err
    assert not hub.asked

    assert run(monkeypatch, "push", file, "me/squares", "--private", "--license", "mit") == 0
    shown = capsys.readouterr()
    assert shown.out.strip().startswith(f"{hub.endpoint}/me/squares/commit/")
    assert "Next: lookcloser predict hub:me/squares photos/" in shown.err
    assert TOKEN not in shown.out + shown.err

    image = squares / "test" / "red" / "0.png"
    assert run(monkeypatch, "predict", "hub:me/squares", image, "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["labels"][0]["name"] in NAMES
    views = "--view", "cam", "--save", tmp_path / "views.png"
    assert run(monkeypatch, "explain", "hub:me/squares", image, *views) == 0
    assert run(monkeypatch, "predict", "hub:squares", image) == 2
    assert run(monkeypatch, "push", file, "me/x", "--image", image, "--no-image") == 2
    assert run(monkeypatch, "predict", "hub:me/none", image) == 1
    assert "not found on the hub" in capsys.readouterr().err


def test_an_exported_file_of_the_hub_answers(hub: Hub) -> None:
    """Without weights of torch: a network of one layer, written by hand."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from lookcloser.core.header import header_text
    from lookcloser.runtime.onnx_file import KEY

    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    given = {name: helper.make_tensor_value_info(name, floats, ["b", 3]) for name in "ls"}
    given["l"].name, given["s"].name = "logits", "scores"
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["scores"]),
        ],
        "network",
        [helper.make_tensor_value_info("image", floats, ["b", 3, 32, 32])],
        list(given.values()),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    header = ModelHeader("cam", {}, "classification", NAMES, Preprocessing((32, 32)))
    helper.set_model_props(model, {KEY: header_text(header)})
    hub.repositories["me/small"] = Repository()
    hub.repositories["me/small"].commit({"small.onnx": model.SerializeToString()})
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    (found,) = lookcloser.load("hub:me/small").predict(red)
    assert found.labels[0].name == "blue"  # the first


@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx"])
@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle.", b"\xff" * 64, b"{" * 4096])
def test_a_wrong_file_of_the_hub_is_one_sentence(hub: Hub, name: str, content: bytes) -> None:
    hub.repositories["me/bad"] = Repository()
    hub.repositories["me/bad"].commit({name: content})
    with pytest.raises(LookcloserError) as caught:
        lookcloser.load("hub:me/bad")
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
