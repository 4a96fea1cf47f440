"""Scores of many masked copies of the images, a block at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError
from lookcloser.explain.context import looking
from lookcloser.explain.outputs import logits_from

MOST_IMAGES = 64  # in one forward pass; enough to fill a processor, little memory


def block_size(images: Tensor) -> int:
    """How many masks of every image go into one forward pass."""
    return max(1, MOST_IMAGES // len(images))


def masked_scores(
    model: nn.Module,
    images: Tensor,
    blocks: Iterable[Tensor],
    indices: Tensor,
    score: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[Tensor]:
    """Scores of the targets for every mask; any number of targets costs the same.

    Args:
        model: Any network.
        images: (B, 3, H, W).
        blocks: Masks to multiply with, (n, 1, 1, H, W) for all images alike or (n, B, 1, H, W).
        indices: (B, K), the targets.
        score: From float32 logits (n, B, C) to scores of the same shape; None keeps the logits.

    Yields:
        float32 (n, B, K) per block.
    """
    for masks in blocks:
        with looking(model, images) as pixels:
            masked = (masks.to(pixels) * pixels).flatten(0, 1)
            logits = logits_from(model, masked).float()
            logits = logits.reshape(len(masks), len(images), -1)
            scores = logits if score is None else score(logits)
            if scores.shape != logits.shape:
                raise LookcloserError(
                    f"score gives {tuple(scores.shape)} for logits {tuple(logits.shape)}",
                    allowed="a function that keeps the shape, such as torch.sigmoid",
                )
            found = scores.gather(2, indices.expand(len(masks), -1, -1))
        yield found
