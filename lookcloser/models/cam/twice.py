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

    A method says in `once` and `pooled` what one look is, and calls `add_look` at the end of its
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
    def once(self, images: Tensor, targets: Tensor | None = None, top: int | None = None) -> Output:
        """The answer of one look; arguments as of `Model.forward`."""

    @abstractmethod
    def pooled(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> what the head reads of them in one look (B, D)."""

    def forward(
        self, images: Tensor, targets: Tensor | None = None, top: int | None = None
    ) -> Output:
        """The answer by as many looks as it has; of one look what `once` gives.

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
            return self.once(images, targets, top)
        closer, backbone = self.closer, self.timm_backbone
        features = backbone(images)
        seen = closer(images, features, backbone)
        first = self.whole_look(closer, images, features)
        said = first.logits / closer.whole_temperature
        logits = closer.combined(seen, said if closer.whole else None)
        tokens = chosen_classes(logits, targets, top)
        canvas = Grid(*(_FINER * side for side in features.shape[-2:]))
        whole = _maps_of(first, tokens) / closer.whole_temperature if closer.whole else None
        distances = None
        if self.solution is not None:
            best = seen.logits[:, 0] * closer.temperature
            distances = self.solution.distances(seen.vectors[:, 0], best)
        return Output(
            logits=logits,
            maps=closer.maps(seen, tokens, canvas, whole),
            boxes=box_corners(seen.boxes),
            tokens=tokens,
            scale_logits=torch.cat([said[:, None], seen.logits], dim=1),
            distances=distances,
            # Readers of exported files take five outputs at most.
            vector=seen.vectors[:, 0] if distances is None else None,
        )

    def whole_look(self, closer: SecondLook, images: Tensor, features: Tensor) -> Output:
        """What one look says of whole images, with a map of every class.

        Args:
            closer: The second look.
            images: (B, 3, H, W), at the source's resolution.
            features: (B, D, h, w) of the backbone for them.
        """
        del features
        return self.once(cut(images, whole_boxes(images), closer.view))


def _maps_of(output: Output, tokens: Tensor | None) -> Tensor:
    """The maps (B, K, h, w) of an output that has one for every class; all without tokens."""
    maps = output.maps
    assert maps is not None  # as of every classifier
    if tokens is None:
        return maps
    return maps.gather(1, tokens[:, :, None, None].expand(-1, -1, *maps.shape[2:]))
