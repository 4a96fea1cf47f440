"""Box scores against slow implementations: OpenCV contours, and labels of every level set."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from lookcloser.core import LookcloserError
from lookcloser.core.boxes import iou as box_iou
from lookcloser.metrics import localization as loc
from lookcloser.metrics.level_sets import overlaps

THRESHOLDS = np.arange(0, 1, 0.001)
FEW = np.arange(0, 1, 0.05)


def normalized_slowly(array):
    if np.isnan(array).any() or array.min() == array.max():
        return np.zeros_like(array)
    array = array - array.min()
    return array / array.max()


def reference_boxes_slowly(array, threshold, largest):
    """The boxes of one map at one threshold, by the written rules of the protocol."""
    height, width = array.shape
    image = (normalized_slowly(array) * 255).astype(np.uint8)
    _, binary = cv2.threshold(image, int(threshold * image.max()), 255, cv2.THRESH_BINARY)
    contours = cv2.findContours(binary, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
    if not contours:
        return [(0, 0, 0, 0)]
    if largest:
        contours = [max(contours, key=cv2.contourArea)]
    boxes = []
    for contour in contours:
        x, y, w, h = cv2.boundingRect(contour)
        boxes.append((x, y, min(x + w, width - 1), min(y + h, height - 1)))
    return boxes


def inclusive_iou(first, second):
    wide = max(0, min(first[2], second[2]) - max(first[0], second[0]) + 1)
    high = max(0, min(first[3], second[3]) - max(first[1], second[1]) + 1)
    shared = wide * high
    areas = [(x1 - x0 + 1) * (y1 - y0 + 1) for x0, y0, x1, y1 in (first, second)]
    return shared / (sum(areas) - shared)


def reference_overlaps_slowly(maps, truth, thresholds, largest):
    rows = []
    for array, true in zip(maps, truth, strict=True):
        known = {}
        for threshold in thresholds:
            level = int(threshold * 255)
            if level not in known:
                boxes = reference_boxes_slowly(array, threshold, largest)
                known[level] = max(inclusive_iou(b, t) for b in boxes for t in true.tolist())
        rows.append([known[int(threshold * 255)] for threshold in thresholds])
    return np.array(rows)


def corrected_overlaps_slowly(maps, truth, thresholds, largest):
    rows = []
    for array, true in zip(maps, truth, strict=True):
        image = (normalized_slowly(array) * 255).astype(np.uint8)
        row = []
        for threshold in thresholds:
            labels, _ = ndimage.label(image > int(threshold * 255), np.ones((3, 3)))
            boxes = [
                (s[1].start, s[0].start, s[1].stop, s[0].stop) for s in ndimage.find_objects(labels)
            ]
            if largest and boxes:
                sizes = np.bincount(labels.ravel())[1:]
                boxes = [boxes[int(sizes.argmax())]]
            row.append(box_iou(np.array(boxes).reshape(-1, 4), true).max(initial=0.0))
        rows.append(row)
    return np.array(rows)


def smooth(rng, count, height, width, grid):
    seeds = torch.from_numpy(rng.standard_normal((count, 1, grid, grid)))
    size = (height, width)
    return torch.nn.functional.interpolate(seeds, size, mode="bicubic")[:, 0].numpy()


def rings(rng, count, height, width):
    """Nested rings and islands, some open, some touching only by corners."""
    y, x = np.mgrid[:height, :width]
    maps = []
    for _ in range(count):
        cx, cy = rng.uniform(0, width), rng.uniform(0, height)
        power = rng.choice([1.0, 2.0, np.inf])
        gap = np.stack([np.abs(x - cx), np.abs(y - cy)])
        radius = np.linalg.norm(gap.reshape(2, -1), ord=power, axis=0).reshape(height, width)
        maps.append(
            np.sin(radius * rng.uniform(0.8, 3)) + 0.2 * (rng.random((height, width)) > 0.9)
        )
    return np.array(maps)


def make_maps(kind, seed, count):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(6, 26, 2)
    if kind == "tiny":
        height, width = rng.integers(1, 5, 2)
    shape = (count, height, width)
    return {
        "smooth": lambda: smooth(rng, *shape, grid=5),
        "relu": lambda: np.maximum(smooth(rng, *shape, grid=4), 0),
        "noise": lambda: rng.random(shape),
        "plateaus": lambda: rng.integers(0, 4, shape).astype(float),
        "steps": lambda: np.round(smooth(rng, *shape, grid=4), 1),
        "binary": lambda: (rng.random(shape) > rng.choice([0.3, 0.5, 0.7])).astype(float),
        "rings": lambda: rings(rng, *shape),
        "sparse": lambda: np.where(rng.random(shape) > 0.93, rng.random(shape), 0),
        "tiny": lambda: rng.integers(-2, 3, shape).astype(float),
        "constant": lambda: np.full(shape, rng.uniform(-1, 1)),
    }[kind]()


KINDS = ("smooth", "relu", "noise", "plateaus", "steps", "binary", "rings", "sparse", "tiny")


def true_boxes(rng, count, most, height, width):
    """Whole boxes with inclusive ends, a different number of them for each image."""
    boxes = []
    for number in rng.integers(1, most + 1, count):
        x = np.sort(rng.integers(0, width, (number, 2)), axis=1)
        y = np.sort(rng.integers(0, height, (number, 2)), axis=1)
        boxes.append(np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1))
    return boxes


@pytest.mark.parametrize("kind", [*KINDS, "constant"])
def test_reference_mode_equals_contours(kind):
    # 10 kinds × 10 sizes × 10 = 1,000 maps, each with both ways of choosing.
    for seed in range(10):
        maps = make_maps(kind, seed, 10).astype(np.float32 if seed % 2 else np.float64)
        truth = true_boxes(np.random.default_rng(seed), 10, 3, maps.shape[2], maps.shape[1])
        for largest in (False, True):
            expected = reference_overlaps_slowly(maps, truth, FEW, largest)
            choice = "largest" if largest else "all"
            found = loc.box_overlaps(maps, truth, choice, thresholds=FEW)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("choice", ["all", "largest"])
@pytest.mark.parametrize("kind", [*KINDS, "constant"])
def test_corrected_mode_equals_labels(kind, choice):
    for seed in range(3):
        maps = make_maps(kind, seed, 6).astype(np.float32)
        rng = np.random.default_rng(seed)
        truth = true_boxes(rng, 6, 3, maps.shape[2], maps.shape[1])
        truth = [box + np.array([0, 0, 1, 1]) + rng.uniform(0, 0.4, box.shape) for box in truth]
        expected = corrected_overlaps_slowly(maps, truth, FEW, choice == "largest")
        found = loc.box_overlaps(maps, truth, choice, "corrected", FEW)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_all_thresholds_at_the_usual_size():
    """224×224 as in the protocol, all 1,000 thresholds, more maps than fit into one chunk."""
    maps = smooth(np.random.default_rng(0), 12, 224, 224, grid=7).astype(np.float32)
    truth = true_boxes(np.random.default_rng(1), 12, 2, 224, 224)
    picked = THRESHOLDS[::40]
    for choice in ("all", "largest"):
        found = loc.box_overlaps(maps, truth, choice)
        assert found.shape == (12, 1000)
        expected = reference_overlaps_slowly(maps, truth, picked, choice == "largest")
        np.testing.assert_array_equal(found[:, ::40], expected)


def scores_slowly(maps, truth, largest):
    """MaxBoxAcc as the protocol counts: a hit or none for each IoU, threshold and image."""
    hits = np.zeros((3, len(THRESHOLDS)))
    for array, true in zip(maps, truth, strict=True):
        row = reference_overlaps_slowly(array[None], [true], THRESHOLDS, largest)[0]
        for place, iou in enumerate((0.3, 0.5, 0.7)):
            hits[place, np.nonzero(row >= iou)[0]] += 1
    best = [row.max() / len(maps) for row in hits]
    names = ("MaxBoxAcc@0.3", "MaxBoxAcc@0.5", "MaxBoxAcc@0.7")
    return {**dict(zip(names, best, strict=True)), "mean": sum(best) / 3}


@pytest.mark.parametrize("components", ["largest", "all"])
def test_the_numbers_of_the_protocol(components):
    """V1 and V2 at its 1,000 thresholds, several true boxes an image, maps of every kind."""
    rng = np.random.default_rng(5)
    maps = np.concatenate(
        [
            smooth(rng, 10, 28, 32, grid=4),
            np.maximum(smooth(rng, 10, 28, 32, grid=6), 0),
            rings(rng, 10, 28, 32),
            smooth(rng, 10, 28, 32, grid=5).round(1),
            np.ones((1, 28, 32)),
        ]
    ).astype(np.float32)
    truth = true_boxes(rng, len(maps), 4, 32, 28)
    for boxes in truth[::2]:
        # A large object among small ones.
        boxes[0] = rng.integers((0, 0, 22, 18), (10, 10, 32, 28))
    assert {len(boxes) for boxes in truth} == {1, 2, 3, 4}
    expected = scores_slowly(maps, truth, components == "largest")
    assert 0 < expected["MaxBoxAcc@0.7"] < expected["MaxBoxAcc@0.3"] < 1
    found = loc.max_box_acc(maps, truth, components=components)
    assert found == pytest.approx(expected, rel=0, abs=1e-15)


def test_only_255_of_the_thresholds_differ():
    maps = smooth(np.random.default_rng(0), 4, 30, 30, grid=4)
    found = loc.box_overlaps(maps, [[3, 3, 20, 20]] * 4)
    same = np.diff((THRESHOLDS * 255).astype(int)) == 0
    assert len(set((THRESHOLDS * 255).astype(int))) == 255
    np.testing.assert_array_equal(found[:, 1:][:, same], found[:, :-1][:, same])


def block():
    """An 11×11 block in an empty map."""
    maps = np.zeros((1, 30, 30), np.float32)
    maps[0, 5:16, 8:19] = 1
    return maps


def test_off_by_one_of_the_reference():
    expected = 121 / 144
    assert loc.box_overlaps(block(), [[8, 5, 18, 15]], thresholds=[0.5]) == expected
    assert round(expected, 2) == 0.84
    corrected = loc.box_overlaps(block(), [[8, 5, 19, 16]], mode="corrected", thresholds=[0.5])
    assert corrected == 1.0


def test_holes_are_boxes_in_the_reference_only():
    ring = np.ones((1, 20, 20), np.float32)
    ring[0, 8:12, 6:13] = 0
    # Contour of the hole: columns 5 to 13, rows 7 to 12, then one too far.
    assert loc.box_overlaps(ring, [[5, 7, 14, 13]], thresholds=[0.5]) == 1.0
    assert loc.box_overlaps(ring, [[5, 7, 14, 13]], "largest", thresholds=[0.5]) == 70 / 400
    corrected = loc.box_overlaps(ring, [[6, 8, 13, 12]], mode="corrected", thresholds=[0.5])
    assert corrected == 28 / 400


def test_largest_by_area_within_the_contour_or_by_pixels():
    """A wide ring of few pixels beside a small block of many."""
    maps = np.zeros((1, 20, 30), np.float32)
    maps[0, 2:14, 2:14] = 1
    maps[0, 3:13, 3:13] = 0
    maps[0, 2:10, 20:28] = 1
    ring, solid = [2, 2, 14, 14], [20, 2, 28, 10]
    assert loc.box_overlaps(maps, [ring], "largest", thresholds=[0.5]) == 1.0
    assert loc.box_overlaps(maps, [solid], "largest", "corrected", [0.5]) == 1.0


def test_equal_components():
    """The contour that begins last in reading order; the component that begins first."""
    maps = np.zeros((1, 20, 20), np.float32)
    maps[0, 1:5, 1:5] = maps[0, 1:5, 10:14] = maps[0, 10:14, 3:7] = 1
    expected = reference_boxes_slowly(maps[0], 0.5, largest=True)
    assert expected == [(3, 10, 7, 14)]
    assert loc.box_overlaps(maps, [expected[0]], "largest", thresholds=[0.5]) == 1.0
    assert loc.box_overlaps(maps, [[1, 1, 5, 5]], "largest", "corrected", [0.5]) == 1.0


def test_maps_without_evidence():
    maps = np.zeros((3, 10, 10), np.float32)
    maps[1], maps[2, 3, 3] = 7, np.nan
    # The box (0, 0, 0, 0) of the reference is the first pixel.
    assert np.all(loc.box_overlaps(maps, [[0, 0, 1, 1]] * 3, thresholds=[0, 0.5]) == 0.25)
    assert np.all(loc.box_overlaps(maps, [[0, 0, 1, 1]] * 3, "all", "corrected", [0, 0.5]) == 0)


def test_max_box_acc_takes_each_best_threshold():
    rng = np.random.default_rng(0)
    maps = smooth(rng, 40, 24, 20, grid=5)
    truth = true_boxes(rng, 40, 2, 20, 24)
    overlaps_slow = reference_overlaps_slowly(maps, truth, FEW, largest=False)
    ious = (0.3, 0.5, 0.7)
    scores = loc.max_box_acc(maps, truth, ious, thresholds=FEW)
    expected = [(overlaps_slow >= iou).mean(axis=0).max() for iou in ious]
    assert scores == {
        "MaxBoxAcc@0.3": expected[0],
        "MaxBoxAcc@0.5": expected[1],
        "MaxBoxAcc@0.7": expected[2],
        "mean": np.mean(expected),
    }
    curve = loc.box_accuracy_curve(maps, truth, ious, thresholds=FEW)
    np.testing.assert_array_equal(curve.thresholds, FEW)
    slow_curve = (overlaps_slow >= np.array(ious)[:, None, None]).mean(axis=1)
    np.testing.assert_array_equal(curve.accuracy, slow_curve)
    best = curve.best()
    assert best == {iou: FEW[slow_curve[i].argmax()] for i, iou in enumerate(ious)}
    assert len(set(best.values())) > 1
    at = loc.box_acc_at(maps, truth, best)
    assert at == {name.replace("Max", ""): value for name, value in scores.items()}
    other = loc.box_acc_at(maps, truth, {0.5: 0.95, 0.3: 0.0})
    assert other["BoxAcc@0.5"] == (overlaps_slow[:, 19] >= 0.5).mean()
    assert other["BoxAcc@0.3"] == (overlaps_slow[:, 0] >= 0.3).mean()
    assert other["mean"] == (other["BoxAcc@0.5"] + other["BoxAcc@0.3"]) / 2


def test_streaming_equals_the_function():
    rng = np.random.default_rng(3)
    maps, truth = smooth(rng, 11, 16, 16, grid=4), true_boxes(rng, 11, 3, 16, 16)
    metric = loc.MaxBoxAcc(thresholds=FEW)
    parts = [metric.update(maps[i : i + 4], truth[i : i + 4]) for i in range(0, 11, 4)]
    np.testing.assert_array_equal(
        np.concatenate(parts), loc.box_overlaps(maps, truth, thresholds=FEW)
    )
    assert metric.compute().max_box_acc() == loc.max_box_acc(maps, truth, thresholds=FEW)


def test_memory_is_bounded_by_chunks(monkeypatch):
    rng = np.random.default_rng(4)
    maps, truth = rng.random((9, 14, 12)), true_boxes(rng, 9, 2, 12, 14)
    whole = loc.box_overlaps(maps, truth, thresholds=FEW)
    monkeypatch.setattr(overlaps, "_PIXELS", 4 * 14 * 12)
    monkeypatch.setattr(overlaps, "_SITES", 100)
    monkeypatch.setattr(overlaps, "_COMPONENTS", 7)
    np.testing.assert_array_equal(loc.box_overlaps(maps, truth, thresholds=FEW), whole)


def test_tensors_and_other_types_are_accepted():
    maps = torch.from_numpy(smooth(np.random.default_rng(0), 3, 12, 12, grid=3).astype(np.float32))
    truth = torch.tensor([[2, 2, 8, 8]] * 3)
    expected = loc.max_box_acc(maps.numpy(), truth.numpy())
    assert loc.max_box_acc(maps, truth) == expected
    counts = (maps * 20).int()
    as_floats = loc.max_box_acc(counts.float(), truth)
    assert loc.max_box_acc(counts, truth) == as_floats


def test_top_k_needs_the_class_and_the_place():
    scores = [[3, 2, 1], [3, 2, 1], [3, 2, 1], [3, 2, 1]]
    targets, ious = [0, 0, 1, 2], [0.5, 0.4, 0.9, 0.9]
    assert loc.top_k_localization(scores, targets, ious) == 0.25
    assert loc.top_k_localization(scores, targets, ious, k=2) == 0.5
    assert loc.top_k_localization(scores, targets, ious, k=3, iou=0.3) == 1.0
    with pytest.raises(LookcloserError, match="one per image"):
        loc.top_k_localization(scores, targets, [[0.5]] * 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": np.zeros((8, 8))}, "Maps of shape"),
        ({"maps": np.zeros((2, 0, 8))}, "Maps of shape"),
        ({"maps": np.full((2, 8, 8), np.inf)}, r"maps\[0\] has values without bounds"),
        ({"boxes": [[1, 1, 3, 3]]}, "True boxes for 1 images"),
        ({"boxes": [[[1, 1, 3, 3]], np.zeros((0, 4))]}, r"boxes\[1\] = \[\]: no true box"),
        ({"boxes": [[1, 1, 3, 3], [1, 1, 3.5, 3]]}, "reference_boxes"),
        ({"boxes": [[1, 1, 3, 3], [3, 1, 2, 3]]}, "an empty box"),
        ({"components": "larges"}, "Close: largest"),
        ({"mode": "fixed"}, "unknown mode"),
        ({"thresholds": [0.5, 1.5]}, "shares from 0 to 1"),
        ({"thresholds": []}, "shares from 0 to 1"),
    ],
)
def test_errors_name_the_fault(change, message):
    maps = np.zeros((2, 8, 8))
    maps[:, 2:4, 2:4] = 1
    arguments = {"maps": maps, "boxes": [[1, 1, 3, 3]] * 2, **change}
    with pytest.raises(LookcloserError, match=message):
        loc.max_box_acc(**arguments)


def test_nothing_scored_is_an_error():
    with pytest.raises(LookcloserError, match="No maps were scored"):
        loc.MaxBoxAcc().compute()
