"""What a classifier needs to be given a second look."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from lookcloser.core.sizes import Grid
from lookcloser.core.types import Output
from lookcloser.layers import box_corners
from lookcloser.layers.class_head import chosen_classes
from lookcloser.models.backbone import Backbone
from lookcloser.models.base import Model
from lookcloser.models.cam.closer import SecondLook, cut, whole_boxes
from lookcloser.models.cam.options import LookOptions
from lookcloser.models.solved import Solution

_FINER = 2  # places of the maps of a second look for one of the first, along each side


class LooksTwice(Model):
    """A classifier that answers by one look, or by its best places seen again.

    A method says in `look` and `read` what one look is, and calls `add_look` at the end of its
    constructor. With ``places`` the answer is that of a `SecondLook` around the same backbone: the
    maps are those of the places, images come at the source's resolution, and the method's own
    answer is that for the whole image, seen at the size of a place's view.

    Attributes:
        backbone: A timm network, where there is a second look.
        head: The linear layer behind what `pooled` gives.
        closer: None where it looks once.
        solution: What distances are measured with; None where there are none.
    """

    backbone: nn.Module
    head: nn.Linear
    closer: SecondLook | None
    solution: Solution | None

    def add_look(
        self, num_classes: int, options: LookOptions, *, kept: int = 0, summed: bool = False
    ) -> None:
        """The parts of a second look and of distances, where the options have any.

        Args:
            num_classes: C.
            options: Of the method.
            kept: As in `Solution`.
            summed: As there.
        """
        self.closer = self.solution = None
        if kept or options.rank:
            sizes = kept, options.rank, summed
            self.solution = Solution(num_classes, self.timm_backbone.width, *sizes)
        if options.places:
            look = options.places, options.share, options.view, options.whole
            width = self.timm_backbone.width
            self.closer = SecondLook(width, num_classes, *look, options.whole_temperature)

    @property
    def timm_backbone(self) -> Backbone:
        """The backbone of a method that is given no other, or of one that has a second look."""
        assert isinstance(self.backbone, Backbone)
        return self.backbone

    @abstractmethod
    def look(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) -> what one look sees in them, for `read`."""

    @abstractmethod
    def read(
        self, seen: tuple[Tensor, ...], targets: Tensor | None = None, top: int | None = None
    ) -> Output:
        """The answer of one look, by what it has seen.

        Args:
            seen: As `look` gives it.
            targets: As in `Model.forward`.
            top: As there.

        Returns:
            Among others ``logits``, ``maps``, and as ``vector`` (B, D) what the head reads.
        """

    def pooled(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> what the head reads of them in one look (B, D)."""
        vector = self.read(self.look(images), top=1).vector
        assert vector is not None  # as `read` promises
        return vector

    def forward(
        self, images: Tensor, targets: Tensor | None = None, top: int | None = None
    ) -> Output:
        """The answer by as many looks as it has; of one look what `read` gives.

        Args:
            images: (B, 3, H, W), normalized as the backbone expects.
            targets: As in `Model.forward`. Few maps cost next to nothing.
            top: As there.

        Returns:
            Of a second look ``logits`` (B, C); ``maps`` (B, C or K, h, w), not normalized;
            ``tokens`` (B, K) the classes of the maps, None where all are given; ``boxes``
            (B, P, 4), the place that counts most first; ``scale_logits`` (B, 1 + P, C) of the whole
            image and of each place, at their own temperatures; ``distances`` (B,) of that place, or
            else ``vector`` (B, D), what is seen there.
        """
        if self.closer is None:
            return self.read(self.look(images), targets, top)
        closer, backbone = self.closer, self.timm_backbone
        features = backbone(images)
        found = closer(images, features, backbone)
        whole = self.whole_look(closer, images, features)
        first = self.read(whole, top=1).logits / closer.whole_temperature
        logits = closer.combined(found, first if closer.whole else None)
        tokens = chosen_classes(logits, targets, top)
        maps = self.read(whole, tokens).maps if closer.whole else None
        if maps is not None:
            maps = maps / closer.whole_temperature
        canvas = Grid(*(_FINER * side for side in features.shape[-2:]))
        distances = None
        if self.solution is not None:
            best = found.logits[:, 0] * closer.temperature
            distances = self.solution.distances(found.vectors[:, 0], best)
        return Output(
            logits=logits,
            maps=closer.maps(found, tokens, canvas, maps),
            boxes=box_corners(found.boxes),
            tokens=tokens,
            scale_logits=torch.cat([first[:, None], found.logits], dim=1),
            distances=distances,
            # Readers of exported files take five outputs at most.
            vector=found.vectors[:, 0] if distances is None else None,
        )

    def whole_look(
        self, closer: SecondLook, images: Tensor, features: Tensor
    ) -> tuple[Tensor, ...]:
        """What one look sees in whole images, for `read`.

        Args:
            closer: The second look.
            images: (B, 3, H, W), at the source's resolution.
            features: (B, D, h, w) of the backbone for them.
        """
        del features
        return self.look(cut(images, whole_boxes(images), closer.view))
