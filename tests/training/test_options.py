import subprocess
import sys
from dataclasses import replace

import pytest
import yaml

from lookcloser.core import LookcloserError
from lookcloser.core.errors import UsageError
from lookcloser.core.options import declared
from lookcloser.models import read_header
from lookcloser.recognizer.run import read_config, run_training
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
        ({"mean": "gray"}, "mean gray: not possible. Allowed: three"),
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


class TestOwn:
    """Options of a method."""

    def test_they_stand_beside_the_others(self):
        options = make_options(method="racnn", scales=2, rank_margin="1e-1", size=32)
        assert options.own == {"scales": 2, "rank_margin": 0.1}
        found = options.of_method()
        assert (found.scales, found.rank_margin, found.size, found.crop_mode) == (
            2,
            0.1,
            32,
            "grid",
        )

    def test_none_is_the_methods_default(self):
        assert make_options(method="racnn", scales=None).own == {}
        assert make_options(method="racnn", rank_margin=None).own_option("rank_margin") == 0.05
        assert make_options(method="racnn").own_option("beam") is None

    def test_what_the_data_say_gives_way_to_what_was_given(self):
        said = {"max_length": 7}
        assert make_options(method="lstm").of_method(said).max_length == 7
        assert make_options(method="lstm", max_length=4).of_method(said).max_length == 4

    def test_without_a_method_each_is_checked_alone(self):
        options = make_options(top_p=0.5, scales=2)
        assert options.own_option("scales") == 2
        with pytest.raises(UsageError, match="scales 2: not an option of the method lstm"):
            replace(options, method="lstm")

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"parts": 2, "method": "cam"}, "cam. It belongs to osme."),
            ({"beam": 2, "method": "cam"}, "cam. It belongs to cnnrnn, rnn, lstm, gru."),
            ({"label_counts": [1], "method": "cnnrnn"}, "label_counts: unknown option of train"),
            ({"scales": 1}, "scales 1: not possible. Allowed: 2 or more"),
            ({"scals": 3}, "scals: unknown option of train. Close: scales"),
            ({"method": "lstm", "top_p": 0.5}, "top_p 0.5: not without a temperature"),
            ({"method": "cams"}, "cams: unknown method. Close: cam"),
            (
                {"method": "feedback", "backbone": "two-block", "stride": 8},
                "stride 8: not with the two-block network",
            ),
        ],
    )
    def test_wrong_ones_are_named(self, values, message):
        with pytest.raises(UsageError, match=message):
            make_options(**values)

    def test_what_is_written_is_read_again(self):
        options = make_options(method="racnn", scales=2, mean=[0.1, 0.2, 0.3], stride=8)
        text = yaml.safe_dump(options.to_dict())
        assert make_options(**yaml.safe_load(text)) == options
        assert "scales: 2" in text
        assert "parts" not in text


# The options of a config.yaml of lookcloser 0.1, which had those of all methods.
OLD = """
method: racnn
backbone: test_resnet
weights: none
model_kwargs: {pad_type: same}
stride: null
size: 32
mean: [0.5, 0.5, 0.5]
std: null
interpolation: bilinear
epochs: 2
batch_size: 32
accumulate: 1
optimizer: adamw
lr: 0.003
backbone_lr: null
weight_decay: 0.05
warmup: 1.0
clip: 0.0
label_smoothing: 0.1
drop_rate: 0.0
augment: crop
crop_area: 0.6
flip: null
erase: 0.0
mixup: 0.0
cutmix: 0.0
balance: none
freeze_norm: null
ema: 0.0
patience: 0
precision: 32-true
compile: false
channels_last: true
devices: 1
workers: null
val_share: 0.1
test_share: 0.2
skip_missing: false
seed: 0
source_size: 48
scales: 2
half_side: null
crop_mode: null
apn: null
train_mode: null
rank_margin: null
rank_form: log
area_prior: null
fusion: null
parts: null
part_width: null
part_head: null
merge: null
mamc_weight: null
mamc_reduction: null
mamc_form: null
mamc_gather: null
images_per_class: null
feedback_stage: null
feedback_select: null
feedback_control: null
noise: null
attend: null
threshold: null
loss: null
label_order: null
gate: null
decoder: null
embed_size: null
hidden_size: null
tied: null
beam: null
max_length: null
temperature: null
top_p: null
scheduled_sampling: null
min_count: null
max_words: null
"""


def test_a_config_of_the_first_version_is_read(tmp_path):
    values = {"lookcloser": "0.1.0", "data": "/a/b", "command": "", "options": yaml.safe_load(OLD)}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    data, options = read_config(tmp_path)
    assert data == "/a/b"
    assert options.own == {"source_size": 48, "scales": 2, "rank_form": "log"}
    assert options == make_options(
        method="racnn", backbone="test_resnet", weights="none", scales=2, rank_form="log",
        source_size=48, size=32, epochs=2, mean=[0.5] * 3, model_kwargs={"pad_type": "same"},
    )  # fmt: skip


def test_every_name_of_the_first_version_is_still_there():
    names = set(declared(TrainOptions)) | set(own_options())
    assert set(yaml.safe_load(OLD)) <= names


def test_a_run_of_the_first_version_is_resumed(squares, tmp_path):
    old = yaml.safe_load(OLD) | {"method": "cam", "epochs": 1, "workers": 0, "model_kwargs": {}}
    old |= {"source_size": None, "scales": None, "rank_form": None, "stride": 8}
    values = {"lookcloser": "0.1.0", "data": str(squares), "command": "", "options": old}
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    result = run_training(resume=folder, quiet=True)
    header = read_header(result.folder / "model.safetensors")
    assert (header.method, header.arguments["stride"]) == ("cam", 8)
