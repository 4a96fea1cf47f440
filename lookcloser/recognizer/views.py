"""Several views of one image at once."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError, unknown
from lookcloser.explain import VIEWS

DEFAULT_VIEWS = ("cam", "gradcam", "saliency")


def look(
    model: nn.Module, images: Tensor, targets: int | Tensor, views: Sequence[str] | None
) -> dict[str, Tensor]:
    """The maps of each view by its name: (B, h, w), or (B, K, h, w) for several classes.

    Args:
        model: Any classifier.
        images: (B, 3, H, W).
        targets: The class, or classes (B, K).
        views: Names in `VIEWS`; None takes `DEFAULT_VIEWS`, without those that this network does
            not have.

    Raises:
        LookcloserError: For an unknown view, and for one that this network does not have.
    """
    for view in views or ():
        if view not in VIEWS:
            raise unknown(view, "view", VIEWS)
    found = {}
    for view in DEFAULT_VIEWS if views is None else views:
        try:
            found[view] = VIEWS[view](model, images, targets)
        except LookcloserError as error:
            if views is not None:
                what = f"{view}: {error.what}"
                raise type(error)(what, allowed=error.allowed, fix=error.fix) from error
    return found
