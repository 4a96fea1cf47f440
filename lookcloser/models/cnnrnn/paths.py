"""The recurrent half of CNN-RNN: from the labels so far and an image to what comes next."""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import TracebackType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookcloser.core.choices import Gate
from lookcloser.decoding import CachedState, PrefixCache
from lookcloser.layers import CNNRNNCell
from lookcloser.layers.recurrent import Prepared, State

Cache = PrefixCache[State, Tensor]

MOST_PREFIXES = 20_000  # of a session, which then starts anew: 250 MB at a width of 512


class LabelPaths(nn.Module):
    """Label embedding, recurrent unit and projection (Wang et al., CVPR 2016).

    With o(t) the unit's output after the labels so far, which never sees the image, and I the
    descriptor of the image: ``x_t = relu(U_o o(t) + U_I I)`` and ``s(t) = U_l^T x_t``, U_l being
    the label embedding. Labels are 0 … C - 1; END is C and has an output row; START is C + 1 and
    has none.

    Args:
        num_classes: C.
        image_size: D, the width of I.
        embed_size: E, the width of the label embedding and of the projection.
        hidden_size: Width of the recurrent unit.
        tied: Whether the output shares the embedding; otherwise it has rows and a bias of its own.
        gate: See `CNNRNNCell`.
    """

    def __init__(
        self,
        num_classes: int,
        image_size: int,
        *,
        embed_size: int,
        hidden_size: int,
        tied: bool,
        gate: Gate,
    ) -> None:
        super().__init__()
        self.end, self.start = num_classes, num_classes + 1
        self.embedding = nn.Embedding(num_classes + 2, embed_size)
        self.cell = CNNRNNCell(embed_size, hidden_size, gate=gate)
        self.recurrent = nn.Linear(hidden_size, embed_size, bias=False)
        self.image = nn.Linear(image_size, embed_size)
        self.rows = None if tied else nn.Linear(embed_size, num_classes + 1)

    @property
    def label_rows(self) -> Tensor:
        """(C + 1, E): what a projection is multiplied with to score each label and END."""
        return self.embedding.weight[: self.start] if self.rows is None else self.rows.weight

    def project(self, image: Tensor, paths: Tensor) -> Tensor:
        """The projections x_t along given paths.

        Args:
            image: (B, E) ``U_I I``, the image's share.
            paths: (B, T) labels, padded with -1.

        Returns:
            (B, T + 1, E), one after START and one after each label.
        """
        start = paths.new_full((paths.shape[0], 1), self.start)
        inputs = self.embedding(torch.cat([start, paths.clamp(min=0)], dim=1))
        outputs, _ = self.cell.sequence(inputs, self._root(paths.shape[0], image))
        projected: Tensor = self.recurrent(outputs) + image[:, None]
        return projected.relu()

    def log_probs(self, projected: Tensor) -> Tensor:
        """(..., E) -> (..., C + 1), of the labels and of END; float32 or better.

        In half precision the scores of likely labels would round to ties.
        """
        projected = projected.to(torch.promote_types(projected.dtype, torch.float32))
        bias = None if self.rows is None else self.rows.bias.to(projected.dtype)
        with torch.autocast(projected.device.type, enabled=False):
            scores = F.linear(projected, self.label_rows.to(projected.dtype), bias)
        return scores.log_softmax(dim=-1)

    def joint_log_probs(self, projected: Tensor, paths: Tensor) -> Tensor:
        """Log-probabilities that a path is followed so far and then names a label.

        To gradients the probability of the path before the label is a constant.

        Args:
            projected: (B, T + 1, E) of `project`.
            paths: (B, T) labels, padded with -1.

        Returns:
            (B, T + 1, C) in float64, in which a score near 1 keeps its distance from it; -inf for
            labels that are on the path already, and after its end.
        """
        log_probs = self.log_probs(projected.double())
        on_path = (paths >= 0)[..., None]
        named = torch.zeros_like(log_probs, dtype=torch.bool)
        named[:, 1:].scatter_(2, paths.clamp(min=0)[..., None], on_path)
        followed = log_probs[:, :-1].gather(2, paths.clamp(min=0)[..., None])
        followed = followed.detach().masked_fill(~on_path, -torch.inf).cumsum(dim=1)
        reached = F.pad(followed, (0, 0, 1, 0))
        joint = (log_probs + reached).masked_fill(named.cumsum(dim=1) > 0, -torch.inf)
        return joint[..., : self.end]

    def cache(self, image: Tensor) -> tuple[Cache, CachedState[Tensor]]:
        """A decoder's step and the state to start from, for ``image`` (B, E).

        The recurrence sees no image, so its states are computed once for all images on a prefix:
        of this batch, or inside a `session` of all its batches.
        """
        session = next((one for one in reversed(_entered.get()) if one.paths is self), None)
        step = self._cache(image) if session is None else session.cache(image)
        return step, step.state(image)

    def session(self) -> Session:
        """A context in which `cache` gives one and the same cache to every batch.

        It may be entered any number of times, by one thread at a time, and counts for the thread
        that is inside alone. Its states live as long as the object; the weights must not change
        meanwhile.
        """
        return Session(self)

    def _cache(self, like: Tensor) -> Cache:
        def cell(prepared: Prepared, labels: Tensor) -> tuple[Tensor, State]:
            output, after = self.cell.follow(self.embedding(labels), prepared)
            return self.recurrent(output), after

        def readout(outputs: Tensor, image: Tensor) -> Tensor:
            # In float64, in which a score near 1 keeps its distance from it.
            return self.log_probs((outputs + image).relu().double())

        return PrefixCache(cell, self._root(1, like), readout, self.cell.prepare)

    @torch.no_grad()
    def follow(self, image: Tensor, allowed: Tensor) -> Tensor:
        """Paths that go to the most probable allowed label that is left, until none is left.

        Args:
            image: (B, E).
            allowed: (B, C) bool.

        Returns:
            Paths (B, T), T the size of the largest set of allowed labels.
        """
        left = allowed.clone()
        state = self._root(len(image), image)
        labels = left.new_full((len(image),), self.start, dtype=torch.long)
        steps = []
        for _ in range(int(left.sum(dim=1).max())):
            output, state = self.cell(self.embedding(labels), state)
            log_probs = self.log_probs((self.recurrent(output) + image).relu())
            best, labels = log_probs[:, : self.end].masked_fill(~left, -torch.inf).max(dim=1)
            left.scatter_(1, labels[:, None], False)
            steps.append(labels.masked_fill(best == -torch.inf, -1))
        return torch.stack(steps, dim=1) if steps else labels.new_zeros(len(image), 0)

    def _root(self, count: int, like: Tensor) -> State:
        return self.cell.initial_state(like.new_zeros(count, self.cell.hidden_size))


class Session(AbstractContextManager[None]):
    """See `LabelPaths.session`."""

    def __init__(self, paths: LabelPaths) -> None:
        self.paths = paths
        self._caches: dict[tuple[torch.device, torch.dtype], Cache] = {}

    def __enter__(self) -> None:
        _entered.set((*_entered.get(), self))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _entered.set(_entered.get()[:-1])

    def cache(self, image: Tensor) -> Cache:
        """The cache of the session for images (B, E) of this kind."""
        kind = (image.device, image.dtype)
        if kind not in self._caches or len(self._caches[kind]) > MOST_PREFIXES:
            self._caches[kind] = self.paths._cache(image)
        return self._caches[kind]


# Every thread has its own: a session is not seen by those that answer beside it.
_entered: ContextVar[tuple[Session, ...]] = ContextVar("entered", default=())
