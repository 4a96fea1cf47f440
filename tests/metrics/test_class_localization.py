"""CorLoc against loops over images and classes."""

from __future__ import annotations

import numpy as np
import pytest

from lookcloser.core import LookcloserError
from lookcloser.core.boxes import iou as box_iou
from lookcloser.metrics.class_localization import corloc, corloc_hits
from lookcloser.metrics.map_boxes import boxes_from_maps


def random_boxes(rng, count):
    low = rng.uniform(0, 10, (count, 2))
    return np.concatenate([low, low + rng.uniform(4, 10, (count, 2))], axis=1)


@pytest.mark.parametrize("iou", [0.3, 0.5])
def test_one_image_after_the_other(iou):
    rng = np.random.default_rng(0)
    found, classes = random_boxes(rng, 60), rng.integers(0, 4, 60)
    truth = [random_boxes(rng, number) for number in rng.integers(1, 4, 60)]
    found[7] = np.nan
    hits, by_class = [], {}
    for box, true, name in zip(found, truth, classes, strict=True):
        overlaps = [float(box_iou(box[None], one[None])[0, 0]) for one in true]
        hit = not np.isnan(box[0]) and max(overlaps) >= iou
        hits.append(hit)
        by_class.setdefault(name, []).append(hit)
    assert 0 < sum(hits) < 60
    assert corloc_hits(found, truth, iou).tolist() == hits
    assert corloc(found, truth, iou=iou) == sum(hits) / 60
    per_class = [sum(each) / len(each) for each in by_class.values()]
    assert corloc(found, truth, classes, iou) == pytest.approx(sum(per_class) / 4)
    names = np.array(["cat", "dog", "cow", "hen"])[classes]
    assert corloc(found, truth, names, iou) == pytest.approx(corloc(found, truth, classes, iou))


def test_exactly_half_is_a_hit_and_no_evidence_a_miss():
    assert corloc([[0, 0, 10, 5]], [[0, 0, 10, 10]]) == 1.0
    assert corloc([[0, 0, 10, 4.99]], [[0, 0, 10, 10]]) == 0.0
    empty = boxes_from_maps(np.zeros((1, 10, 10)))
    assert corloc(empty, [[0, 0, 10, 10]]) == 0.0


def test_errors_name_the_fault():
    box = [[0, 0, 1, 1]]
    with pytest.raises(LookcloserError, match="no true box"):
        corloc(box, [np.zeros((0, 4))])
    with pytest.raises(LookcloserError, match="True boxes for 2 images"):
        corloc(box, box * 2)
    with pytest.raises(LookcloserError, match="Classes of shape"):
        corloc(box, box, [0, 1])
