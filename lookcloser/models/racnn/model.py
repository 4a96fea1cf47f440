"""Recurrent attention CNN: look, propose a smaller box, cut it from the original, look closer."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookcloser.core.choices import GradientMode
from lookcloser.core.sizes import Grid
from lookcloser.core.types import Output
from lookcloser.layers import AttentionProposal, box_corners, compose_boxes, crop_and_zoom
from lookcloser.layers.attention_proposal import strongest_response_boxes
from lookcloser.layers.boxcar import exact, on_steps
from lookcloser.layers.canvas import on_one_canvas
from lookcloser.layers.class_head import ClassHead, chosen_classes
from lookcloser.losses import area_prior, pairwise_ranking_loss
from lookcloser.models.base import Criterion, Model, Phase, make_backbone
from lookcloser.models.racnn.evidence import EvidenceProposal
from lookcloser.models.racnn.options import METHOD, RACNNOptions
from lookcloser.models.solved import RootedChannels

WARM_UP, POINTING = "warm-up", "pointing"
CLASSIFIERS, PROPOSALS, JOINT = "classifiers", "proposals", "joint"
FINER = "finer"
_HALF_SIDE, _SCALES = 0.5, 3


class RACNN(Model, method=METHOD):
    """Classifier that zooms in, scale by scale (Fu et al., CVPR 2017).

    Every scale has its own backbone and classifier. Between two scales an attention proposal turns
    the features of the coarser one into a square box inside its view; the finer view is cut from
    the images as they were given. So give them at the source's resolution.

    Args:
        num_classes: C.
        options: See `RACNNOptions`. Dropout is on the pooled features of each scale's own
            classifier; for ``crop_mode`` see `crop_and_zoom`, for ``apn`` `AttentionProposal`, for
            ``rank_form`` `pairwise_ranking_loss`. Training moves a proposal's half-side between
            half and one and a half times ``half_side``. A fusion of "descriptors" answers, as in
            the paper, by one linear layer on the scales' normalized features, which learns with
            the rest.

    Raises:
        LookcloserError: For a backbone that cannot be made.
    """

    Options = RACNNOptions
    soft_targets: ClassVar[bool] = False
    source_factor: ClassVar[int] = 2

    def __init__(self, num_classes: int, options: RACNNOptions | None = None) -> None:
        super().__init__()
        options = options or RACNNOptions()
        self.rooting = RootedChannels() if options.apn == "evidence" else None
        scales = options.scales or (_SCALES if self.rooting is None else 2)
        half_side = options.half_side or _HALF_SIDE
        self.size, self.crop_mode, self.half_side = options.size, options.crop_mode, half_side
        self.train_mode, self.area_weight = options.train_mode, options.area_prior
        self.rank_margin, self.rank_form = options.rank_margin, options.rank_form
        self.trunks = nn.ModuleList(make_backbone(options) for _ in range(scales))
        width = self.backbones[0].width
        self.dropout = nn.Dropout(options.drop_rate)
        self.heads = nn.ModuleList(ClassHead(width, num_classes) for _ in range(scales))
        fused = options.fusion == "descriptors"
        self.fusion = nn.Linear(scales * width, num_classes) if fused else None
        for head in (*self.heads, *([] if self.fusion is None else [self.fusion])):
            nn.init.trunc_normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
        self.proposals = nn.ModuleList(
            self._proposal(num_classes, options) for _ in range(scales - 1)
        )

    def _proposal(self, num_classes: int, options: RACNNOptions) -> nn.Module:
        backbone, half_side = self.backbones[0], self.half_side
        if options.apn == "evidence":
            return EvidenceProposal(backbone.width, num_classes, half_side)
        grid = Grid(1, 1)
        if options.apn == "paper" and options.size is not None:  # without a size it was refused
            grid = backbone.grid(Grid(options.size, options.size))
        low, high = 0.5 * half_side, 1.5 * half_side
        return AttentionProposal(backbone.width, grid, options.apn or "light", low, high)

    @property
    def by_evidence(self) -> bool:
        """Whether the first scale is solved in closed form, and says where the finer one looks."""
        return self.rooting is not None

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The first scale alone, its proposals by the strongest response, then as ``train_mode``.

        While the classifiers stand still, so do their batch norms. The rate rises again for the
        pointing and for the finer classifiers, which have learned nothing by then. By evidence
        the first scale has learned before, and the finer one has all the steps.
        """
        if self.by_evidence:
            return (Phase(FINER, ("trunks.1", "heads.1", "dropout", "proposals")),)
        # From random weights the loss stands still at first: that is no reason to stop.
        first = Phase(WARM_UP, ("trunks.0", "heads.0"), 0.3, patience=1.0)
        pointing = Phase(POINTING, ("proposals",), 0.08, restarts=True)
        fused = () if self.fusion is None else ("fusion",)
        classifying = ("trunks", "heads", "dropout", *fused)
        if self.train_mode == "joint":
            # The gradient of classifiers that know nothing would undo the pointing.
            settle = Phase(CLASSIFIERS, classifying, 0.12, restarts=True)
            return first, pointing, settle, Phase(JOINT, (*classifying, "proposals"))
        settle = Phase(CLASSIFIERS, classifying, 0.08, restarts=True)
        turns = (Phase(PROPOSALS, ("proposals",), 0.04), Phase(CLASSIFIERS, classifying, 0.08))
        return first, pointing, settle, *turns * 3

    @property
    def slow_parts(self) -> tuple[nn.Module, ...]:
        """The backbones, and the proposals.

        At the head's rate a few noisy gradients through the crops undo what pointing has learned.
        """
        return (*self.backbones, self.proposals)

    def begin(self, phase: Phase) -> None:
        """The finer scales start from the weights of the first, which has seen the data.

        A head on the descriptors starts as the scales' own classifiers together.
        """
        super().begin(phase)
        if phase.name == POINTING:
            for parts in (self.trunks, self.heads):
                for finer in parts[1:]:
                    finer.load_state_dict(parts[0].state_dict())
            if self.fusion is not None:
                first, count = self._head(0), len(self.heads)
                weight = first.weight.detach().repeat(1, count) / count
                self.fusion.load_state_dict({"weight": weight, "bias": first.bias})

    def forward(
        self, images: Tensor, targets: Tensor | None = None, top: int | None = None
    ) -> Output:
        """Logits of the fused answer and of every scale, with the boxes of the finer scales.

        Args:
            images: (B, 3, H, W) at source resolution, normalized as the backbone expects.
            targets: As in `Model.forward`.
            top: As there.

        Returns:
            ``logits`` (B, C); ``scale_logits`` (B, S, C); ``boxes`` (B, S - 1, 4) in [-1, 1] of
            the images; ``maps`` of the fused answer on the whole image, the maps of every scale
            put where it looked (in training only where some are asked for); ``features``
            (B, S - 1, 2, 3): each proposal inside its view, and the box on the strongest response
            there. While only the first scale is trained, its logits alone.
        """
        views = self._look(images)
        pooled = [view.features.mean(dim=(2, 3)) for view in views]
        each = [
            head(self.dropout(vector)) for head, vector in zip(self.heads, pooled, strict=False)
        ]
        scale_logits = torch.stack(each, dim=1)
        if len(views) < len(self.trunks):
            return Output(logits=scale_logits[:, 0], scale_logits=scale_logits)
        if self.by_evidence:
            logits = scale_logits[:, -1]
        elif self.fusion is None:
            logits = scale_logits.mean(dim=1)
        else:
            logits = self.fusion(torch.cat([v / _scale_of(v) for v in pooled], dim=1))
        tokens = chosen_classes(logits, targets, top)
        return Output(
            logits=logits,
            maps=None if self.training and tokens is None else self._maps(views, pooled, tokens),
            boxes=torch.stack([box_corners(view.box) for view in views[1:]], dim=1),
            tokens=tokens,
            scale_logits=scale_logits,
            features=torch.stack([v.proposals for v in views if v.proposals is not None], dim=1),
            vector=torch.cat(pooled, dim=1),
        )

    def losses(self, output: Output, targets: Tensor, criterion: Criterion) -> dict[str, Tensor]:
        """What the phase trains on; outside of phases everything, as in "joint".

        Cross-entropies of every scale and of a fused head train the classifiers; the ranking
        of neighboring scales and the area prior train the proposals, as does, in "joint", every
        cross-entropy of a finer scale.
        """
        assert output.scale_logits is not None  # this model always gives them
        scales = output.scale_logits.unbind(dim=1)
        if self.phase == POINTING:
            return self._pointing(output)
        terms = {}
        if self.rooting is not None:
            return {"scale_2": criterion(scales[1], targets)}
        if self.phase != PROPOSALS:
            terms = {f"scale_{n}": criterion(logits, targets) for n, logits in enumerate(scales, 1)}
        if self.fusion is not None and self.phase not in {PROPOSALS, WARM_UP}:
            terms["fused"] = criterion(output.logits, targets)
        if self.phase not in {CLASSIFIERS, WARM_UP}:
            terms |= self._ranking(output, targets)
        return terms

    def logits_at(self, images: Tensor, boxes: Tensor) -> Tensor:
        """See `Model.logits_at`; no proposal is asked."""
        whole = images.new_tensor([[0.0, 0.0, 1.0]]).expand(images.shape[0], -1)
        logits = []
        for number, box in enumerate((whole, *boxes.unbind(dim=1))):
            features = self._read(self._features(number, images, box, "grid"))
            logits.append(self._head(number)(features.mean(dim=(2, 3))))
        return torch.stack(logits, dim=1)

    def _look(self, images: Tensor) -> list[_View]:
        """The views of an image, coarse to fine; the first alone where only that is trained."""
        box, proposals = images.new_tensor([[0.0, 0.0, 1.0]]).expand(images.shape[0], -1), None
        alone = self.training and self.phase == WARM_UP
        views: list[_View] = []
        for scale in range(1 if alone else len(self.trunks)):
            features = self._features(scale, images, box)
            views.append(_View(box, self._read(features), proposals))
            if scale < len(self.proposals) and not alone:
                proposals = self._propose(scale, features)
                box = compose_boxes(box, proposals[:, 0])
        return views

    def _read(self, features: Tensor) -> Tensor:
        """Features (B, D, h, w) whose mean over the places is what a scale's head reads."""
        return features if self.rooting is None else self.rooting(features)

    def _propose(self, scale: int, features: Tensor) -> Tensor:
        """(B, 2, 3) the next view inside this one, and the box on the strongest response."""
        # A trunk is no part of this: moved by the boxes' gradients, it forgets its classes.
        inner: Tensor = self.proposals[scale](features.detach())
        if self.rooting is not None:
            return torch.stack((inner, inner), dim=1)
        response = self._response(scale, features)
        if not self.training:
            inner = on_steps(inner)
        strongest = strongest_response_boxes(response, self.half_side).to(inner.dtype)
        return torch.stack((inner, strongest), dim=1)

    @torch.no_grad()
    def _response(self, scale: int, features: Tensor) -> Tensor:
        """Where a scale responds, by channels (B, D, h, w), or by its own class (B, 1, h, w).

        Behind a layer norm the mean over the channels is the same everywhere.
        """
        if not getattr(self.trunks[scale], "ends_in_norm", False):
            return features
        head = self._head(scale)
        best = head(features.mean(dim=(2, 3))).argmax(dim=1)
        weight = head.weight[best].to(features.dtype)
        return torch.einsum("bdhw,bd->bhw", features, weight)[:, None]

    def _head(self, scale: int) -> nn.Linear:
        head = self.heads[scale]
        assert isinstance(head, nn.Linear)  # as made
        return head

    def _features(
        self, scale: int, images: Tensor, box: Tensor, mode: GradientMode | None = None
    ) -> Tensor:
        """Cut from the original: a crop of a crop would have been resampled twice.

        To find a thing by evidence takes the source's pixels: the first scale sees them all.
        """
        if self.rooting is not None and scale == 0:
            found: Tensor = self.trunks[0](images)
            return found
        size = self.size or (images.shape[-2], images.shape[-1])
        box = box if self.training else exact(box)
        crops = crop_and_zoom(images, box, size, mode or self.crop_mode)
        features: Tensor = self.trunks[scale](crops)
        return features

    def _maps(self, views: list[_View], pooled: list[Tensor], tokens: Tensor | None) -> Tensor:
        # By evidence the first scale has no say in the answer.
        saying = list(enumerate(zip(views, pooled, strict=True)))[int(self.by_evidence) :]
        maps = []
        for number, (view, vector) in saying:
            if self.fusion is None:
                weight, unit = self._head(number).weight / len(saying), view.features
            else:
                weight = self.fusion.weight.chunk(len(views), dim=1)[number]
                unit = view.features / _scale_of(vector)[:, :, None, None]
            weight = weight.to(unit.dtype)
            if tokens is None:
                maps.append(torch.einsum("bdhw,cd->bchw", unit, weight))
            else:
                maps.append(torch.einsum("bdhw,bkd->bkhw", unit, weight[tokens]))
        finer = 2 ** len(self.proposals)
        canvas = Grid(*(finer * side for side in views[0].features.shape[-2:]))
        return on_one_canvas(maps, [view.box for _, (view, _) in saying], canvas)

    def _pointing(self, output: Output) -> dict[str, Tensor]:
        assert output.features is not None  # not missing after the warm-up
        proposed, strongest = output.features.unbind(dim=2)
        return {"pointing": F.smooth_l1_loss(proposed, strongest)}

    def _ranking(self, output: Output, targets: Tensor) -> dict[str, Tensor]:
        assert output.scale_logits is not None
        assert output.features is not None
        scales = output.scale_logits.unbind(dim=1)
        pairs = [
            pairwise_ranking_loss(coarse, fine, targets, self.rank_margin, self.rank_form)
            for coarse, fine in pairwise(scales)
        ]
        terms = {"ranking": torch.stack(pairs).sum()}
        if self.area_weight:
            proposed = output.features[:, :, 0].flatten(0, 1)
            terms["area"] = self.area_weight * area_prior(proposed)
        return terms


class _View(NamedTuple):
    """One scale of a batch of images.

    Attributes:
        box: (B, 3) in the original image.
        features: (B, D, h, w), as the scale's head reads them.
        proposals: (B, 2, 3) boxes inside the coarser view: the one proposed, which led to this
            view, and the one on the strongest response; None for the first scale.
    """

    box: Tensor
    features: Tensor
    proposals: Tensor | None = None


def _scale_of(vector: Tensor) -> Tensor:
    """(B, D) -> (B, 1) its root mean square, never 0."""
    return vector.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-12)
