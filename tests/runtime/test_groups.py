"""Groups of classes, where no class is sure."""

from dataclasses import replace

import numpy as np
import pytest

from lookcloser.core.header import ModelHeader, header_text, parse_header
from lookcloser.runtime import ArrayOutput, predictions
from lookcloser.runtime.groups import groups_above, sure_group

NAMES = ("wren", "robin", "cat", "trout")
PARENTS = {"wren": "birds", "robin": "birds", "birds": "land", "cat": "land"}
HEADER = ModelHeader("cam", {}, "classification", NAMES, parents=PARENTS)


def group(*scores, parents=PARENTS):
    return sure_group(np.array(scores, np.float32), NAMES, parents)


class TestRule:
    def test_a_sure_class_has_no_need_of_a_group(self):
        assert group(0.5, 0.4, 0.1, 0.0) is None

    def test_the_lowest_sure_group_has_the_sum_of_its_classes(self):
        found = group(0.4, 0.3, 0.2, 0.1)
        assert (found.name, found.index) == ("birds", -1)
        assert found.score == pytest.approx(0.7)

    def test_one_higher_where_the_lowest_is_not_sure(self):
        found = group(0.3, 0.1, 0.3, 0.3)
        assert found.name == "land"
        assert found.score == pytest.approx(0.7)

    def test_half_is_half_whatever_rounding_says(self):
        below = np.nextafter(np.float32(0.25), np.float32(0))
        assert group(below, below, 0.25, 0.25).name == "birds"
        assert group(2 * below, 0.2, 0.2, 0.1) is None

    def test_of_groups_alike_but_for_rounding_the_first(self):
        above = np.nextafter(np.float32(0.25), np.float32(1))
        parents = {"wren": "a", "robin": "a", "cat": "b", "trout": "b"}
        assert group(0.25, 0.25, above, above, parents=parents).name == "a"

    def test_none_where_no_group_is_sure(self):
        assert group(0.2, 0.1, 0.1, 0.48) is None

    def test_classes_without_groups(self):
        assert group(0.3, 0.3, 0.2, 0.2, parents={}) is None

    def test_a_circle_in_a_file_comes_to_an_end(self):
        circle = {"wren": "a", "a": "b", "b": "a", "robin": "a"}
        assert list(groups_above("wren", circle)) == ["a", "b"]
        assert group(0.4, 0.4, 0.1, 0.1, parents=circle).score == pytest.approx(0.8)


class TestAnswers:
    def answers(self, header):
        logits = np.array([[2.0, 1.9, 0, 0], [9, 0, 0, 0]], np.float32)
        return list(predictions(ArrayOutput(logits), header, [(8, 8)] * 2, 2))

    def test_a_prediction_names_its_group(self):
        first, second = self.answers(HEADER)
        assert first.labels[0].name == "wren", "the best class stays the best"
        assert first.group.name == "birds"
        assert first.to_dict()["group"]["name"] == "birds"
        assert second.group is None
        assert second.to_dict()["group"] is None

    def test_at_the_temperature_of_the_model(self):
        hot = replace(HEADER, calibration=replace(HEADER.calibration, temperature=9.0))
        assert self.answers(hot)[1].group is not None

    def test_without_a_hierarchy(self):
        assert [answer.group for answer in self.answers(replace(HEADER, parents={}))] == [None] * 2


def test_a_header_keeps_the_hierarchy():
    assert parse_header("x", header_text(HEADER)).parents == PARENTS


def test_a_page_shows_the_group():
    from lookcloser.report.cards import _ranked

    prediction = next(iter(TestAnswers().answers(HEADER)))
    assert [label.name for label in _ranked(prediction)][-1] == "group birds"
