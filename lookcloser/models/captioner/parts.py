"""A captioner as a file holds it: the features, and the parts of the search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from lookcloser.core.types import Output
from lookcloser.models.captioner.evidence import gradient_maps, shifted
from lookcloser.models.file_form import Decoding, FileForm

if TYPE_CHECKING:
    from lookcloser.models.captioner.model import Captioner


def file_form(captioner: Captioner) -> FileForm:
    """See `FileForm`; a state is the row of the image, the context and the cell's state."""
    return FileForm(
        _Features(captioner),
        decoding=Decoding(
            captioner.search,
            _Start(captioner),
            _Step(captioner),
            _Evidence(captioner),
            memory=0 if captioner.attention is None else 1,
            longest=captioner.max_length,
        ),
    )


class _Part(nn.Module):
    def __init__(self, captioner: Captioner) -> None:
        super().__init__()
        self.captioner = captioner


class _Features(_Part):
    def forward(self, images: Tensor) -> Output:
        features = self.captioner.backbone(images)
        return self.captioner.describe(features)._replace(vector=features.mean(dim=(2, 3)))


class _Start(_Part):
    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        state = self.captioner.search_state(features)
        if self.captioner.attention is None:
            return state
        return self.captioner.attention.places(features), *state


class _Step(_Part):
    def forward(self, tokens: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        attends = self.captioner.attention is not None
        places, state = (given[0], given[1:]) if attends else (None, given)
        log_probs, (image, context, *after) = self.captioner.advance(state, tokens, places)
        # A graph may hand an input on only as an operation's result.
        return log_probs, image.clone(), context.clone(), *after


class _Evidence(_Part):
    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        if self.captioner.attention is None:
            maps = gradient_maps(self.captioner, features, tokens)
        else:
            weights = self.captioner.states(features, shifted(tokens))[1]
            assert weights is not None  # of one that attends
            places = (features.shape[2], features.shape[3])
            maps = weights.reshape(weights.shape[0], weights.shape[1], *places)
        return maps * (tokens >= 0)[..., None, None]
