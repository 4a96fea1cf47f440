"""Whether maps point at what the network uses: its score while pixels go in the maps' order.

Deletion, insertion and ROAD change the images and ask the network again. It comes as a callable
``predict``: images (n, C, H, W) -> (n, classes), best probabilities, so that areas lie in [0, 1].
A module is put into evaluation mode for the time, and no gradient is kept.

The order of pixels is that of the map, the highest first. Pixels of the same value, which relu
makes many of, go in an order that is drawn from ``seed``; in reading order, an empty map would
remove the sky first and score like evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from lookcloser.core import LookcloserError
from lookcloser.core.hooks import evaluating
from lookcloser.core.sizes import Grid
from lookcloser.metrics.imputation import Baseline, baseline_images, impute_linearly
from lookcloser.metrics.maps import as_maps, upsample_maps

Floats = NDArray[np.float64]
Predict = Callable[[Tensor], Tensor]
# Rows of images, (n,), and the pixels that go from each, (n, 1, H, W): -> changed images.
Change = Callable[[Tensor, Tensor], Tensor]

ROAD_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)


class FaithfulnessCurve(NamedTuple):
    """What the network says while images change.

    Attributes:
        shares: (S,) of the pixels that have changed.
        scores: (N, S) of the target.
        hits: (N, S) whether the target is the best class.
    """

    shares: Floats
    scores: Floats
    hits: NDArray[np.bool_]

    def auc(self) -> Floats:
        """(N,) the mean height of each curve: its area by trapezoids over its width in shares."""
        heights = (self.scores[:, 1:] + self.scores[:, :-1]) / 2
        widths = np.diff(self.shares)
        areas: Floats = heights @ (widths / widths.sum())
        return areas

    def accuracy(self) -> Floats:
        """(S,) share of images whose best class is the target."""
        accuracy: Floats = self.hits.mean(axis=0)
        return accuracy


class Road(NamedTuple):
    """The curves of `road`.

    Attributes:
        most: The most important pixels are removed; scores should fall.
        least: The least important pixels are removed; scores should stay.
    """

    most: FaithfulnessCurve
    least: FaithfulnessCurve

    def score(self) -> Floats:
        """(N,) half the mean distance between the two curves: higher is better, 0 is chance."""
        gaps: Floats = (self.least.scores - self.most.scores).mean(axis=1) / 2
        return gaps


def deletion(
    predict: Predict,
    images: Tensor,
    maps: ArrayLike,
    targets: ArrayLike,
    *,
    baseline: Baseline | Tensor = "mean",
    steps: int = 50,
    seed: int = 0,
    batch_size: int = 32,
) -> FaithfulnessCurve:
    """The score while the most important pixels are replaced: a low area is good.

    Args:
        predict: (n, C, H, W) -> (n, classes), see `lookcloser.metrics.faithfulness`.
        images: (N, C, H, W), as the network takes them.
        maps: (N, h, w); of another size than the images, they are enlarged as by `upsample_maps`.
        targets: (N,) the class of each map.
        baseline: What replaces pixels: "blur", "mean" of the image, "zero", or a tensor; see
            `lookcloser.metrics.imputation.baseline_images`. It decides much of the score, so
            compare only scores with the same one.
        steps: Of equal numbers of pixels, after the unchanged image.
        seed: For the order of equal pixels.
        batch_size: Changed images in one call of ``predict``.

    Returns:
        ``steps`` + 1 scores from the unchanged image (share 0) to the baseline (share 1).

    Raises:
        LookcloserError: If shapes or options are not as described, or a map is not finite.

    Source: Petsiuk et al., "RISE", BMVC 2018, section 3.2, which deletes to zero.
    """
    ranks = pixel_ranks(maps, images, seed)
    empty = baseline_images(images, baseline)

    def delete(rows: Tensor, gone: Tensor) -> Tensor:
        return torch.where(gone, empty[rows], images[rows])

    return _curve(predict, delete, ranks, images, targets, _steps(steps), batch_size)


def insertion(
    predict: Predict,
    images: Tensor,
    maps: ArrayLike,
    targets: ArrayLike,
    *,
    baseline: Baseline | Tensor = "blur",
    steps: int = 50,
    seed: int = 0,
    batch_size: int = 32,
) -> FaithfulnessCurve:
    """The score while the most important pixels appear on a baseline: a high area is good.

    Arguments, result and errors as in `deletion`, from the baseline (share 0) to the image (share
    1). The blurred start, as in RISE, has no sharp edges that would look like an object.
    """
    ranks = pixel_ranks(maps, images, seed)
    empty = baseline_images(images, baseline)

    def insert(rows: Tensor, gone: Tensor) -> Tensor:
        return torch.where(gone, images[rows], empty[rows])

    return _curve(predict, insert, ranks, images, targets, _steps(steps), batch_size)


def road(
    predict: Predict,
    images: Tensor,
    maps: ArrayLike,
    targets: ArrayLike,
    *,
    shares: Sequence[float] = ROAD_SHARES,
    noise: float = 0.01,
    seed: int = 0,
    batch_size: int = 32,
) -> Road:
    """Remove and debias: pixels are replaced so smoothly that the shape of the gap tells nothing.

    Replacements are those of `lookcloser.metrics.imputation.impute_linearly`, plus noise, so that
    they cannot be told from real pixels by being smooth.

    Args:
        predict: As in `deletion`.
        images: As in `deletion`.
        maps: As in `deletion`.
        targets: As in `deletion`.
        shares: Of the pixels removed, ascending, above 0 and below 1.
        noise: Standard deviation of what is added to replaced pixels, in the units of ``images``.
        seed: For the noise and for the order of equal pixels.
        batch_size: As in `deletion`.

    Returns:
        The curves for the most and for the least important pixels.

    Raises:
        LookcloserError: As in `deletion`.

    Source: Rong et al., ICML 2022.
    """
    wanted = _checked_shares(shares)
    most = pixel_ranks(maps, images, seed)
    least = most.shape[1] - 1 - most
    drawn = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    grain = (noise * drawn).to(images)

    def remove(rows: Tensor, gone: Tensor) -> Tensor:
        return impute_linearly(images[rows], gone) + gone * grain[rows]

    return Road(
        *(
            _curve(predict, remove, ranks, images, targets, wanted, batch_size)
            for ranks in (most, least)
        )
    )


def pixel_ranks(maps: ArrayLike, images: Tensor, seed: int = 0) -> Tensor:
    """The place of each pixel of ``images`` in the order of its map, 0 for the most important.

    Args:
        maps: (N, h, w), enlarged where they are smaller than the images.
        images: (N, C, H, W).
        seed: For the order of equal pixels, one for all images.

    Returns:
        (N, H · W) int64, on the images' device.

    Raises:
        LookcloserError: If there is not one finite map for each image.
    """
    array = as_maps(maps)
    if images.ndim != 4 or len(array) != len(images):
        raise LookcloserError(
            f"maps of shape {array.shape} for images of shape {tuple(images.shape)}",
            allowed="(N, h, w) for (N, C, H, W)",
        )
    grid = Grid(*images.shape[2:])
    if not np.isfinite(array).all():
        raise LookcloserError("maps with NaN or without bounds", allowed="Finite maps")
    if array.shape[1:] != grid:
        array = upsample_maps(array, grid.image_size)
    drawn = np.random.default_rng(seed).permutation(grid.rows * grid.columns)
    order = drawn[np.argsort(-array.reshape(len(array), -1)[:, drawn], axis=1, kind="stable")]
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(grid.rows * grid.columns)[None], axis=1)
    return torch.from_numpy(ranks).to(images.device)


def _checked_shares(shares: Sequence[float]) -> Floats:
    wanted = np.asarray(shares, dtype=np.float64)
    if not (wanted.size and np.all((wanted > 0) & (wanted < 1)) and np.all(np.diff(wanted) > 0)):
        raise LookcloserError(
            f"shares = {tuple(shares)}", allowed="Ascending, all above 0 and below 1"
        )
    return wanted


def _steps(steps: int) -> Floats:
    if steps < 1:
        raise LookcloserError(f"steps = {steps}", allowed="1 or more")
    return np.linspace(0, 1, steps + 1)


def _curve(
    predict: Predict,
    change: Change,
    ranks: Tensor,
    images: Tensor,
    targets: ArrayLike,
    shares: Floats,
    batch_size: int,
) -> FaithfulnessCurve:
    """Scores of every image at every share, in batches of both together."""
    count, pixels = ranks.shape
    classes = torch.as_tensor(np.asarray(targets), device=images.device).long()
    if classes.shape != (count,):
        raise LookcloserError(f"targets of shape {tuple(classes.shape)}", allowed=f"({count},)")
    numbers = torch.from_numpy(np.rint(shares * pixels).astype(np.int64)).to(images.device)
    places = torch.arange(count * len(shares), device=images.device)
    scores, hits = [], []
    mode = evaluating(predict) if isinstance(predict, nn.Module) else nullcontext()
    with torch.no_grad(), mode:
        for begin in range(0, len(places), batch_size):
            part = places[begin : begin + batch_size]
            rows, steps = part // len(shares), part % len(shares)
            gone = ranks[rows] < numbers[steps][:, None]
            answers = predict(change(rows, gone.view(-1, 1, *images.shape[2:])))
            _check(answers, len(part), classes)
            wanted = classes[rows]
            scores.append(answers.gather(1, wanted[:, None])[:, 0].double().cpu())
            hits.append((answers.argmax(dim=1) == wanted).cpu())
    shape = (count, len(shares))
    return FaithfulnessCurve(
        shares, torch.cat(scores).numpy().reshape(shape), torch.cat(hits).numpy().reshape(shape)
    )


def _check(answers: Tensor, count: int, targets: Tensor) -> None:
    if not isinstance(answers, Tensor) or answers.ndim != 2 or len(answers) != count:
        what = tuple(answers.shape) if isinstance(answers, Tensor) else type(answers).__name__
        raise LookcloserError(
            f"`predict` returned {what} for {count} images",
            allowed=f"A tensor ({count}, classes)",
            fix="Wrap the network, for example in `lambda images: model(images).softmax(1)`",
        )
    if int(targets.min()) < 0 or int(targets.max()) >= answers.shape[1]:
        raise LookcloserError(
            f"targets from {int(targets.min())} to {int(targets.max())}",
            allowed=f"0 … {answers.shape[1] - 1}",
        )
