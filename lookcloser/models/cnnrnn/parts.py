"""CNN-RNN as a file holds it: the labels along the greedy path, and the parts of the search."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookcloser.core.types import Output
from lookcloser.models.cnnrnn.paths import LabelPaths
from lookcloser.models.file_form import Decoding, FileForm

if TYPE_CHECKING:
    from lookcloser.models.cnnrnn.model import CNNRNN


def file_form(model: CNNRNN) -> FileForm:
    """See `FileForm`; a state is the image's share of the scores and the recurrent state."""
    longest = model.max_labels
    return FileForm(
        _Greedy(model),
        decoding=Decoding(
            model.search,
            _Start(model),
            _Step(model.paths),
            _Evidence(model),
            memory=0,
            longest=longest,
        ),
    )


class _Greedy(nn.Module):
    """`CNNRNN.forward` with a greedy search of a fixed number of steps, which a graph can hold."""

    def __init__(self, model: CNNRNN) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Output:
        features = self.model.backbone(images)
        pooled = features.mean(dim=(2, 3))
        path = greedy_path(self.model.paths, self.model.paths.image(pooled), self.model.max_labels)
        return self.model.along(path, features, pooled)._replace(features=features, vector=pooled)


def greedy_path(paths: LabelPaths, image: Tensor, longest: int) -> Tensor:
    """The path that takes the most probable label at every step until it ends.

    Args:
        paths: Of the model.
        image: (B, E), the image's share of the scores.
        longest: The most labels.

    Returns:
        (B, longest), padded with -1.
    """
    state = paths.cell.initial_state(image.new_zeros(image.shape[0], paths.cell.hidden_size))
    last = torch.full_like(image[:, 0], paths.start, dtype=torch.long)
    named = torch.zeros_like(image[:, :1]).expand(-1, paths.start)
    going = torch.ones_like(last, dtype=torch.bool)
    labels = []
    for _ in range(longest):
        output, state = paths.cell(paths.embedding(last), state)
        log_probs = paths.log_probs((paths.recurrent(output) + image).relu())
        last = log_probs.masked_fill(named > 0, -torch.inf).argmax(dim=1)
        going = going & (last != paths.end)
        named = named + F.one_hot(last, paths.start)
        labels.append(last.masked_fill(~going, -1))
    return torch.stack(labels, dim=1)


class _Start(nn.Module):
    def __init__(self, model: CNNRNN) -> None:
        super().__init__()
        self.paths = model.paths

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        image = self.paths.image(features.mean(dim=(2, 3)))
        root = image.new_zeros(image.shape[0], self.paths.cell.hidden_size)
        return image, *self.paths.cell.initial_state(root)


class _Step(nn.Module):
    def __init__(self, paths: LabelPaths) -> None:
        super().__init__()
        self.paths = paths

    def forward(self, tokens: Tensor, image: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        output, after = self.paths.cell(self.paths.embedding(tokens), state)
        # In float64, as the cache of the model: a score near 1 keeps its distance from it.
        log_probs = self.paths.log_probs((self.paths.recurrent(output) + image).relu().double())
        # A graph may hand an input on only as an operation's result.
        return log_probs, image.clone(), *after


class _Evidence(nn.Module):
    def __init__(self, model: CNNRNN) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        image = self.model.paths.image(features.mean(dim=(2, 3)))
        projected = self.model.paths.project(image, tokens)[:, :-1]
        return self.model.label_maps(features, projected, tokens)
