"""last.ckpt as a file; what a run makes of it is in the tests of fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lookcloser.core import LookcloserError
from lookcloser.training.callbacks import checkpoints
from lookcloser.training.callbacks.checkpoints import CHECKPOINT_FORMAT, AtomicCheckpointIO

OURS: dict[str, Any] = {
    "callbacks": {"RunWriter": {"history": []}},
    "epoch": 3,
    "global_step": 12,
    "loops": {},
    "lr_schedulers": [],
    "means": {},
    "optimizer_states": [],
    "pytorch-lightning_version": "2.5",
    "state_dict": {},
}


def saved(path: Path, checkpoint: Any) -> Path:
    torch.save(checkpoint, path)
    return path


def test_what_is_saved_is_loaded_with_its_format(tmp_path: Path) -> None:
    given = {**OURS, "state_dict": {"w": torch.arange(3.0)}}
    AtomicCheckpointIO().save_checkpoint(given, tmp_path / "last.ckpt", storage_options=object())
    found = AtomicCheckpointIO().load_checkpoint(str(tmp_path / "last.ckpt"))
    assert found.pop("lookcloser_format") == CHECKPOINT_FORMAT
    assert torch.equal(found["state_dict"].pop("w"), torch.arange(3.0))
    assert found == OURS
    assert "lookcloser_format" not in given, "Lightning goes on with what it gave"
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_one_of_the_first_version_is_read(tmp_path: Path) -> None:
    """It had no format, and no means of weights."""
    first = {name: value for name, value in OURS.items() if name != "means"}
    assert AtomicCheckpointIO().load_checkpoint(saved(tmp_path / "a", first)) == OURS


@pytest.mark.parametrize("name", ["epoch", "loops", "optimizer_states", "state_dict"])
@pytest.mark.parametrize("other", [None, "3"], ids=["without", "text"])
def test_one_that_lacks_a_part_is_damaged(tmp_path: Path, name: str, other: str | None) -> None:
    path = saved(tmp_path / "last.ckpt", {**OURS, name: other})
    with pytest.raises(LookcloserError, match=f"damaged checkpoint: without {name}, or"):
        AtomicCheckpointIO().load_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"x" * 100, "folder", "none"], ids=repr)
def test_what_is_no_checkpoint_is_said(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "last.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "folder":
        path.mkdir()
    with pytest.raises(LookcloserError, match=r"last\.ckpt: not a readable .*choose another --out"):
        AtomicCheckpointIO().load_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        [], torch.zeros(3), {}, {"callbacks": []}, {"callbacks": {"ModelCheckpoint": {}}},
        *({**OURS, "lookcloser_format": number} for number in (2.5, "two", None, [1])),
    ],
    ids=lambda content: type(content).__name__,
)  # fmt: skip
def test_checkpoints_of_others_are_not_taken(tmp_path: Path, content: Any) -> None:
    path = saved(tmp_path / "last.ckpt", content)
    with pytest.raises(LookcloserError, match="a checkpoint that lookcloser did not write"):
        AtomicCheckpointIO().load_checkpoint(path)


def test_one_of_a_newer_version_is_said(tmp_path: Path) -> None:
    path = saved(tmp_path / "last.ckpt", {**OURS, "lookcloser_format": 2})
    with pytest.raises(LookcloserError, match="newer lookcloser, in format 2.*: formats up to 1"):
        AtomicCheckpointIO().load_checkpoint(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_bytes_are_loaded_or_refused(tmp_path: Path, zipped: bool) -> None:
    """Whatever torch's reader raises in them: it is a sentence, or the damage is in the numbers."""
    path, random = tmp_path / "last.ckpt", np.random.default_rng(0)
    given = {**OURS, "state_dict": {"w": torch.arange(30.0)}}
    torch.save(given, path, _use_new_zipfile_serialization=zipped)
    whole, refused = np.fromfile(path, np.uint8), 0
    for _ in range(40):
        damaged = whole[: random.integers(len(whole) // 2, len(whole) + 1)].copy()
        damaged[random.integers(len(damaged), size=2)] = random.integers(256, size=2)
        damaged.tofile(path)
        try:
            AtomicCheckpointIO().load_checkpoint(path)
        except LookcloserError:
            refused += 1
    assert refused > 10


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("PytorchStreamWriter failed\nframe #0"), "PytorchStreamWriter failed"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_what_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    AtomicCheckpointIO().save_checkpoint(OURS, tmp_path / "last.ckpt")
    before = (tmp_path / "last.ckpt").read_bytes()

    def fails(_checkpoint: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(checkpoints.torch, "save", fails)
    with pytest.raises(LookcloserError, match=words) as refused:
        AtomicCheckpointIO().save_checkpoint({**OURS, "epoch": 4}, tmp_path / "last.ckpt")
    assert "frame" not in str(refused.value)
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]
    assert (tmp_path / "last.ckpt").read_bytes() == before
