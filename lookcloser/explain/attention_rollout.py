"""Attention rollout: where a transformer's tokens come from."""

from __future__ import annotations

from torch import Tensor, nn

from lookcloser.explain.attention import AttentionWeights
from lookcloser.explain.context import check_images, full_precision, looking
from lookcloser.explain.outputs import run
from lookcloser.explain.targets import Targets, as_asked, counted
from lookcloser.explain.tokens import no_attention, on_grid, read_tokens, through


def attention_rollout(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """Attention rollout (Abnar and Zuidema, ACL 2020): Π (A_l + I) / 2, the rows the answer reads.

    A_l are the attention weights of block l, averaged over heads. The rows are those of the class
    token, of the patches where those are averaged, or of a pooling attention. Fused attention is
    written out for the time of the call. **The map is the same for every target.**

    Args:
        model: A vision transformer with attention over the whole image (timm, torchvision). It is
            left as it was found; weights need no gradient.
        images: (B, 3, H, W).
        targets: None, an int, (B,) or (B, K): only how many maps are wanted.

    Returns:
        float32 (B, h, w), or (B, K, h, w) for targets (B, K), on the grid of patches and not
        normalized; see `normalize`.

    Raises:
        LookcloserError: For a network without attention over all patches, and for targets out of
            range.
    """
    check_images(model, images)
    joint: Tensor | None = None

    def see(weights: Tensor) -> Tensor:
        nonlocal joint
        with full_precision(images):
            joint = through(model, images, joint, weights.float().mean(dim=1), share=0.5)
        return weights

    with looking(model, images) as pixels, AttentionWeights(see):
        output = run(model, pixels)
    if joint is None:
        raise no_attention(model)
    count, several = counted(targets, output)
    read = read_tokens(model, images, joint.shape[1])
    maps = on_grid(model, images, joint, read)
    return as_asked(maps[:, None].expand(-1, count, -1, -1).contiguous(), several)
