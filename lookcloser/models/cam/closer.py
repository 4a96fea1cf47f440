"""A second look of a classifier: the best places of an image, cut out and seen again."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookcloser.core.sizes import Grid
from lookcloser.layers import crop_and_zoom
from lookcloser.layers.boxcar import exact, pixel_centers
from lookcloser.layers.canvas import on_one_canvas
from lookcloser.layers.class_head import ClassHead
from lookcloser.models.solved import RootedChannels, rooted

_ABSENT = -1e4  # log-odds of a place that there is not
_WINDOW = 2 / 3


class Seen(NamedTuple):
    """What a second look found, the place that counts most first.

    Attributes:
        boxes: (B, K, 3), ``(cx, cy, half-side)`` in [-1, 1] of the image.
        weights: (B, K) how much each place counts; they sum to 1.
        logits: (B, K, C) of each place alone.
        features: (B, K, D, h, w) rooted features of the crops.
        vectors: (B, K, D) their means.
    """

    boxes: Tensor
    weights: Tensor
    logits: Tensor
    features: Tensor
    vectors: Tensor


class SecondLook(nn.Module):
    """Finds the best places of an image, and sees each of them again.

    One head, the finder, is laid over the features of the whole image, averaged over windows and
    rooted. Beside the classes it knows "elsewhere": windows where no class was seen. The places
    that are least like elsewhere are cut from the image and seen through the backbone at the size
    of an ordinary input, by a head of their own. The answer is the mean of its logits there,
    weighted by how sure both looks are that there is something. Where the whole image has a say,
    its own logits at that size are mixed in.

    Args:
        width: D of the backbone.
        num_classes: C.
        places: K.
        share: Side of a crop as a share of the image's.
        view: Side of the input at which a crop is seen.
        whole: Share of the whole image in the logits of the answer, in [0, 1).
        whole_temperature: By which the whole image's own logits are divided.
    """

    def __init__(
        self,
        width: int,
        num_classes: int,
        places: int,
        share: float,
        view: int,
        whole: float = 0.0,
        whole_temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.count, self.share, self.view = places, share, view
        self.whole, self.whole_temperature = whole, whole_temperature
        self.root = RootedChannels()
        # Their logits are at their own temperature, so that softmax says how sure they are.
        self.finder = ClassHead(width, num_classes + 1)
        self.head = ClassHead(width, num_classes)
        self.temperature: Tensor
        self.register_buffer("temperature", torch.ones(()))

    def extra_repr(self) -> str:
        """What tells one from another beside its weights."""
        return f"{self.count} places of {self.share:g} at {self.view}, whole image {self.whole:g}"

    def places(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Where to look in images with the backbone's features (B, D, h, w).

        Returns:
            Boxes (B, K, 3), and how present any class is in them (B, K), in log-odds.
        """
        return best_places(presence(features, self.finder, self.share), self.count, self.share)

    def forward(
        self, images: Tensor, features: Tensor, backbone: Callable[[Tensor], Tensor]
    ) -> Seen:
        """Look again.

        Args:
            images: (B, 3, H, W).
            features: Of the backbone for them, (B, D, h, w).
            backbone: Images -> features.
        """
        boxes, present, found = self.crops(images, features, backbone)
        vectors = found.mean(dim=(2, 3))
        logits = self._by_image(self.head(vectors))
        weights = place_weights(logits, present)
        order = weights.topk(self.count, dim=1).indices
        values = boxes, weights, logits, self._by_image(found), self._by_image(vectors)
        return Seen(*(_ranked(value, order) for value in values))

    def crops(
        self, images: Tensor, features: Tensor, backbone: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The places, boxes and log-odds as of `places`, and rooted features (B K, D, h, w)."""
        boxes, present = self.places(features)
        return boxes, present, self.root(backbone(cut(images, boxes, self.view)))

    def _by_image(self, values: Tensor) -> Tensor:
        """(B K, …) -> (B, K, …)."""
        return values.reshape(-1, self.count, *values.shape[1:])

    def combined(self, seen: Seen, first: Tensor | None = None) -> Tensor:
        """(B, C) the logits of the answer: those of the places, by how much each counts.

        Args:
            seen: What was found.
            first: (B, C) of the whole image, where it has a say.
        """
        found = (seen.weights[:, :, None] * seen.logits).sum(dim=1)
        return found if first is None else self.whole * first + (1 - self.whole) * found

    def maps(
        self, seen: Seen, tokens: Tensor | None, size: Grid, first: Tensor | None = None
    ) -> Tensor:
        """The class maps of the answer on the whole image: those of the crops where they were cut.

        Args:
            seen: What was found.
            tokens: (B, K) whose maps; None: of every class.
            size: Of the result.
            first: (B, C or K, h, w) maps of the whole image, where it has a say.

        Returns:
            (B, C or K, height, width), whose mean is the logit less the bias up to interpolation.
        """
        places = zip(seen.features.unbind(1), seen.weights.unbind(1), strict=True)
        rest = 1 if first is None else 1 - self.whole
        each = [
            rest * weight[:, None, None, None] * self.head.maps(features, tokens)
            for features, weight in places
        ]
        boxes = list(seen.boxes.unbind(1))
        if first is not None:
            each.append(self.whole * first)
            boxes.append(whole_boxes(first)[:, 0])
        return on_one_canvas(each, boxes, size)


def presence(features: Tensor, finder: ClassHead, share: float) -> Tensor:
    """(B, h, w) log-odds of any class against elsewhere at each place of features (B, D, h, w).

    Args:
        features: Of the backbone for whole images.
        finder: Its last class is elsewhere.
        share: Side of a crop as a share of the image's.
    """
    means = window_means(features, share)
    logits = finder.maps(means) + finder.bias.to(means.dtype)[:, None, None]
    return logits[:, :-1].logsumexp(dim=1) - logits[:, -1]


def window_means(features: Tensor, share: float) -> Tensor:
    """(B, D, h, w) rooted means of the windows around each place, two thirds of a crop wide.

    What is looked for is smaller than the crop that holds it, and a window has whole places.
    """
    sides = [2 * round((_WINDOW * share * side - 1) / 2) + 1 for side in features.shape[-2:]]
    height, width = (max(side, 1) for side in sides)
    padding = (height // 2, width // 2)
    return rooted(F.avg_pool2d(features, (height, width), 1, padding, count_include_pad=False))


def best_places(scores: Tensor, count: int, share: float) -> tuple[Tensor, Tensor]:
    """The places of the highest scores (B, h, w), each half a side away from those before it.

    Returns:
        Boxes (B, count, 3) around them, moved inside the image, and their scores (B, count).
    """
    height, width = scores.shape[-2:]
    ys, xs = pixel_centers(height, scores), pixel_centers(width, scores)
    half = torch.full_like(scores[:, 0, :1], share)
    left, found, highest = scores, [], []
    for _ in range(count):
        value, index = left.flatten(1).max(dim=1)
        highest.append(value)
        y, x = ys[index // width][:, None], xs[index % width][:, None]
        found.append(torch.cat([_inside(x, share), _inside(y, share), half], dim=1))
        near = ((ys - y).abs() < share)[:, :, None] & ((xs - x).abs() < share)[:, None, :]
        left = left.masked_fill(near, float("-inf"))
    # Where there are fewer places than asked for, the rest has no score.
    return torch.stack(found, dim=1), torch.stack(highest, dim=1).clamp(min=_ABSENT)


def _inside(center: Tensor, half_side: float) -> Tensor:
    return center.clamp(half_side - 1, 1 - half_side)


def whole_boxes(like: Tensor) -> Tensor:
    """(B, 1, 3) the boxes of whole images, in the type and place of ``like`` (B, …)."""
    return torch.cat([like.new_zeros(like.shape[0], 1, 2), like.new_ones(like.shape[0], 1, 1)], 2)


def cut(images: Tensor, boxes: Tensor, view: int) -> Tensor:
    """Crops (B K, 3, view, view) of images (B, 3, H, W) at boxes (B, K, 3)."""
    several = images[:, None].expand(-1, boxes.shape[1], -1, -1, -1).flatten(0, 1)
    return crop_and_zoom(several, exact(boxes.flatten(0, 1)), view)


def place_weights(logits: Tensor, present: Tensor) -> Tensor:
    """(B, K) how much each place counts: by both looks, whose log-odds add up.

    Args:
        logits: (B, K, C) of the second look, at their temperature. By how much the highest is
            above the mean says whether there is any class, as in `uncertainty.evidence`.
        present: (B, K) the log-odds of the first look.
    """
    above = logits.amax(dim=2) - logits.mean(dim=2)
    return (above + present.to(above.dtype)).softmax(dim=1)


def _ranked(values: Tensor, order: Tensor) -> Tensor:
    """Values (B, K, …) in an order (B, K)."""
    index = order.reshape(*order.shape, *[1] * (values.ndim - 2))
    return values.gather(1, index.expand_as(values))
