import json
from pathlib import Path

import numpy as np
import pytest

from lookcloser.core import Label, Prediction, Region


def prediction(**changes):
    heatmap = np.array([[0.0, 0.5], [1.0, 0.25]], dtype=np.float32)
    region = Region("map", "wren", 0.9, (1.0, 2.0, 3.5, 4.0), heatmap)
    values = {
        "task": "classification",
        "labels": (Label("wren", 0.9, 1), Label("robin", 0.1, 0)),
        "regions": (region, Region("scale", "wren", 0.9, step=2, move=(0.6, -0.8, 0.0))),
        "size": (8, 6),
        "path": Path("a/b.jpg"),
    }
    return Prediction(**{**values, **changes})


def test_to_dict_is_json_with_everything_in_it():
    there_and_back = json.loads(json.dumps(prediction().to_dict()))
    assert there_and_back == {
        "task": "classification",
        "path": "a/b.jpg",
        "size": [8, 6],
        "labels": [
            {"name": "wren", "score": 0.9, "index": 1},
            {"name": "robin", "score": 0.1, "index": 0},
        ],
        "caption": None,
        "regions": [
            {
                "kind": "map",
                "label": "wren",
                "score": 0.9,
                "box": [1.0, 2.0, 3.5, 4.0],
                "heatmap": [[0.0, 0.5], [1.0, 0.25]],
                "step": None,
                "move": None,
            },
            {
                "kind": "scale",
                "label": "wren",
                "score": 0.9,
                "box": None,
                "heatmap": None,
                "step": 2,
                "move": [0.6, -0.8, 0.0],
            },
        ],
        "error": None,
        "candidates": None,
        "coverage": None,
        "refusal": None,
        "group": None,
    }


def test_the_image_itself_is_not_printed_or_exported():
    shown = prediction(image=np.zeros((600, 800, 3)), path=None)
    assert "image" not in repr(shown)
    assert "image" not in shown.to_dict()
    assert shown.to_dict()["path"] is None


def test_save_writes_the_plot_and_makes_folders(tmp_path):
    picture = np.full((60, 80, 3), 200, dtype=np.uint8)
    target = prediction(image=picture, path=None, size=(80, 60)).save(tmp_path / "new" / "out.png")
    assert target == tmp_path / "new" / "out.png"
    assert target.stat().st_size > 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (None, None),
        ([[0.0, 0.0]], "no evidence"),
        ([[1.0, 0.95]], "everywhere alike"),
        ([[1.0, 0.5]], None),
    ],
)
def test_a_heatmap_that_points_nowhere_says_why(values, said):
    heatmap = None if values is None else np.array(values, dtype=np.float32)
    assert Region("word", "two", 0.5, heatmap=heatmap).says_nothing == said
