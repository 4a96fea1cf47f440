import subprocess
import sys

import pytest

from lookcloser.core import LookcloserError
from lookcloser.core.errors import UsageError
from lookcloser.core.options import declared
from lookcloser.training import TrainOptions
from lookcloser.training.options import make_options, own_options


def test_every_option_has_a_line_of_help():
    for item in [*declared(TrainOptions).values(), *own_options().values()]:
        assert item.help.endswith("."), item.name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, "epoch: unknown option of train. Close: epochs"),
        ({"augment": "crops"}, "crops: unknown augment. Close: crop"),
        ({"epochs": 0}, "epochs 0: not possible. Allowed: a number above 0"),
        ({"label_smoothing": 1.0}, "label_smoothing 1.0: not possible. Allowed: a number from 0"),
        ({"workers": -1}, "workers -1"),
        ({"mean": [0.5]}, r"mean \(0.5,\): not possible. Allowed: three finite numbers or null"),
        ({"mean": "grey"}, "mean grey: not possible. Allowed: three"),
        ({"std": [0, 1, 1]}, "std .* three finite numbers, each above 0"),
        ({"epochs": "many"}, "epochs many: not possible. Allowed: a whole number"),
        ({"epochs": 3.5}, "epochs 3.5: not possible. Allowed: a whole number"),
        ({"epochs": True}, "epochs True: not possible. Allowed: a whole number"),
        ({"lr": "fast"}, "lr fast: not possible. Allowed: a finite number"),
        ({"compile": "yes"}, "compile yes: not possible. Allowed: true or false"),
        ({"backbone": None}, "backbone None: not possible. Allowed: a word"),
        ({"precision": 32}, "32: unknown precision"),
        ({"model_kwargs": ["a"]}, "model_kwargs .* Allowed: names with values"),
        ({"stride": 0}, "stride 0: not possible. Allowed: a number above 0"),
    ],
)
def test_wrong_values_are_named_with_what_is_allowed(values, message):
    with pytest.raises(LookcloserError, match=message):
        make_options(**values)


@pytest.mark.parametrize(
    "name",
    ["backbone_lr", "weight_decay", "warmup", "clip", "mixup", "cutmix", "patience", "seed"],
)
def test_amounts_are_not_negative(name):
    with pytest.raises(UsageError, match=f"{name} -3.*Allowed: 0 or more"):
        make_options(**{name: -3})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "nan"])
@pytest.mark.parametrize("name", ["lr", "clip", "warmup", "weight_decay", "ema", "noise"])
def test_no_number_is_nan_or_without_bounds(name, value):
    with pytest.raises(UsageError, match=f"{name} (nan|inf): .* finite number"):
        make_options(**{name: value})


def test_numbers_that_yaml_takes_for_text_are_read():
    assert make_options(lr="1e-3").lr == 0.001
    assert make_options(warmup=2).warmup == 2.0


def test_means_become_tuples():
    assert make_options(mean=[0, 0.5, 1]).mean == (0.0, 0.5, 1.0)


def test_options_load_no_torch():
    program = "import lookcloser.training, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
