"""RISE: the mean of random masks, weighted by the score each leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookcloser.core.errors import LookcloserError
from lookcloser.core.options import whole
from lookcloser.core.sizes import Grid
from lookcloser.explain.context import at_least, full_precision, seeded
from lookcloser.explain.layers import check_sees
from lookcloser.explain.masking import block_size, masked_scores
from lookcloser.explain.targets import Targets, as_asked, chosen


def probabilities(logits: Tensor) -> Tensor:
    """Softmax over classes, the last dimension; of a single class the sigmoid."""
    return logits.softmax(dim=-1) if logits.shape[-1] > 1 else logits.sigmoid()


def rise(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    *,
    masks: int = 1000,
    cells: int = 7,
    keep: float = 0.5,
    score: Callable[[Tensor], Tensor] = probabilities,
    seed: int = 0,
) -> Tensor:
    """RISE (Petsiuk et al., BMVC 2018): Σ_i score_c(x ⊙ m_i) m_i / (N · keep).

    Args:
        model: Any network. It is left as it was found; needs no gradient.
        images: (B, 3, H, W).
        targets: None for the best class of each image, an int, (B,) or (B, K); any number costs
            the same.
        masks: Number of masks N, each one forward pass. The paper takes 4,000 to 8,000.
        cells: Cells of a mask along each side before it is enlarged.
        keep: Probability that a cell is kept.
        score: From logits (..., C) to scores of the same shape; `torch.sigmoid` for labels that do
            not exclude one another.
        seed: Of the masks, which are the same for all images of a batch; the global random state
            is not touched.

    Returns:
        float32 (B, H, W), or (B, K, H, W) for targets (B, K), not normalized; see `normalize`.

    Raises:
        LookcloserError: For targets out of range.
    """
    whole(1, masks=masks, cells=cells)
    at_least(0, keep=keep)
    if not 0 < keep <= 1:
        raise LookcloserError(f"keep = {keep}", allowed="above 0, at most 1")
    if not callable(score):
        raise LookcloserError(f"score = {score!r:.60}", allowed="a function from logits to scores")
    indices, several = chosen(model, images, targets)
    size = Grid(*images.shape[-2:])
    total = torch.zeros(*indices.shape, *size, device=images.device)
    changes = torch.zeros(indices.shape, device=images.device)
    first: Tensor | None = None
    for block in random_masks(masks, size, cells, keep, seed, block_size(images)):
        own = block.to(images.device)
        (scores,) = masked_scores(model, images, [own[:, None, None]], indices, score)
        with full_precision(images):
            total += torch.einsum("nbk,nhw->bkhw", scores, own)
        first = scores[0] if first is None else first
        changes += (scores - first).abs().sum(dim=0)
    check_sees(model, images, changes)
    return as_asked(total / (masks * keep), several)


def random_masks(
    count: int, size: Grid, cells: int, keep: float, seed: int, block: int
) -> Iterator[Tensor]:
    """Smooth random masks in [0, 1], float32 (≤ block, H, W) at a time.

    A grid of ``cells``² kept or dropped cells, enlarged bilinearly to one cell more than the image,
    and cut at a random offset, as in the paper. ``block`` does not change the masks.
    """
    generator = seeded(seed)
    height, width = size
    high, wide = -(-height // cells), -(-width // cells)  # pixels of one cell, rounded up
    grids = torch.rand(count, 1, cells, cells, generator=generator).lt(keep).float()
    tops = torch.randint(high, (count,), generator=generator).tolist()
    lefts = torch.randint(wide, (count,), generator=generator).tolist()
    large = ((cells + 1) * high, (cells + 1) * wide)
    for start in range(0, count, block):
        part = slice(start, start + block)
        enlarged = F.interpolate(grids[part], large, mode="bilinear", align_corners=False)[:, 0]
        yield torch.stack(
            [
                mask[top : top + height, left : left + width]
                for mask, top, left in zip(enlarged, tops[part], lefts[part], strict=True)
            ]
        )
