"""last.ckpt: written whole or not at all, and read without running code of it."""

from __future__ import annotations

from typing import Any
from zipfile import ZipFile

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.atomic import replacing
from lookcloser.training.files import MODEL_FILE

CHECKPOINT_FORMAT = 1
_FORMAT_KEY = "lookcloser_format"
_WRITER = "RunWriter"  # the callback by which its checkpoints are known
# What a training is continued from, all of which Lightning writes.
_KINDS = {
    "state_dict": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
    "loops": dict,
    "means": dict,
    "epoch": int,
    "global_step": int,
    "pytorch-lightning_version": str,
}


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints that are there whole or not at all, read without running code of theirs."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write to a temporary file, then rename."""
        del storage_options  # of remote file systems
        with replacing(path) as temporary:
            try:
                torch.save({**checkpoint, _FORMAT_KEY: CHECKPOINT_FORMAT}, temporary)
            except RuntimeError as error:  # how torch's zip writer reports a full disk
                raise OSError(str(error).splitlines()[0]) from error

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Tensors and plain values only, whatever the caller asks: a checkpoint may be foreign.

        Raises:
            LookcloserError: For a file that is damaged, foreign or of a newer lookcloser.
        """
        del weights_only
        try:
            loaded = torch.load(path, map_location=map_location, weights_only=True)
            whole = _is_whole(path)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # whatever a reader of pickles makes of other bytes
            raise _unusable(path, "not a readable checkpoint") from error
        if not whole:
            raise _unusable(path, "a damaged checkpoint: its check sums are of other bytes")
        callbacks = loaded.get("callbacks") if isinstance(loaded, dict) else None
        if not isinstance(callbacks, dict) or _WRITER not in callbacks:
            raise _unusable(path, "a checkpoint that lookcloser did not write")
        written = loaded.get(_FORMAT_KEY, CHECKPOINT_FORMAT)
        if not isinstance(written, int):
            raise _unusable(path, "a checkpoint that lookcloser did not write")
        if written > CHECKPOINT_FORMAT:
            raise LookcloserError(
                f"{path}: written by a newer lookcloser, in format {written}",
                allowed=f"Formats up to {CHECKPOINT_FORMAT}",
                fix="Upgrade lookcloser",
            )
        loaded.setdefault("means", {})  # which the first version did not have
        wrong = [name for name, kind in _KINDS.items() if not isinstance(loaded.get(name), kind)]
        if wrong:
            named = ", ".join(wrong)
            raise _unusable(path, f"a damaged checkpoint: without {named}, or with another kind")
        checkpoint: dict[str, Any] = loaded
        return checkpoint


def _is_whole(path: Any) -> bool:
    """Whether the bytes are those that were written, which torch does not look at."""
    with ZipFile(path) as archive:
        return archive.testzip() is None


def _unusable(path: Any, why: str) -> LookcloserError:
    return LookcloserError(
        f"{path}: {why}",
        fix=f"{MODEL_FILE} beside it may still be good; to train again, choose another --out",
    )
