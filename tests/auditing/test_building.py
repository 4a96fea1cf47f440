"""The measures of a class, and what is shown of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lookcloser.auditing.building import build, measure
from lookcloser.auditing.collect import collect
from lookcloser.auditing.retest import MEASURES
from lookcloser.auditing.sameness import CELLS, ring
from lookcloser.auditing.scoring import EXPLAINED, Verdict
from lookcloser.auditing.shares import densities
from lookcloser.data import Catalog

from .conftest import make_engine

Paints = Callable[..., Catalog]


def test_measures_of_attention_are_shares_over_areas() -> None:
    density = np.zeros((3, CELLS, CELLS))
    density[0, 0, 0] = density[1, 4, 4] = 1
    density[2] = 1 / CELLS**2
    scores = np.full((3, len(MEASURES)), 0.5)
    mark = np.zeros((CELLS, CELLS), bool)
    mark[0, 0] = True

    def of(*rows: int) -> dict[str, float]:
        return measure(np.isin(range(3), rows), density, mark, scores)

    names = ("border attention", "corner attention", "place attention")
    assert [of(0)[name] for name in names] == pytest.approx([64 / 28, 4, 64])
    assert [of(1)[name] for name in names] == pytest.approx([0, 0, 0])
    assert [of(2)[name] for name in names] == pytest.approx([1, 1, 1])
    assert [of(0, 1)[name] for name in names] == pytest.approx([32 / 28, 2, 32]), "means of rows"


@pytest.mark.parametrize("where", ["mark", "border"])
def test_a_class_is_shown_with_the_place_of_its_verdict(painted: Paints, where: str) -> None:
    engine, catalog = make_engine(), painted(9, 8, 0)
    found = collect(engine, catalog.samples, batch_size=8, workers=0, progress=lambda _: None)
    mark = np.zeros((CELLS, CELLS), bool)
    mark[7, 7] = True
    measures = dict.fromkeys(EXPLAINED, 0.123456)
    verdict = Verdict(1.23456, "data", where, ("a reason",))
    density = densities(found.maps)
    made = build(catalog.samples, found, density, engine.header, 0, measures, verdict, mark)
    assert (made.name, made.images, made.suspicion) == ("red", 9, 1.2346)
    assert made.reasons == ("a reason",)
    np.testing.assert_array_equal(made.place, mark if where == "mark" else ring())
    assert made.measures["kinds"] == len(made.looks)
    assert set(made.measures.values()) <= {0.1235, float(len(made.looks))}
    mean = density[:9].mean(axis=0)
    np.testing.assert_allclose(made.heatmap, mean / mean.max(), rtol=1e-5)
    for look in made.looks:
        assert look.box is not None
        x0, y0, x1, y1 = look.box
        assert 0 <= x0 < x1 <= 32, "in the pixels of the original"
        assert 0 <= y0 < y1 <= 16
