"""What is to be done, as any process on any machine can be told."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lookcloser.batch.forms import FORMS, Form
from lookcloser.core.errors import UsageError, unknown
from lookcloser.core.storage.files import own_path
from lookcloser.runtime import Answerer, Promise
from lookcloser.runtime.onnx_file import is_onnx

FORMATS = tuple(FORMS)


@dataclass(frozen=True)
class How:
    """How images are answered.

    Attributes:
        top: Labels of each answer.
        coverage: See `lookcloser.runtime.Promise`; None names no candidates.
        sets: Kind of these sets.
        maps: Whether heatmaps are written.
        box_rule: What the threshold of a box is a share of; None: as the model was trained.
        batch_size: Images per forward pass.
        workers: Threads that decode images, in each process.
    """

    top: int = 5
    coverage: float | None = None
    sets: str = "lac"
    maps: bool = False
    box_rule: str | None = None
    batch_size: int = 16
    workers: int = 0

    @property
    def promise(self) -> Promise | None:
        """What candidates promise."""
        return None if self.coverage is None else Promise(self.coverage, self.sets)

    @property
    def answers(self) -> dict[str, Any]:
        """What the answers depend on."""
        return {
            name: getattr(self, name) for name in ("top", "coverage", "sets", "maps", "box_rule")
        }


@dataclass(frozen=True)
class Job:
    """Which network answers, how, and where the answers go.

    Attributes:
        run: A run, a model file, an exported file, or "timm:NAME".
        out: The folder of the answers; "~" is the home of who made the job.
        form: A name in `FORMATS`.
        how: How images are answered.
        device: Where the network runs; None takes a GPU where there is one.
        threads: That one process may use on a CPU; 0: as many as there are cores.
    """

    run: str
    out: Path
    form: str = "jsonl"
    how: How = field(default_factory=How)
    device: str | None = None
    threads: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", own_path(self.out))
        if self.form not in FORMS:
            raise unknown(self.form, "format", FORMS)
        if self.how.maps and not self.writer.holds_maps:
            raise UsageError(f"{{}}: {self.form} has no place for heatmaps",
                             allowed="jsonl or parquet", option="maps")  # fmt: skip
        for name, least in (("top", 1), ("batch_size", 1), ("workers", 0)):
            if getattr(self.how, name) < least:
                raise UsageError(f"{{}} {getattr(self.how, name)}: not possible",
                                 allowed=f"{least} or more", option=name)  # fmt: skip

    @property
    def writer(self) -> Form:
        """What writes the answers."""
        return FORMS[self.form]

    def answerer(self) -> Answerer:
        """The network, loaded.

        Raises:
            LookcloserError: As `lookcloser.load`.
        """
        from lookcloser.recognizer import load

        if is_onnx(self.run) and self.device in {None, "cpu"}:
            from lookcloser.runtime.onnx import load as load_onnx

            return load_onnx(self.run, threads=self.threads, box_rule=self.how.box_rule)
        return load(self.run, device=self.device, box_rule=self.how.box_rule)

    def on(self, device: str | None, threads: int) -> Job:
        """The same on another device, with other threads."""
        return replace(self, device=device, threads=threads)

    def to_json(self) -> str:
        """A line that `from_json` reads."""
        return json.dumps({**asdict(self), "out": str(self.out)})

    @staticmethod
    def from_json(text: str) -> Job:
        """The job of `to_json`."""
        values = json.loads(text)
        how = How(**values.pop("how"))
        return Job(**{**values, "out": Path(values["out"])}, how=how)
