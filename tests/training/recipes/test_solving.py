"""What a closed form cannot be solved from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lookcloser.closed_form import Memory
from lookcloser.core import LookcloserError
from lookcloser.data import read_data
from lookcloser.training.options import make_options
from lookcloser.training.recipes import solving
from lookcloser.training.recipes.closed_form import solve
from lookcloser.training.recipes.solving import solved_run


def test_a_class_none_of_whose_images_can_be_read_is_named(squares: Path, tmp_path: Path) -> None:
    for color in ("red", "green"):
        (tmp_path / color).mkdir()
        for number in range(3):
            image = (squares / "train" / color / f"{number}.png").read_bytes()
            content = b"<html>" if color == "red" else image
            (tmp_path / color / f"{number}.png").write_bytes(content)
    options = make_options(
        backbone="test_resnet", weights="none", size=32, recipe="closed-form", workers=0
    )
    with pytest.raises(LookcloserError, match="No training image of 'red' can be read"):
        solved_run(read_data(tmp_path, val_share=0, test_share=0), options, with_val=False)


def test_weights_of_five_axes_are_passed_over(
    squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda networks have some, which no channels-last memory takes."""
    made = solving.rooted

    def with_five_axes(model: Any, header: Any) -> Any:
        model, header = made(model, header)
        model.backbone.register_buffer("five", torch.zeros(1, 1, 1, 2, 2), persistent=False)
        return model, header

    monkeypatch.setattr(solving, "rooted", with_five_axes)
    options = make_options(
        backbone="test_resnet", weights="none", size=32, recipe="closed-form", workers=0
    )
    assert solved_run(read_data(squares), options, with_val=False).features.values.size


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("task", ["classification", "multilabel"])
def test_features_that_are_no_numbers_are_said_to_be_so(value: float, task: Any) -> None:
    """As of weights whose variances are negative; without a warning of NumPy on the way."""
    features = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    features[2, 1] = value
    memory = Memory(features, np.eye(2, dtype=np.bool_)[np.arange(6) % 2])
    with pytest.raises(LookcloserError, match=r"no head.* NaN or infinity\. Check .*weights"):
        solve(memory, task)
