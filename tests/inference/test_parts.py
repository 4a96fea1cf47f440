"""The maps of attentions are explained and drawn, whatever the method."""

import numpy as np
import pytest
import torch
from PIL import Image

from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing, input_pixels
from lookcloser.models import build_model
from lookcloser.recognizer import Recognizer
from lookcloser.runtime.regions import heatmaps_of

NAMES = ("blue", "green", "red")
PARTS = {"osme": 2, "feedback": 1, "cam": 0}
IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))


def recognizer(method):
    torch.manual_seed(0)
    arguments = {"backbone": "test_resnet", "stride": 8}
    arguments |= {"part_width": 16} if method == "osme" else {}
    header = ModelHeader(
        method, {"num_classes": 3, **arguments}, "classification", NAMES, Preprocessing((32, 32))
    )
    return Recognizer(build_model(method, header.arguments), header, device="cpu")


@pytest.mark.parametrize("method", PARTS)
def test_each_attention_is_a_view_of_its_own(method):
    asked = recognizer(method)
    found = asked.explain(IMAGE, target="green")
    parts = {name: region for name, region in found.items() if name.startswith("part")}
    assert list(parts) == [f"part {n}" for n in range(1, PARTS[method] + 1)]
    for number, region in enumerate(parts.values()):
        assert (region.kind, region.label, region.step) == ("part", "green", number)
        assert region.box is None
    if parts:
        pixels = input_pixels(IMAGE, asked.header.preprocessing)[None]
        output = asked.engine.evidence(pixels, np.array([[1]]))
        for region, own in zip(parts.values(), heatmaps_of(output.part_maps[0]), strict=True):
            np.testing.assert_array_equal(region.heatmap, own)
    assert not any(name.startswith("part") for name in asked.explain(IMAGE, ["gradcam"]))


@pytest.mark.parametrize("method", PARTS)
def test_a_image_of_an_answer_has_a_panel_for_each_attention(method):
    (answer,) = recognizer(method).predict(IMAGE)
    panels = 2 + PARTS[method]
    bare = answer.plot(regions=0)
    assert answer.plot().width > bare.width
    single = answer.plot().width / panels
    assert single == pytest.approx(bare.width / (panels - 1), rel=0.1)
