import numpy as np

from lookcloser.core import Prediction, Region
from lookcloser.core.results.shifts import (
    ScaleShift,
    Shifts,
    StepShift,
    measures_of,
    scale_boxes,
    step_maps,
)


def step(**measures):
    return StepShift(measures, np.ones((1, 1)), np.zeros((0, 2, 2)), None)


def test_measures_as_tables_and_by_name():
    scale = ScaleShift({"area sd": 0.6}, np.ones(1), np.ones((1, 4)))
    shifts = Shifts({2: step(size=0.2, overlap=0.1), 10: step(size=0.3)}, {3: scale})
    assert shifts.tables == {
        "step": {2: {"size": 0.2, "overlap": 0.1}, 10: {"size": 0.3}},
        "scale": {3: {"area sd": 0.6}},
    }
    assert shifts.flat == {
        "step 2 size": 0.2, "step 2 overlap": 0.1, "step 10 size": 0.3, "scale 3 area sd": 0.6
    }  # fmt: skip
    assert Shifts().tables == Shifts().flat == {}


def test_columns_of_a_table():
    assert measures_of({1: {"size": 1}, 2: {"overlap": 1, "size": 1}}) == ["overlap", "size"]
    assert measures_of({}) == []


def answer(*regions, **changes):
    return Prediction("multilabel", (), tuple(regions), (10, 10), **changes)


def test_maps_come_in_the_order_of_the_steps():
    maps = [object(), object()]
    regions = [Region("word", "b", 1, None, maps[1], step=1), Region("step", "a", 1, None, maps[0])]
    other = Region("map", "c", 1, None, object())
    assert step_maps(answer(*regions, other)) == maps
    assert step_maps(answer(*regions, error="x")) == []


def test_scales_have_their_number():
    box = (0, 0, 1, 1)
    scales = [Region("scale", "a", 1, box if n != 2 else None, step=n) for n in (1, 2, 3)]
    assert scale_boxes(answer(*scales)) == {2: box, 4: box}
    assert scale_boxes(answer(Region("scale", "a", 1, box))) == {2: box}
    assert scale_boxes(answer(Region("map", "a", 1, box))) == {}
    assert scale_boxes(answer(*scales, error="x")) == {}
