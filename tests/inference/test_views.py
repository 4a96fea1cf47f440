"""The map that a method answers with is its view "cam", whatever the network looks like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lookcloser.core.calibration import Calibration
from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.explain import VIEWS
from lookcloser.inference.views import look, scores_of
from lookcloser.models import METHODS, Model, build_model
from lookcloser.runtime import label_scores

WITH_MAPS = [name for name, method in METHODS.items() if "captioning" not in method.tasks]


def build(method: str) -> Model:
    torch.manual_seed(0)
    arguments = {"num_classes": 4, "backbone": "test_resnet"}
    model = build_model(method, arguments)
    for parameter in model.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape)
    return model


@pytest.mark.parametrize("method", WITH_MAPS)
def test_cam_of_a_method_is_its_own_map(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in training mode, which it is left in; the general view is not even asked."""
    model = build(method)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    wanted = torch.tensor([[3, 1], [0, 2]])
    with torch.no_grad():
        expected = model.eval()(images, targets=wanted).maps
    assert expected is not None
    assert expected.std() > 0
    model.train()
    monkeypatch.setitem(VIEWS, "cam", lambda *_: pytest.fail("the general view"))
    torch.testing.assert_close(look(model, images, wanted, ["cam"])["cam"], expected)
    torch.testing.assert_close(look(model, images, 3, ["cam"])["cam"][0], expected[0, 0])
    assert model.training


def test_cam_of_any_other_network_is_the_general_view() -> None:
    import timm

    net = timm.create_model("test_resnet", num_classes=4)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(look(net, images, 2, ["cam"])["cam"], VIEWS["cam"](net, images, 2))


@pytest.mark.parametrize("task", ["classification", "multilabel"])
def test_a_view_of_scores_sees_those_of_the_answer(
    task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the model's temperature; of tags, which do not exclude one another, each by itself."""
    header = ModelHeader("cam", {}, task, tuple("abcd"), calibration=Calibration(3.0))
    logits = torch.randn(2, 4, generator=torch.Generator().manual_seed(1)) * 9
    found = scores_of(header)(logits)
    np.testing.assert_allclose(found.numpy(), label_scores(logits.numpy(), header), rtol=1e-5)
    given: dict[str, Any] = {}
    monkeypatch.setitem(VIEWS, "rise", lambda *_, **more: given.update(more) or logits)
    images = torch.zeros(2, 3, 8, 8)
    look(torch.nn.Identity(), images, 1, ["rise"], scores_of(header))
    torch.testing.assert_close(given["score"](logits), found)
    given.clear()
    look(torch.nn.Identity(), images, 1, ["rise"])
    assert given == {}


def test_a_view_that_a_second_look_does_not_have_names_those_that_it_has() -> None:
    own = {"num_classes": 4, "backbone": "test_resnet", "places": 1, "view": 32}
    model = build_model("cam", own)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with pytest.raises(LookcloserError, match="gradcam: CAM: no layer.* places .*take cam, "):
        look(model, images, 2, ["gradcam"])
    assert set(look(model, images, 2, None)) == {"cam", "saliency"}
