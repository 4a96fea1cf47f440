"""Pictures that a network makes, from a network whose classes are colors."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import lookcloser as lc
from lookcloser.core import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.inference.devices import usable_device
from lookcloser.inference.imagining import fool, imagine_class
from lookcloser.inference.stock import StockEngine

COLORS = ("red", "green", "blue")


class Colors(torch.nn.Module):
    """The logit of a class is the mean of its channel."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.eye(3))

    def forward(self, images):
        return images.mean(dim=(2, 3)) @ self.weight


@pytest.fixture
def engine():
    preprocessing = Preprocessing((24, 16), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    header = ModelHeader("timm", {"backbone": "x"}, "classification", COLORS, preprocessing)
    return StockEngine(Colors().eval(), header, torch.device("cpu"))


@pytest.mark.parametrize("target", ["green", "1"])
def test_a_image_of_a_class_has_its_color(engine, target):
    picture = imagine_class(engine, target, steps=40)
    assert picture.size == (16, 24)
    red, green, blue = np.asarray(picture).astype(float).mean(axis=(0, 1))
    assert green > red + 30
    assert green > blue + 30
    again = imagine_class(engine, target, steps=40)
    np.testing.assert_array_equal(np.asarray(again), np.asarray(picture))


def test_a_fooling_image_is_hardly_changed(engine):
    image = Image.new("RGB", (60, 40), (130, 120, 100))
    found = fool(engine, image, "green")
    assert found.flipped
    assert found.target == "green"
    assert found.steps >= 1
    assert found.original.size == found.fooling.size == found.change.size == (16, 24)
    before, after = (
        np.asarray(each).astype(float).mean(axis=(0, 1)) for each in (found.original, found.fooling)
    )
    assert before.argmax() == 0
    assert after[1] >= after[0] - 1  # rounded to whole values
    assert 0 < found.strength < 10
    change = np.asarray(found.change).astype(float).mean(axis=(0, 1))
    assert change[1] > 200
    assert change[0] < 60
    same = fool(engine, image, "red")
    assert (same.steps, same.strength) == (0, 0)


def test_what_is_wrong_is_named(engine):
    image = Image.new("RGB", (8, 8))
    with pytest.raises(LookcloserError, match="gren: unknown class. Close: green"):
        imagine_class(engine, "gren")
    with pytest.raises(LookcloserError, match="steps = 0"):
        imagine_class(engine, "green", steps=0)
    with pytest.raises(LookcloserError, match="max_steps = 0"):
        fool(engine, image, "green", max_steps=0)


def test_another_seed_is_another_image_of_the_class(engine):
    first, second = (np.asarray(imagine_class(engine, "red", steps=5, seed=s)) for s in (0, 1))
    assert not np.array_equal(first, second)


def test_a_class_that_cannot_be_reached_in_time_is_given_up(engine):
    image = Image.new("RGB", (60, 40), (255, 0, 0))
    found = fool(engine, image, "blue", max_steps=1)
    assert not found.flipped
    assert found.steps == 1
    assert found.target == "blue"


def test_no_change_is_shown_as_middle_gray(engine):
    found = fool(engine, Image.new("RGB", (8, 8), (200, 10, 10)), "red")
    assert set(np.asarray(found.change).flat) == {128}, "not the rounding of what is the same"
    np.testing.assert_array_equal(np.asarray(found.original), np.asarray(found.fooling))


def test_a_captioner_and_a_file_that_is_no_image_are_refused(engine, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(LookcloserError, match="not an image that can be read"):
        fool(engine, tmp_path / "a.png", "red")
    writer = replace(engine, header=replace(engine.header, task="captioning"))
    for ask in (lambda: imagine_class(writer, "red"), lambda: fool(writer, "missing", "red")):
        with pytest.raises(LookcloserError, match="writes captions"):
            ask()


def test_an_exported_file_runs_on_the_cpu(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"x")
    with pytest.raises(LookcloserError, match="cuda: not for an exported file. Allowed: cpu"):
        lc.load(tmp_path / "a.onnx", device="cuda")


def test_devices():
    assert usable_device("cpu") == usable_device(torch.device("cpu")) == torch.device("cpu")
    assert usable_device(None).type in {"cpu", "cuda"}
    for name in ("cuda:99", "nonsense", "meta", "", 3.5):
        with pytest.raises(LookcloserError, match=f"{name}: not a device of this machine"):
            usable_device(name)
