"""CNN-RNN: the labels of an image named one after the other, each knowing those before it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError
from lookcloser.core.types import Output
from lookcloser.data.catalog import Catalog
from lookcloser.decoding import (
    CachedState,
    Hypothesis,
    Search,
    SearchResult,
    greedy_search,
)
from lookcloser.layers.class_head import chosen_classes
from lookcloser.losses import label_path_loss
from lookcloser.models.base import Criterion, Model, make_backbone
from lookcloser.models.cnnrnn.options import METHOD, CNNRNNOptions
from lookcloser.models.cnnrnn.orders import label_ranks, training_paths
from lookcloser.models.cnnrnn.parts import file_form
from lookcloser.models.cnnrnn.paths import Cache, LabelPaths
from lookcloser.models.cnnrnn.steps import SURE, StepLogits
from lookcloser.models.file_form import FileForm

SCORED_PATHS = 20  # most probable paths over which the scores of labels are summed
NODE_BUDGET = 2000  # paths that exact search may extend; a trained model needs a few


class CNNRNN(Model, method=METHOD):
    """Label sets as paths of a recurrent network (Wang et al., CVPR 2016); see README.md.

    Args:
        num_classes: C.
        options: See `CNNRNNOptions`. Of ``label_order``, "easy" writes at each place the most
            probable of the true labels that are left; for "minimal" and "predicted", which feed
            the network's own choices back, see `losses.minimal_loss_alignment` and
            `losses.predicted_label_alignment`; for ``gate`` see `CNNRNNCell`. The "beam" has the
            paper's stop rule; "exact" is best-first search.

    Raises:
        LookcloserError: For a backbone that cannot be made, and where there are not as many
            ``label_counts`` as labels.
    """

    Options = CNNRNNOptions
    soft_targets: ClassVar[bool] = False
    sequential: ClassVar[bool] = True

    def __init__(self, num_classes: int, options: CNNRNNOptions | None = None) -> None:
        super().__init__()
        options = options or CNNRNNOptions()
        counts = torch.tensor(options.label_counts or [0] * num_classes, dtype=torch.float32)
        if len(counts) != num_classes:
            raise LookcloserError(
                f"{len(counts)} label counts", allowed=f"Counts of the {num_classes} labels"
            )
        self.num_classes, self.label_order = num_classes, options.label_order
        self.decoder, self.beam = options.decoder, options.beam
        self.max_labels = options.max_labels or num_classes
        self.backbone = make_backbone(options)
        self.dropout = nn.Dropout(options.drop_rate)
        self.paths = LabelPaths(
            num_classes,
            self.backbone.width,
            embed_size=options.embed_size,
            hidden_size=options.hidden_size,
            tied=options.tied,
            gate=options.gate,
        )
        self.ranks: Tensor
        self.register_buffer("ranks", label_ranks(self.label_order, counts), persistent=False)

    @classmethod
    def data_arguments(cls, catalog: Catalog) -> dict[str, Any]:
        """How often each label comes in training, and the size of the largest set there."""
        counts = catalog.counts()["train"]
        largest = max(len(sample.labels) for sample in catalog.split("train"))
        return {
            "label_counts": [counts[name] for name in catalog.names],
            "max_labels": max(largest, 1),
        }

    def label_embeddings(self) -> Tensor:
        """(C, E): labels that come alike on paths lie near each other."""
        return self.paths.embedding.weight[: self.num_classes].detach()

    def forward(
        self, images: Tensor, targets: Tensor | None = None, top: int | None = None
    ) -> Output:
        """Scores of labels along the greedy path, with a map for each; see `Model.forward`.

        ``sigmoid(logits)`` is the probability that a label is named along the greedy path,
        ``Σ_t P(path up to t) P(label | path up to t, image)``: a lower bound of the probability
        that it is in the set, for which `answer` explores more paths. As to gradients the first
        factor is a constant, so that a view of a label's logit shows the evidence for naming it at
        its step, and not the evidence for the labels before it.

        The map of a label is the Grad-CAM of its score at the step that most probably names it, in
        closed form, before the ReLU and the division by h·w.

        In training the path is START alone and there are no maps: ``features``, the pooled features
        (B, D), is what `losses` needs.
        """
        features = self.backbone(images)
        pooled = self.dropout(features.mean(dim=(2, 3)))
        image = self.paths.image(pooled)
        path = torch.empty(len(image), 0, dtype=torch.long, device=image.device)
        if not self.training:
            step, state = self.paths.cache(image.detach())
            greedy = greedy_search(step, state, mask_repeats=True, **self._limits)
            path = self._padded(greedy, image.device)
        return self.along(path, features, pooled, targets, top)

    def along(
        self,
        path: Tensor,
        features: Tensor,
        pooled: Tensor,
        targets: Tensor | None = None,
        top: int | None = None,
    ) -> Output:
        """`forward` along a given path.

        Args:
            path: (B, T) labels, padded with -1.
            features: (B, D, h, w) of the backbone.
            pooled: (B, D) their mean.
            targets: As in `forward`.
            top: As in `forward`.
        """
        image = self.paths.image(pooled)
        projected = self.paths.project(image, path)
        joint = self.paths.joint_log_probs(projected, path)
        logits = joint.exp().sum(dim=1).logit(eps=SURE).to(image.dtype)
        if self.training:
            return Output(logits, features=pooled)
        tokens = chosen_classes(logits, targets, top)
        labels = torch.arange(self.num_classes, device=image.device).expand(image.shape[0], -1)
        labels = labels if tokens is None else tokens
        steps = joint.argmax(dim=1).gather(1, labels)
        at_step = projected.gather(1, steps[..., None].expand(-1, -1, projected.shape[2]))
        maps = self.label_maps(features, at_step, labels)
        return Output(logits, maps, tokens=tokens, features=pooled)

    def answer(self, images: Tensor, top: int) -> Output:
        """The most probable path in its own order, each label with the map of its step.

        ``sigmoid(logits)`` are the `decoding.label_marginals` of the most probable paths. Every
        label of the path has a map, whatever ``top``. Exact search says in ``certified`` of which
        images it proved the path.
        """
        del top
        features = self.backbone(images)
        image = self.paths.image(features.mean(dim=(2, 3)))
        step, state = self.paths.cache(image)
        found = self.decode(step, state)
        tokens = self._padded(found, image.device)
        marginals = self.search.marginals(step, state)
        scores = marginals[:, : self.num_classes].to(image.device)
        token_scores = scores.gather(1, tokens.clamp(min=0)).masked_fill(tokens < 0, 0.0)
        projected = self.paths.project(image, tokens)[:, :-1]
        return Output(
            scores.logit(eps=SURE).to(image.dtype),
            self.label_maps(features, projected, tokens),
            tokens=tokens,
            token_scores=token_scores.to(image.dtype),
            certified=_certified(found),
        )

    def session(self) -> AbstractContextManager[None]:
        """Batches share the recurrent states of label prefixes; see `LabelPaths.session`."""
        return self.paths.session()

    def following(self, tokens: Tensor) -> nn.Module:
        """Views see each label of the path at its step; see `StepLogits`."""
        return StepLogits(self.backbone, self.paths, tokens[tokens >= 0])

    def decode(
        self, step: Cache, state: CachedState[Tensor]
    ) -> list[Hypothesis] | list[SearchResult]:
        """The most probable path of each image, from what `LabelPaths.cache` gives.

        Results of exact search say whether they are certified; it extends at most `NODE_BUDGET`
        paths per image.
        """
        return self.search.run(step, state)

    @property
    def search(self) -> Search:
        """How the network, and a file of it, decodes."""
        return Search(
            self.decoder,
            self.paths.start,
            self.paths.end,
            self.max_labels,
            beam=self.beam,
            repeats=False,
            node_budget=NODE_BUDGET,
            scored_paths=SCORED_PATHS,
        )

    def file_form(self) -> FileForm:
        """All labels along the greedy path, and the parts of the search; see `parts`."""
        return file_form(self)

    def losses(self, output: Output, targets: Tensor, criterion: Criterion) -> dict[str, Tensor]:
        """The negative log-likelihood of the path of each set, END included, in nats."""
        del criterion  # of labels that know nothing of each other
        assert output.features is not None  # every forward pass gives them
        image = self.paths.image(output.features)
        log_probs, wanted = training_paths(self.label_order, self.ranks, self.paths, image, targets)
        return {"loss": label_path_loss(log_probs, wanted, self.paths.end)}

    @property
    def _limits(self) -> dict[str, int]:
        longest = self.max_labels + 1  # END counts
        return {"start": self.paths.start, "end": self.paths.end, "max_length": longest}

    def _padded(
        self, found: Sequence[Hypothesis] | Sequence[SearchResult], device: torch.device
    ) -> Tensor:
        """The paths as (B, K); see `Search.tokens`."""
        return torch.tensor(self.search.tokens(found), device=device)

    def label_maps(self, features: Tensor, projected: Tensor, labels: Tensor) -> Tensor:
        """(B, K, h, w): how much each place adds to the scores of ``labels`` at their steps.

        ``s_k = U_l[k] · relu(U_o o + U_I mean_xy f)`` is linear in f wherever the projection is
        above zero, so that the weights of the channels need no backward pass.
        """
        rows = self.paths.label_rows[labels.clamp(min=0)] * (projected > 0)
        weights = (rows @ self.paths.image.weight).masked_fill((labels < 0)[..., None], 0.0)
        return torch.einsum("bdhw,bkd->bkhw", features, weights.to(features.dtype))


def _certified(found: Sequence[Hypothesis] | Sequence[SearchResult]) -> Tensor | None:
    """(B,) which paths are proved the most probable; None where the search proves nothing."""
    proofs = [path.certified for path in found if isinstance(path, SearchResult)]
    return torch.tensor(proofs) if proofs else None
