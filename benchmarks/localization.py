"""Localization scores against the reference protocol, and against a call per threshold and map.

In the first table the peer is the whole reference protocol, written as its description and its
published code run it: for each map and each of 1,000 thresholds one `cv2.findContours`, a box per
contour, all IoUs, hits; then PxAP by a histogram per map. Its scores are asserted to equal ours.
In the second table peers only threshold and find boxes, at 100 thresholds; lookcloser also
normalizes, compares with true boxes and scores.

Peers run on a few of the maps, and all times are per map. Everything uses one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import torch
from _harness import arguments, interleave, machine, report, summary
from scipy import ndimage

from lookcloser.metrics.localization import box_overlaps, max_box_acc
from lookcloser.metrics.maps import min_max, upsample_maps
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
    for image in (min_max(maps) * 255).astype(np.uint8):
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


def histograms(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The pooling of the reference's PxAP: (2, bins) pixels of the object and of the background."""
    edges = np.append(np.arange(0, 1, 0.001), [1.0, 2.0, 3.0])
    counts = np.zeros((2, len(edges) - 1))
    for values, mask in zip(min_max(maps), masks, strict=True):
        counts += [np.histogram(values[mask == kind], edges)[0] for kind in (1, 0)]
    return counts


def protocol_v2(maps: np.ndarray, boxes: np.ndarray, thresholds: np.ndarray) -> list[float]:
    """MaxBoxAccV2 at IoU 0.3, 0.5 and 0.7; one true box per map, ends inclusive."""
    hits = np.zeros((3, len(thresholds)))
    for values, true in zip(min_max(maps), boxes, strict=True):
        image = (values * 255).astype(np.uint8)
        found, counts = [], []
        for threshold in thresholds:
            level = int(threshold * image.max())
            mask = cv2.threshold(image, level, 255, cv2.THRESH_BINARY)[1]
            rectangles = contours(mask) or [(0, 0, 0, 0)]
            found += [
                (x, y, min(x + w, SIDE - 1), min(y + h, SIDE - 1)) for x, y, w, h in rectangles
            ]
            counts.append(len(rectangles))
        found_array = np.array(found)
        low = np.maximum(found_array[:, :2], true[:2])
        high = np.minimum(found_array[:, 2:], true[2:])
        shared = np.maximum(high - low + 1, 0).prod(axis=1)
        areas = (found_array[:, 2:] - found_array[:, :2] + 1).prod(axis=1)
        overlaps = shared / (areas + (true[2:] - true[:2] + 1).prod() - shared)
        begin = 0
        for step, count in enumerate(counts):
            best = overlaps[begin : begin + count].max()
            hits[:, step] += best >= np.array([0.3, 0.5, 0.7])
            begin += count
    return (hits.max(axis=1) / len(maps)).tolist()


def protocol_pxap(maps: np.ndarray, masks: np.ndarray) -> float:
    true, false = (part[::-1].cumsum() for part in histograms(maps, masks))
    used = true + false > 0
    precision, recall = true[used] / (true + false)[used], true[used] / true[-1]
    return float(np.sum(precision * np.diff(recall, prepend=0)))


def looped_pxap(maps: np.ndarray, masks: np.ndarray) -> float:
    """The same with one comparison of all pixels per threshold."""
    edges = np.append(np.arange(0, 1, 0.001), 1.0)
    true, false = np.zeros((2, len(edges)))
    for values, mask in zip(min_max(maps), masks, strict=True):
        for step, edge in enumerate(edges):
            detected = values >= edge
            true[step] += np.count_nonzero(detected & (mask == 1))
            false[step] += np.count_nonzero(detected & (mask == 0))
    true, false = true[::-1], false[::-1]
    return float(np.sum(true / (true + false) * np.diff(true / true[-1], prepend=0)))


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


def whole_protocol(maps: np.ndarray, peer_maps: int, boxes: np.ndarray, rounds: int) -> list[dict]:
    """V2 + PxAP at the protocol's own thresholds, ours over all maps, peers over a few."""
    thousand = np.arange(0, 1, 0.001)
    different = thousand[np.unique((thousand * 255).astype(int), return_index=True)[1]]
    masks = (maps > maps.mean(axis=(1, 2), keepdims=True)).astype(np.uint8)
    few = slice(0, peer_maps)

    def ours(scored: np.ndarray) -> tuple[dict[str, float], float]:
        count = len(scored)
        return max_box_acc(scored, boxes[:count]), pxap(scored, masks[:count])

    boxes_found, pixels_found = ours(maps[few])
    expected = protocol_v2(maps[few], boxes[few], thousand)
    if list(boxes_found.values())[:3] != expected:
        raise AssertionError(f"{boxes_found} is not {expected}")
    pixels = [protocol_pxap(maps[few], masks[few]), looped_pxap(maps[few], masks[few])]
    np.testing.assert_allclose([pixels_found] * 2, pixels, rtol=0, atol=1e-12)

    def protocol(scored: np.ndarray, thresholds: np.ndarray = thousand) -> None:
        protocol_v2(scored, boxes[few], thresholds)
        protocol_pxap(scored, masks[few])

    def looped(scored: np.ndarray) -> None:
        protocol_v2(scored, boxes[few], thousand)
        looped_pxap(scored, masks[few])

    calls = {
        "lookcloser V2 + PxAP": (ours, maps),
        "protocol, 1,000 thresholds": (protocol, maps[few]),
        "protocol, each of the 255 levels once": (lambda m: protocol(m, different), maps[few]),
        "protocol, PxAP by thresholds too": (looped, maps[few]),
    }
    rows = per_map(calls, rounds, "lookcloser V2 + PxAP")
    for row in rows:
        row[f"s for {len(maps):,} maps, linear"] = row["median ms per map"] * len(maps) / 1e3
    return rows


def main() -> None:
    parser = arguments("localization", __doc__)
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
            "V2 + PxAP, the whole protocol, 224×224": whole_protocol(
                maps, options.peer_maps, boxes, options.rounds
            ),
            "100 thresholds, 224×224": per_map({**own, **peers}, options.rounds, base),
            "Against the number of maps": per_map(sizes, options.rounds, "50 maps"),
            "Against the number of thresholds": per_map(steps, options.rounds, "100 thresholds"),
            "Against the kind of map": per_map(kinds, options.rounds, "7×7"),
            "PxAP, 1,000 thresholds": per_map(pixel, options.rounds, "lookcloser pxap"),
        },
    )


if __name__ == "__main__":
    main()
