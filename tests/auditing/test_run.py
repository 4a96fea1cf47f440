"""An audit from images to a ranking, of a network that is known to look at color alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lookcloser.auditing.collect import collect
from lookcloser.auditing.retest import MEASURES
from lookcloser.auditing.run import FEWEST, _retested, audit, mark_zones
from lookcloser.auditing.sameness import CELLS
from lookcloser.auditing.scoring import EXPLAINED, LIMITS
from lookcloser.core.errors import LookcloserError
from lookcloser.data import Catalog

from .conftest import COLORS, make_engine

Paints = Callable[..., Catalog]


def test_zones_are_all_cells_near_the_highest_that_reach_half_of_the_limit() -> None:
    half = LIMITS["same detail"] / 2
    detail = np.zeros((3, 2, 3))
    detail[0] = [[0.4, 0.2, 0.19], [0.0, 0.3, -0.4]]
    detail[1] = half * np.array([[1.5, 1.0, 0.9], [0.8, 0.0, 0.0]])
    detail[2] = half * np.array([[0.5, 0.9, 0.9], [0.0, 0.0, -3.0]])
    assert mark_zones(detail).astype(int).tolist() == [
        [[1, 1, 0], [0, 1, 0]],
        [[1, 1, 0], [0, 0, 0]],
        [[0, 1, 1], [0, 0, 0]],  # none reaches it: the highest alone, both of them
    ]


def test_the_same_detail_is_found_and_said_to_be_in_the_data_alone(painted: Paints) -> None:
    engine, told = make_engine(), list[tuple[int, int]]()
    engine.model.train()
    found = audit(
        engine, painted(12, 12, 12), batch_size=12, progress=lambda *done: told.append(done)
    )
    first = found.classes[0]
    assert (first.name, first.level) == ("red", "data")
    rows, columns = np.nonzero(first.place)
    # The pattern is in the cells from 6 on; what is smoothed away reaches one cell further.
    assert min(*rows, *columns) >= 5
    assert found.at("none") == tuple(one.name for one in found.classes[1:])
    assert set(first.measures) == set(EXPLAINED)
    assert [one.suspicion for one in found.classes] == sorted(
        (one.suspicion for one in found.classes), reverse=True
    )
    assert found.settings["images"] == "36 of split test, at most 50 a class, seed 0"
    assert "left out" not in found.settings
    assert told[-1] == (9 * 36, 9 * 36)
    assert engine.model.training


def test_small_classes_are_named_and_broken_images_do_not_shift_the_others(
    painted: Paints,
) -> None:
    catalog = painted(12, 12, FEWEST - 1)
    whole = audit(make_engine(), catalog, batch_size=64)
    assert {one.name for one in whole.classes} == {"red", "green"}
    assert whole.settings["left out"] == "fewer than 8 images: blue"
    catalog.samples[3].source.write_bytes(b"no image")
    less = audit(make_engine(), catalog, batch_size=64)
    assert [name for name, _ in less.skipped] == ["red3.png"]
    assert {one.name: one.images for one in less.classes} == {"red": 11, "green": 12}
    for one in less.classes:
        assert sum(look.count for look in one.looks) == one.images
        assert all(str(look.image).split("/")[-1].startswith(one.name) for look in one.looks)


def test_scores_are_of_the_rows_that_could_be_read(painted: Paints) -> None:
    engine, catalog = make_engine(), painted(3, 3, 2)
    mixed = [catalog.samples[row] for row in (0, 3, 6, 1, 4, 7, 2, 5)]
    mixed[2].source.write_bytes(b"no image")
    how = {"batch_size": 4, "workers": 0, "progress": lambda _: None}
    found = collect(engine, mixed, **how)
    marks = np.zeros((3, CELLS, CELLS), bool)
    scores = _retested(engine, mixed, found, marks, **how)
    assert scores.shape == (7, len(MEASURES))
    assert np.isfinite(scores).all()
    whole, mark_out, other = (scores[:, MEASURES.index(n)] for n in ("whole", "mark out", "other"))
    assert (whole > other).all()
    np.testing.assert_allclose(mark_out, whole, rtol=1e-6)  # nothing is exchanged where no mark is
    alone = _retested(engine, mixed[:1], replace(found, rows=found.rows[:1]), marks, **how)
    assert np.isnan(alone[0, 3:]).all(), "a batch without another class"
    assert alone[0, 0] == pytest.approx(scores[0, 0])


@pytest.mark.parametrize(
    ("counts", "changes", "message"),
    [
        ((12, 7, 7), {}, "1 class with 8 images in split test.*Collect more images"),
        ((8, 8, 0), {"per_class": FEWEST - 1}, "per_class 7: too few.*a whole number, 8 or more"),
        ((8, 8, 0), {"split": "val"}, "unknown split"),
    ],
)
def test_too_few_images_are_refused(
    painted: Paints, counts: tuple[int, ...], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(LookcloserError, match=message):
        audit(make_engine(), painted(*counts), **changes)


def test_other_tasks_and_other_classes_are_refused(painted: Paints) -> None:
    engine, catalog = make_engine(), painted(8, 8, 8)
    tags = replace(engine, header=replace(engine.header, task="multilabel"))
    with pytest.raises(LookcloserError, match="multilabel on data for classification: cannot"):
        audit(tags, catalog)
    with pytest.raises(LookcloserError, match="classification on data for captioning: cannot"):
        audit(engine, replace(catalog, task="captioning"))
    fewer = replace(engine, header=replace(engine.header, names=COLORS[:2]))
    with pytest.raises(LookcloserError, match="blue: a class of the data that the model does not"):
        audit(fewer, catalog)
