import numpy as np
import pytest

from lookcloser.core import boxes


def slow_iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    inside = width * height
    areas = sum(max(0.0, x1 - x0) * max(0.0, y1 - y0) for x0, y0, x1, y1 in (a, b))
    return inside / (areas - inside) if areas > inside else 0.0


def random_boxes(count, seed):
    generator = np.random.default_rng(seed)
    corners = generator.uniform(0, 50, (count, 2))
    return np.concatenate([corners, corners + generator.uniform(0, 40, (count, 2))], axis=1)


def test_iou_equals_a_loop_over_pairs():
    first, second = random_boxes(40, 0), random_boxes(30, 1)
    expected = [[slow_iou(a, b) for b in second] for a in first]
    np.testing.assert_allclose(boxes.iou(first, second), expected, rtol=0, atol=1e-12)


def test_iou_of_known_boxes():
    assert boxes.iou([[0, 0, 10, 10]], [[0, 0, 10, 10]])[0, 0] == 1.0
    assert boxes.iou([[0, 0, 10, 10]], [[5, 0, 15, 10]])[0, 0] == pytest.approx(1 / 3)
    assert boxes.iou([[0, 0, 10, 10]], [[10, 0, 20, 10]])[0, 0] == 0.0, "x1 is exclusive"


def test_empty_boxes_overlap_nothing():
    assert boxes.iou([[5, 5, 5, 5]], [[0, 0, 10, 10], [5, 5, 5, 5]]).tolist() == [[0.0, 0.0]]
    assert boxes.area([[3, 3, 1, 1]]).tolist() == [0.0]


def test_clip_keeps_what_is_inside():
    assert boxes.clip([-5, 2, 30, 40], (20, 10)).tolist() == [0, 2, 20, 10]


def test_scale_and_back():
    given = random_boxes(20, 2)
    there = boxes.scale(given, (100, 90), (50, 180))
    np.testing.assert_allclose(there, given * [0.5, 2, 0.5, 2])
    np.testing.assert_allclose(boxes.scale(there, (50, 180), (100, 90)), given)


def test_normalized_coordinates_run_from_edge_to_edge():
    assert boxes.to_normalized([0, 0, 20, 10], (20, 10)).tolist() == [-1, -1, 1, 1]
    assert boxes.to_pixels([0, 0, 1, 1], (20, 10)).tolist() == [10, 5, 20, 10]
    given = random_boxes(20, 3)
    np.testing.assert_allclose(
        boxes.to_pixels(boxes.to_normalized(given, (80, 60)), (80, 60)), given
    )


def test_normalized_coordinates_are_those_of_grid_sample():
    torch = pytest.importorskip("torch")
    image = torch.arange(8.0).reshape(1, 1, 1, 8)
    center_of_pixel_5 = boxes.to_normalized([5.5, 0.5, 0, 0], (8, 1))[:2]
    grid = torch.tensor(center_of_pixel_5, dtype=torch.float32).reshape(1, 1, 1, 2)
    sampled = torch.nn.functional.grid_sample(image, grid, align_corners=False)
    assert sampled.item() == pytest.approx(5.0)


def test_wrong_shape_is_named():
    with pytest.raises(ValueError, match=r"shape \(2, 3\)"):
        boxes.area(np.zeros((2, 3)))
