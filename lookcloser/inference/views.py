"""Several views of one image at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lookcloser.core.choices import TRAITS
from lookcloser.core.errors import LookcloserError, UsageError, unknown
from lookcloser.core.header import ModelHeader
from lookcloser.core.hooks import evaluating
from lookcloser.explain import VIEWS
from lookcloser.models import Model
from lookcloser.models.cam.twice import LooksTwice

ScoresOf = Callable[[Tensor], Tensor]

DEFAULT_VIEWS = ("cam", "gradcam", "saliency")
ALL = "all"
_OF_PLACES = (
    "Its answer comes from the places that it looks at again: take cam, the map of that answer, or "
    "saliency or occlusion, whose maps lie on the pixels of the image"
)


def check_views(views: Sequence[str] | None) -> None:
    """Raise a `UsageError` for a view that is not one, naming those that look like it."""
    check_list("views", views)
    for view in views or ():
        if not isinstance(view, str) or (view not in VIEWS and view != ALL):
            raise unknown(view, "view", (*VIEWS, ALL))


def check_list(option: str, names: object) -> None:
    """Raise a `UsageError` for one name where a list of them is asked for."""
    if isinstance(names, str) or not (names is None or isinstance(names, Sequence)):
        raise UsageError(f"{option} = {names!r:.60}", allowed=f"a list, as in {option}=['…']")


def check_task(header: ModelHeader) -> None:
    """Raise a `LookcloserError` for a captioner, of which there are no views."""
    if header.task == "captioning":
        raise LookcloserError(
            f"{header.method}: writes captions, and a view is of one class",
            fix="`lookcloser predict RUN IMAGE --save FOLDER` draws where it looked for each "
            "word; in Python, `predict` gives a region for each",
        )


def scores_of(header: ModelHeader) -> ScoresOf:
    """What makes scores of logits (..., C), as `lookcloser.runtime.label_scores` does."""

    def scores(logits: Tensor) -> Tensor:
        calm = logits.float() / header.calibration.temperature
        return calm.sigmoid() if TRAITS[header.task].labels == "some" else calm.softmax(dim=-1)

    return scores


def look(
    model: nn.Module,
    images: Tensor,
    targets: int | Tensor,
    views: Sequence[str] | None,
    scores: ScoresOf | None = None,
) -> dict[str, Tensor]:
    """The maps of each view by its name: (B, h, w), or (B, K, h, w) for several classes.

    Args:
        model: Any classifier.
        images: (B, 3, H, W).
        targets: The class, or classes (B, K).
        views: Names in `VIEWS`; None takes `DEFAULT_VIEWS`, and "all" among them every view, both
            without those that this network does not have. Of a method of lookcloser "cam" is its
            own map, also where that is not one linear layer on averaged features.
        scores: What makes scores of its logits, for a view of scores (RISE); None takes softmax.

    Raises:
        LookcloserError: For an unknown view, and for one that this network does not have.
    """
    check_views(views)
    twice = isinstance(model, LooksTwice) and model.closer is not None
    asked = DEFAULT_VIEWS if views is None else tuple(VIEWS) if ALL in views else views
    found = {}
    for view in asked:
        try:
            found[view] = _view(view, model, images, targets, scores)
        except LookcloserError as error:
            if views is not None and ALL not in views:
                what, fix = f"{view}: {error.what}", _OF_PLACES if twice else error.fix
                raise type(error)(what, allowed=error.allowed, fix=fix) from error
    return found


def _view(
    name: str, model: nn.Module, images: Tensor, targets: int | Tensor, scores: ScoresOf | None
) -> Tensor:
    if name == "cam" and isinstance(model, Model):
        several = torch.tensor([[targets]]) if isinstance(targets, int) else targets
        several = several.to(images.device).expand(len(images), -1)
        with torch.no_grad(), evaluating(model):
            maps = model(images, targets=several).maps
        if maps is not None:
            own: Tensor = maps if isinstance(targets, Tensor) else maps[:, 0]
            return own
    own_scores = {"score": scores} if scores is not None and name == "rise" else {}
    found: Tensor = VIEWS[name](model, images, targets, **own_scores)
    return found
