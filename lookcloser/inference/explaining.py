"""One image, looked at in several ways."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from operator import index

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lookcloser.core.errors import LookcloserError, unknown
from lookcloser.core.header import ModelHeader
from lookcloser.core.images import ImageSource, load_image
from lookcloser.core.preprocessing import input_pixels
from lookcloser.core.sizes import ImageSize
from lookcloser.core.types import Kind, Label, Region
from lookcloser.inference.derivatives import VIEW, moved_regions, ranking_regions
from lookcloser.inference.engine import TorchEngine
from lookcloser.inference.stock import StockEngine
from lookcloser.inference.views import ALL, check_list, check_task, check_views, look, scores_of
from lookcloser.runtime import ArrayOutput, label_scores, map_regions
from lookcloser.runtime.regions import part_regions, scale_regions

AnyEngine = TorchEngine | StockEngine


def explain_image(
    engine: AnyEngine, image: ImageSource, views: Sequence[str] | None, *, target: str | int | None
) -> dict[str, Region]:
    """See `lookcloser.Recognizer.explain`."""
    asked = _Asked(engine, image, views)
    wanted = [class_index(target, engine.header)] if target is not None else asked.first()
    maps = asked.maps(wanted)
    found = {view: asked.regions(own, wanted)[0] for view, own in maps.items()}
    boxes, kind = asked.output.boxes, engine.header.box_kind
    if VIEW in maps and boxes is not None and kind == "scale":  # no derivative chose a place
        (label,) = asked.labels(wanted)
        scales = scale_regions(asked.output, 0, label, asked.size, kind)
        corners = torch.from_numpy(boxes[0])
        found |= moved_regions(maps[VIEW][0, 0], corners, scales)
        if isinstance(engine, TorchEngine):
            images = engine.images(asked.pixels)
            found |= ranking_regions(engine.model, images, corners, wanted[0], scales)
    if views is None or ALL in views:
        found |= {f"part {n}": region for n, region in enumerate(asked.parts(wanted[0]), 1)}
    return found


def explain_labels(
    engine: AnyEngine,
    image: ImageSource,
    views: Sequence[str] | None,
    *,
    labels: Sequence[str | int] | None,
) -> dict[str, tuple[Region, ...]]:
    """See `lookcloser.Recognizer.explain_labels`."""
    asked = _Asked(engine, image, views)
    kind: Kind = "map"
    check_list("labels", labels)
    wanted = [class_index(name, engine.header) for name in labels or ()]
    if labels is None:
        wanted, kind = asked.answered(), engine.header.evidence_kind
    if not wanted:
        raise LookcloserError(
            "the answer has no label to explain",
            fix="Name one: `--target LABEL`; in Python `labels=[...]`",
        )
    return {view: asked.regions(own, wanted, kind) for view, own in asked.maps(wanted).items()}


def class_index(name: str | int, header: ModelHeader) -> int:
    """The index of a class by its name, by one of the names in it, or by its number.

    A number may be text, an int, or a scalar of NumPy or torch.

    Raises:
        LookcloserError: For another name; near ones are offered.
    """
    if not isinstance(name, str):
        number = _number(name)
        if number is None or not 0 <= number < len(header.names):
            raise LookcloserError(
                f"target = {name!r:.60}",
                allowed=f"the name of a class, or its number from 0 to {len(header.names) - 1}",
            )
        return number
    if name in header.names:
        return header.names.index(name)
    for place, known in enumerate(header.names):  # ImageNet's classes have several names
        if name in known.split(", "):
            return place
    # No longer than any index: Python refuses to read numbers of thousands of digits.
    if name.isdecimal() and len(name) < 10 and int(name) < len(header.names):
        return int(name)
    raise unknown(name, "class", header.names)


def _number(value: object) -> int | None:
    """A whole number in whatever form; None for anything else."""
    if isinstance(value, bool | np.bool_):
        return None
    with suppress(TypeError, ValueError):
        return index(value)  # type: ignore[arg-type]  # which it says itself
    return None


class _Asked:
    """An image to look at, the same as a batch of one, and the answer for it."""

    def __init__(self, engine: AnyEngine, image: ImageSource, views: Sequence[str] | None) -> None:
        check_task(engine.header)
        check_views(views)
        self.engine, self.views = engine, views
        self.image: Image.Image = load_image(image)
        self.size = ImageSize(*self.image.size)
        self.pixels = input_pixels(self.image, engine.header.preprocessing)[None]
        self.output: ArrayOutput = engine.answer(self.pixels, 1)

    def answered(self) -> list[int]:
        """The labels of the answer, in its order."""
        tokens = self.output.tokens
        return [] if tokens is None else tokens[0][tokens[0] >= 0].tolist()

    def first(self) -> list[int]:
        """The label that `predict` names first, or the likeliest class where it names none."""
        logits = self.output.logits[0]
        named = self.answered() or range(len(logits))
        return [max(named, key=lambda index: float(logits[index]))]

    def maps(self, wanted: Sequence[int]) -> dict[str, Tensor]:
        """Maps (1, K, h, w) of the wanted labels by view."""
        engine, tokens = self.engine, self.output.tokens
        network = engine.model
        if isinstance(engine, TorchEngine) and tokens is not None:
            network = engine.model.following(torch.from_numpy(tokens[0]).to(engine.device))
        targets = torch.tensor([list(wanted)], device=engine.device)
        images, scores = engine.images(self.pixels), scores_of(engine.header)
        return look(network, images, targets, self.views, scores)

    def parts(self, wanted: int) -> tuple[Region, ...]:
        """The maps of the attentions for one label, of methods that have some."""
        if self.output.part_maps is None:
            return ()
        output = self.engine.evidence(self.pixels, np.array([[wanted]]))
        (label,) = self.labels([wanted])
        return part_regions(output, 0, label)

    def labels(self, wanted: Sequence[int]) -> list[Label]:
        """The wanted labels with their scores."""
        scores, names = (
            label_scores(self.output.logits, self.engine.header)[0],
            self.engine.header.names,
        )
        return [Label(names[index], float(scores[index]), index) for index in wanted]

    def regions(
        self, maps: Tensor, wanted: Sequence[int], kind: Kind = "map"
    ) -> tuple[Region, ...]:
        """One region per wanted label, for maps (1, K, h, w)."""
        header = self.engine.header
        return map_regions(
            maps[0].detach().float().cpu().numpy(),
            self.labels(wanted),
            self.size,
            header.preprocessing.size,
            header.box_threshold,
            header.box_rule,
            kind=kind,
        )
