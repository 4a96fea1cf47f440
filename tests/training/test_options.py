import subprocess
import sys
from dataclasses import fields

import pytest

from lookcloser.core import LookcloserError
from lookcloser.training import TrainOptions
from lookcloser.training.options import make_options


def test_every_option_has_a_line_of_help():
    for item in fields(TrainOptions):
        assert item.metadata["help"].endswith("."), item.name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, "epoch: unknown option of train. Close: epochs"),
        ({"augment": "crops"}, "crops: unknown --augment. Close: crop"),
        ({"epochs": 0}, "--epochs 0: not possible. a number above 0"),
        ({"label_smoothing": 1.0}, "--label-smoothing 1.0: not possible. a number from 0"),
        ({"workers": -1}, "--workers -1"),
        ({"mean": [0.5]}, r"mean \(0.5,\). Three numbers"),
    ],
)
def test_wrong_values_are_named_with_what_is_allowed(values, message):
    with pytest.raises(LookcloserError, match=message):
        make_options(**values)


def test_means_become_tuples():
    assert make_options(mean=[0, 0.5, 1]).mean == (0.0, 0.5, 1.0)


def test_options_load_no_torch():
    program = "import lookcloser.training, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
