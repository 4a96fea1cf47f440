"""MaxBoxAcc at many thresholds against one connected-component call per threshold and map.

The peers only threshold and find boxes; lookcloser also normalises, compares with true boxes and
scores. Peers run on a few of the maps, and all times are per map. Everything uses one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import torch
from _harness import arguments, interleave, machine, report, summary
from scipy import ndimage

from lookcloser.metrics.localisation import box_overlaps, max_box_acc
from lookcloser.metrics.maps import normalise, upsample_maps
from lookcloser.metrics.pixels import pxap

SIDE = 224
EVERYWHERE = np.ones((3, 3), dtype=int)
Boxes = list[tuple[int, int, int, int]]


def random_maps(count: int, grid: int, seed: int) -> np.ndarray:
    """Smooth blobs, a seventh of the map wide, on a grid of a network's last layer, enlarged."""
    noise = torch.randn(count, 1, grid, grid, generator=torch.Generator().manual_seed(seed))
    width = max(1, grid // 7 * 2 - 1)
    for _ in range(2):
        noise = torch.nn.functional.avg_pool2d(noise, width, 1, width // 2, count_include_pad=False)
    return upsample_maps(noise[:, 0].relu(), (SIDE, SIDE))


def mixed_maps(count: int) -> np.ndarray:
    """Maps of 7×7, 14×14 and 28×28 in turn."""
    maps = np.empty((count, SIDE, SIDE), np.float32)
    for turn, grid in enumerate((7, 14, 28)):
        maps[turn::3] = random_maps(len(range(turn, count, 3)), grid, seed=grid)
    return maps


def true_boxes(count: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    low = generator.integers(0, SIDE // 2, (count, 2))
    return np.concatenate([low, low + generator.integers(20, SIDE // 2, (count, 2))], axis=1)


def level_sets(maps: np.ndarray, thresholds: np.ndarray) -> Iterator[np.ndarray]:
    for image in (normalise(maps) * 255).astype(np.uint8):
        for threshold in thresholds:
            yield cv2.threshold(image, int(threshold * 255), 255, cv2.THRESH_BINARY)[1]


def contours(mask: np.ndarray) -> Boxes:
    found = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
    return [cv2.boundingRect(contour) for contour in found]


def largest_contour(mask: np.ndarray) -> Boxes:
    found = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
    return [cv2.boundingRect(max(found, key=cv2.contourArea))] if found else []


def opencv_components(mask: np.ndarray) -> Boxes:
    stats = cv2.connectedComponentsWithStats(mask, connectivity=8)[2]
    return [tuple(row[:4]) for row in stats[1:].tolist()]


def scipy_components(mask: np.ndarray) -> Boxes:
    found = ndimage.find_objects(ndimage.label(mask, EVERYWHERE)[0])
    return [(x.start, y.start, x.stop - x.start, y.stop - y.start) for y, x in found]


def loop(find: Callable[[np.ndarray], Boxes], maps: np.ndarray, thresholds: np.ndarray) -> None:
    for mask in level_sets(maps, thresholds):
        find(mask)


def histograms(maps: np.ndarray, masks: np.ndarray) -> None:
    """The pooling of the reference's PxAP, without the final score."""
    edges = np.append(np.arange(0, 1, 0.001), [1.0, 2.0, 3.0])
    for values, mask in zip(normalise(maps), masks, strict=True):
        np.histogram(values[mask == 1], edges)
        np.histogram(values[mask == 0], edges)


def check(maps: np.ndarray, boxes: np.ndarray, thresholds: np.ndarray) -> None:
    """The boxes found are the peers': an exactly matching true box has IoU 1."""
    for find, mode in ((contours, "reference"), (opencv_components, "corrected")):
        for index, mask in enumerate(level_sets(maps, thresholds)):
            image, step = divmod(index, len(thresholds))
            for x, y, w, h in find(mask):
                end = [min(x + w, SIDE - 1), min(y + h, SIDE - 1)]
                true = [x, y, *end] if mode == "reference" else [x, y, x + w, y + h]
                found = box_overlaps(
                    maps[[image]], [true], mode=mode, thresholds=thresholds[[step]]
                )
                if found != 1.0:
                    raise AssertionError(f"map {image}, threshold {thresholds[step]}: {true}")


def per_map(
    calls: dict[str, tuple[Callable[[np.ndarray], object], np.ndarray]], rounds: int, base: str
) -> list[dict[str, object]]:
    """Milliseconds per map, by calls that each have their own maps."""
    bound = {name: (lambda f=f, m=m: f(m)) for name, (f, m) in calls.items()}
    seconds = interleave(bound, rounds)
    each = {name: [s / len(calls[name][1]) for s in values] for name, values in seconds.items()}
    return [
        {
            "name": row["name"],
            "maps": len(calls[row["name"]][1]),
            "median ms per map": row["median_s"] * 1e3,
            "min ms per map": row["min_s"] * 1e3,
            f"over {base}": row[f"over {base}"],
        }
        for row in summary(each, base)
    ]


def main() -> None:
    parser = arguments("localisation", __doc__)
    parser.add_argument("--maps", type=int, default=5000)
    parser.add_argument("--peer-maps", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)

    maps, few = mixed_maps(options.maps), mixed_maps(options.peer_maps)
    boxes, hundred = true_boxes(options.maps), np.arange(0, 1, 0.01)
    check(few[:3], boxes, hundred[::10])

    def ours(scored: np.ndarray, thresholds: np.ndarray = hundred, **choice: str) -> object:
        return max_box_acc(scored, boxes[: len(scored)], thresholds=thresholds, **choice)

    peers = {
        "cv2.findContours": (lambda m: loop(contours, m, hundred), few),
        "cv2.findContours, largest": (lambda m: loop(largest_contour, m, hundred), few),
        "cv2.connectedComponentsWithStats": (lambda m: loop(opencv_components, m, hundred), few),
        "scipy.ndimage.label": (lambda m: loop(scipy_components, m, hundred), few),
    }
    own = {
        "lookcloser reference": (ours, maps),
        "lookcloser reference, largest": (lambda m: ours(m, components="largest"), maps),
        "lookcloser corrected": (lambda m: ours(m, mode="corrected"), maps),
        "lookcloser corrected, largest": (
            lambda m: ours(m, components="largest", mode="corrected"), maps,
        ),
    }  # fmt: skip
    base = "lookcloser reference"
    some = maps[:200]
    masks = (some > some.mean(axis=(1, 2), keepdims=True)).astype(np.uint8)
    sizes = {f"{n} maps": (ours, maps[:n]) for n in (50, 500, options.maps)}
    steps = {
        f"{n} thresholds": (lambda m, n=n: ours(m, np.arange(n) / n), some) for n in (10, 100, 1000)
    }
    kinds = {f"{g}×{g}": (ours, random_maps(200, g, seed=1)) for g in (7, 14, 28)}
    kinds["white noise"] = (ours, np.random.default_rng(0).random((4, SIDE, SIDE), np.float32))
    pixel = {
        "lookcloser pxap": (lambda m: pxap(m, masks), some),
        "numpy.histogram": (lambda m: histograms(m, masks), some),
    }
    report(
        options.json,
        machine("opencv-python-headless"),
        {
            "100 thresholds, 224×224": per_map({**own, **peers}, options.rounds, base),
            "Against the number of maps": per_map(sizes, options.rounds, "50 maps"),
            "Against the number of thresholds": per_map(steps, options.rounds, "100 thresholds"),
            "Against the kind of map": per_map(kinds, options.rounds, "7×7"),
            "PxAP, 1,000 thresholds": per_map(pixel, options.rounds, "lookcloser pxap"),
        },
    )


if __name__ == "__main__":
    main()
