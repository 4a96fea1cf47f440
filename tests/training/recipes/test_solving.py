"""What a closed form cannot be solved from."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data import read_data
from lookcloser.training.options import make_options
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
