import numpy as np
import pytest

from lookcloser.auditing.retest import MEASURES
from lookcloser.auditing.scoring import LIMITS, judge, lead, robust_z

CLEAN = {
    "same detail": 0.02,
    "chance detail": 0.03,
    "place lost": 0.01,
    "place carried": 0.0,
    "same border color": 0.05,
    "border lost": 0.2,
    "border carried": 0.05,
}


def classes(**changes):
    """Nine clean classes of slightly different measures, and one that is changed."""
    rows = [{**CLEAN, "border carried": 0.02 + 0.01 * n} for n in range(9)]
    return [*rows, {**CLEAN, **{key.replace("_", " "): value for key, value in changes.items()}}]


def test_clean_classes_are_not_flagged():
    found = judge(classes())
    assert {verdict.level for verdict in found} == {"none"}
    assert all(0 <= verdict.suspicion < 0.5 for verdict in found)
    assert all(verdict.reasons == () for verdict in found)


def test_a_mark_is_flagged_and_dependence_makes_it_worse():
    unused = judge(classes(same_detail=0.4))[-1]
    used = judge(classes(same_detail=0.4, place_carried=0.1))[-1]
    assert unused.level == "data"
    assert used.level == "model"
    assert unused.where == used.where == "mark"
    assert used.suspicion > 2 > unused.suspicion >= 1
    assert "correlation 0.40" in used.reasons[0]
    assert "10%" in used.reasons[0]


def test_a_mark_counts_as_used_from_the_limit_on():
    below, at = LIMITS["place"] * 0.9, LIMITS["place"]
    assert judge(classes(same_detail=0.4, place_lost=below))[-1].level == "data"
    assert judge(classes(same_detail=0.4, place_lost=at))[-1].level == "model"


def test_a_mark_that_is_not_used_beside_a_border_that_is():
    both = judge(classes(same_detail=0.4, border_carried=0.5, border_lost=0.4))[-1]
    assert both.level == "model"
    assert len(both.reasons) == 2


def test_few_images_need_more_likeness():
    assert judge(classes(same_detail=0.15, chance_detail=0.2))[-1].level == "none"
    assert judge(classes(same_detail=0.25, chance_detail=0.2))[-1].level == "none"
    used = judge(classes(same_detail=0.25, chance_detail=0.2, place_lost=0.06))[-1]
    assert used.level == "model", "what the model depends on needs less"
    assert judge(classes(same_detail=0.45, chance_detail=0.2))[-1].level == "data"


def test_a_place_that_matters_but_looks_different_every_time_is_no_mark():
    assert judge(classes(place_lost=0.9, place_carried=0.9))[-1].level == "none"


def test_a_steady_color_counts_with_dependence_only():
    alone = judge(classes(same_border_color=0.9, border_lost=0.02))[-1]
    assert alone.level == "none"
    assert 0.5 <= alone.suspicion < 1
    used = judge(classes(same_border_color=0.9, border_lost=0.6))[-1]
    assert used.level == "model"
    assert used.where == "border"
    assert judge(classes(border_lost=0.9))[-1].level == "none"


def test_a_context_must_be_strong_and_unusual():
    assert judge(classes(border_carried=0.5, border_lost=0.4))[-1].level == "model"
    assert judge(classes(border_carried=0.5, border_lost=0.1))[-1].level == "none", (
        "a sink of oddities"
    )
    usual = [
        {**CLEAN, "border lost": 0.5, "border carried": value}
        for value in np.linspace(0.2, 0.6, 10)
    ]
    assert {verdict.level for verdict in judge(usual)} == {"none"}, "strong in all classes alike"
    assert judge(classes(border_carried=0.25, border_lost=0.9))[-1].level == "none", (
        "unusual but weak"
    )


def test_robust_z_is_not_moved_by_the_outlier():
    values = [*np.linspace(-1, 1, 21), 100.0]
    z = robust_z(values)
    deviation = 1.4826 * np.median(np.abs(values - np.median(values)))
    assert z[-1] == pytest.approx((100 - np.median(values)) / deviation)
    assert np.abs(z[:-1]).max() < 2


def test_robust_z_does_not_make_much_of_nothing():
    assert np.abs(robust_z([0.0, 0.0, 0.0, 0.01])).max() < 1


def scores(**values):
    row = dict.fromkeys(MEASURES, 0.5) | {key.replace("_", " "): v for key, v in values.items()}
    return np.array([list(row.values())])


def test_parts_of_the_lead():
    found = lead(
        scores(whole=0.9, other=0.1, mark_out=0.5, mark_in=0.3, frame_out=0.9, frame_in=0.1,
               removed=0.4, kept=0.7)
    )  # fmt: skip
    assert found == pytest.approx(
        {"score": 0.9, "without attended": 0.4, "attended alone": 0.7, "place lost": 0.5,
         "place carried": 0.25, "border lost": 0.0, "border carried": 0.0}
    )  # fmt: skip


def test_a_class_that_the_model_does_not_know_has_no_lead():
    found = lead(scores(whole=0.1, other=0.1, mark_out=0.0))
    assert found["place lost"] == found["border carried"] == 0


def test_rows_without_partners_are_left_out_of_all_means():
    good, lone = scores(whole=0.9, other=0.1), scores(whole=0.3)
    lone[:, 3:] = np.nan
    found = lead(np.concatenate([good, lone]))
    assert found["score"] == pytest.approx(0.9)
    alone = lead(lone)
    assert alone["score"] == pytest.approx(0.3)
    assert alone["place lost"] == 0


def test_every_limit_is_used():
    assert set(LIMITS) == {"same detail", "place", "same border color", "border used",
                           "border lost", "border carried", "z"}  # fmt: skip
