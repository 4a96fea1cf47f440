from lookcloser.core import Prediction, Region
from lookcloser.core.shifts import (
    measures_of,
    move_name,
    move_rows,
    other_scores,
    scale_boxes,
    sequences,
    step_maps,
)

METRICS = {
    "top1": 0.5,
    "top1 scale 2": 0.4,
    move_name("step", 10, "size"): 0.3,
    move_name("step", 2, "size"): 0.2,
    move_name("step", 2, "overlap"): 0.1,
    "scale 3 area sd": 0.6,
}


def test_rows_are_read_by_name_in_the_order_of_their_numbers():
    rows = move_rows(METRICS, "step")
    assert rows == {2: {"size": 0.2, "overlap": 0.1}, 10: {"size": 0.3}}
    assert list(rows) == [2, 10]
    assert move_rows(METRICS, "scale") == {3: {"area sd": 0.6}}
    assert measures_of(rows) == ["size", "overlap"]
    assert measures_of({}) == []


def test_the_others_are_left():
    assert other_scores(METRICS) == {"top1": 0.5, "top1 scale 2": 0.4}


def answer(*regions, **changes):
    return Prediction("multilabel", (), tuple(regions), (10, 10), **changes)


def test_maps_come_in_the_order_of_the_steps():
    maps = [object(), object()]
    regions = [Region("word", "b", 1, None, maps[1], step=1), Region("step", "a", 1, None, maps[0])]
    other = Region("map", "c", 1, None, object())
    assert step_maps(answer(*regions, other)) == maps
    assert sequences([answer(*regions), answer(regions[0]), answer(*regions, error="x")]) == [maps]


def test_scales_have_their_number():
    box = (0, 0, 1, 1)
    scales = [Region("scale", "a", 1, box if n != 2 else None, step=n) for n in (1, 2, 3)]
    assert scale_boxes(answer(*scales)) == {2: box, 4: box}
    assert scale_boxes(answer(Region("scale", "a", 1, box))) == {2: box}
    assert scale_boxes(answer(Region("map", "a", 1, box))) == {}
