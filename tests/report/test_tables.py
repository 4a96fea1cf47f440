"""Rows of the confusion, the classes and the data audit."""

import dataclasses

import numpy as np
import pytest

from lookcloser.core import Evaluation
from lookcloser.report import tables


def confused(matrix):
    matrix = np.array(matrix)
    names = tuple("abcdefghijklmnopqrstuvwxyz"[: len(matrix)])
    return Evaluation("classification", "test", names, {}, (), confusion=matrix)


def test_cells_rebuild_the_matrix():
    matrix = np.random.default_rng(0).poisson(0.3, (20, 20))
    rebuilt = np.zeros_like(matrix)
    for row, column, count in tables.confusion_cells(confused(matrix)):
        rebuilt[row, column] = count
    np.testing.assert_array_equal(rebuilt, matrix)


def test_pairs_by_count_then_share_of_the_true_class():
    pairs = tables.confused_pairs(confused([[10, 3, 0], [3, 1, 0], [0, 5, 5]]))
    assert [(p["true"], p["predicted"], p["count"]) for p in pairs] == [
        *(("c", "b", 5), ("b", "a", 3), ("a", "b", 3))
    ]
    assert [p["share"] for p in pairs] == pytest.approx([0.5, 0.75, 3 / 13])


def test_no_mistakes_no_pairs():
    assert tables.confused_pairs(confused(np.eye(3, dtype=int))) == []


def test_printed_table_shares_and_marks():
    rows = tables.confusion_table(confused([[3, 1], [0, 0]]))
    assert [[cell["count"] for cell in row] for row in rows] == [[3, 1], [0, 0]]
    assert [[cell["share"] for cell in row] for row in rows] == [[0.75, 0.25], [0, 0]]
    assert [[cell["hit"] for cell in row] for row in rows] == [[True, False], [False, True]]


@pytest.mark.parametrize(("size", "printed"), [(30, True), (31, False)])
def test_many_classes_are_drawn_not_printed(size, printed):
    evaluation = dataclasses.replace(confused(np.eye(size, dtype=int)), names=("n",) * size)
    assert (tables.confusion_table(evaluation) is not None) is printed
    assert bool(tables.confusion_data(evaluation)) is not printed


def test_without_a_confusion():
    evaluation = Evaluation("multilabel", "test", (), {}, ())
    assert tables.confusion_cells(evaluation) == []
    assert tables.confused_pairs(evaluation) == []
    assert tables.confusion_table(evaluation) is None
    assert tables.confusion_data(evaluation) == {}


def test_class_cells():
    assert tables.class_cell("count", 1200) == {
        **{"text": "1\u202f200", "value": 1200, "share": None}
    }
    assert tables.class_cell("f1", 0.625) == {"text": "62.5\u202f%", "value": 0.625, "share": 0.625}
    for missing in (None, float("nan")):
        assert tables.class_cell("f1", missing) == {"text": "–", "value": -1, "share": None}


def test_columns_in_order_of_appearance():
    rows = {"a": {"count": 1, "f1": 0.5}, "b": {"recall": 0.1, "count": 2}}
    assert tables.class_columns(rows) == ["count", "f1", "recall"]


def test_facts(evaluation, bare):
    assert tables.data_facts(evaluation) == [
        ("images answered", "4"),
        ("images skipped", "1"),
        ("classes", "3"),
        ("images a class (min / median / max)", "1 / 1 / 2"),
        ("images with true boxes", "4"),
    ]
    assert tables.data_facts(bare) == [("images answered", "0")]


def test_audit_sorts_by_shape():
    found = tables.audit(
        {
            "layout": "csv",
            "balanced": True,
            "size": 1500,
            "classes": {"dog": 3, "cat": 4000},
            "splits": {"train": {"n": 5, "note": "x"}, "test": {"n": 6}},
            "duplicates": ["a = b"],
            "nothing": (),
        }
    )
    assert found["facts"] == [("layout", "csv"), ("balanced", "True"), ("size", "1\u202f500")]
    assert found["lists"] == [
        {"name": "duplicates", "entries": ["a = b"], "more": 0},
        {"name": "nothing", "entries": [], "more": 0},
    ]
    classes, splits = found["tables"]
    assert classes["rows"] == [("dog", ["3"]), ("cat", ["4\u202f000"])]
    assert splits["columns"] == ["n", "note"]
    assert splits["rows"] == [("train", ["5", "x"]), ("test", ["6", ""])]


def test_skipped_files_keep_their_reasons(evaluation, bare):
    assert tables.skipped_list(evaluation)["entries"] == ["broken.jpg: truncated"]
    assert tables.skipped_list(bare) is None
    many = dataclasses.replace(bare, skipped=(("x.jpg", "empty"),) * 70)
    assert tables.skipped_list(many)["more"] == 20


def test_neighbors_are_rows_of_names_and_cosines(evaluation):
    near = {"cat": (("dog", 0.912), ("owl", -0.2)), "dog": (("cat", 0.9),), "owl": ()}
    found = tables.neighbor_rows(dataclasses.replace(evaluation, neighbors=near))
    assert found == [("cat", [("dog", "0.91"), ("owl", "-0.20")]), ("dog", [("cat", "0.90")])]
    assert tables.neighbor_rows(evaluation) == []
