"""What is explained of a network, and for which class: taken rightly or refused in one sentence."""

import math
import warnings
from collections import namedtuple
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from lookcloser.core import LookcloserError
from lookcloser.explain import (
    VIEWS,
    NamedOutput,
    cam,
    class_visualization,
    eigencam,
    fooling_images,
    gradcam,
    guided_backprop,
    integrated_gradients,
    normalize,
    occlusion,
    rise,
    saliency,
    scorecam,
    smoothgrad,
)
from lookcloser.explain.returned import logits_of
from lookcloser.explain.targets import class_indices

LOGITS = torch.zeros(3, 4)


@pytest.mark.parametrize(
    "targets",
    [2, np.int64(2), np.uint8(2), np.array(2), torch.tensor(2), [2, 2, 2], (2, 2, 2),
     np.array([2, 2, 2]), torch.tensor([2, 2, 2], dtype=torch.uint8),
     [torch.tensor(2), np.int32(2), 2], torch.eye(4)[[2, 2, 2]], torch.eye(4)[[2, 2, 2]].bool(),
     np.eye(4, dtype=int)[[2, 2, 2]], [[0, 0, 1, 0]] * 3],
)  # fmt: skip
def test_one_class_in_every_form(targets):
    indices, several = class_indices(targets, LOGITS)
    assert indices.tolist() == [[2], [2], [2]]
    assert not several


def test_rows_of_classes_are_no_one_hot_rows():
    for rows in ([[0, 1, 2, 3]] * 3, [[1, 0], [0, 1], [1, 1]], [[2], [0], [1]]):
        indices, several = class_indices(rows, LOGITS)
        assert indices.tolist() == rows
        assert several
    both, several = class_indices([[0, 1], [1, 0]], torch.zeros(2, 2))
    assert both.tolist() == [[0, 1], [1, 0]]
    assert several


@pytest.mark.parametrize(
    "targets",
    ["cat", ["cat", "dog", "cat"], 1.5, [0.0, 1.0, 2.0], torch.tensor([0.5, 1.0, 2.0]), True,
     [True, False, True], [[0, 1], [2], [0]], [None, 1, 2], {"cat": 1}, object(), [], 2**70,
     torch.zeros(3, 0), torch.zeros(3, 4), torch.ones(3, 4), -1, 4, [0, 1],
     np.zeros((3, 2, 2), int), np.array(["1", "2", "3"]), 1j],
)  # fmt: skip
def test_what_is_no_class_is_refused(targets):
    with pytest.raises(LookcloserError, match="[Tt]arget"):
        class_indices(targets, LOGITS)


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_refuses_wrong_arguments_in_a_sentence(name, everything, images):
    view = VIEWS[name]
    for model, given, target in (
        (everything, images[0], 1),
        (everything, images[:0], 1),
        (everything, images.byte(), 1),
        (everything, images.numpy(), 1),
        (everything, images[:, :1], 1),
        (everything, images * torch.nan, 1),
        ("everything", images, 1),
        (everything, images, "cat"),
        (everything, images, 5),
    ):
        with pytest.raises(LookcloserError):
            view(model, given, target)


@pytest.mark.parametrize(
    ("view", "options"),
    [(smoothgrad, {"samples": 0}), (smoothgrad, {"noise": -1}), (rise, {"masks": 0}),
     (rise, {"keep": 0}), (rise, {"cells": 0}), (integrated_gradients, {"steps": 0}),
     (occlusion, {"window": 0}), (occlusion, {"window": 2, "stride": 3}),
     (occlusion, {"window": 1.5}), (occlusion, {"window": "8"}), (occlusion, {"stride": 0.5}),
     (smoothgrad, {"samples": None}), (smoothgrad, {"noise": "a"}), (smoothgrad, {"seed": None}),
     (smoothgrad, {"noise": math.nan}), (rise, {"seed": 2**63}), (rise, {"masks": 1.5}),
     (rise, {"keep": None}), (rise, {"score": 3}), (rise, {"masks": 2, "score": torch.sum}),
     (integrated_gradients, {"steps": 2.0}), (integrated_gradients, {"baseline": "black"}),
     (integrated_gradients, {"baseline": torch.zeros(7)}),
     (integrated_gradients, {"baseline": math.inf})],
)  # fmt: skip
def test_options_out_of_range_are_named(view, options, everything, images):
    with pytest.raises(LookcloserError, match=f"(?i){list(options)[-1]}"):
        view(everything, images, 1, **options)


Named = namedtuple("Named", ["species", "color"])
A, B = torch.zeros(2, 5), torch.ones(2, 7)


@pytest.mark.parametrize(
    "output",
    [A, (A,), [A], (torch.tensor(1.0), A), {"out": A, "map": torch.zeros(2, 5, 3, 3)},
     {"logits": A, "pooler_output": B}, Named(A, None)],
)  # fmt: skip
def test_the_only_logits_are_taken(output):
    assert logits_of(output) is A


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ((A, B), r"0 \(2, 5\), 1 \(2, 7\).*output = 0 or 1"),
        ({"features": B, "out": A}, r"features \(2, 7\), out \(2, 5\).*'features' or 'out'"),
        (Named(A, B), "species .*color"),
        ({"pooler_output": A}, "features, not the logits of classes"),
        ({"image_embeds": A}, "features, not the logits of classes"),
        (torch.zeros(2, 5, 3), r"\(2, 5, 3\)"),
        (torch.zeros(2), r"\(2,\)"),
        (None, "NoneType"),
        ({}, "dict"),
        ("logits", "str"),
    ],
)
def test_other_outputs_are_refused(output, message):
    with pytest.raises(LookcloserError, match=message):
        logits_of(output)


def test_one_of_several_outputs_by_name(model, images):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.other = model, nn.Linear(3, 7)

        def forward(self, images):
            return {"color": self.other(images.mean(dim=(2, 3))), "species": self.body(images)}

    both = Two().train()
    named = NamedOutput(both, "species")
    torch.testing.assert_close(gradcam(named, images, 3), gradcam(model, images, 3))
    torch.testing.assert_close(
        gradcam(named, images, 3, layer="body.last"), gradcam(model, images, 3, layer="last")
    )
    assert all(module.training for module in both.modules())
    with pytest.raises(LookcloserError, match="specie: unknown output. Close: species"):
        gradcam(NamedOutput(both, "specie"), images, 3)


@pytest.fixture
def quantized():
    pytest.importorskip("torch.ao.quantization")
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 4, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 5),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that this will move to another package
        return torch.ao.quantization.quantize_dynamic(net.eval(), {nn.Linear}, dtype=torch.qint8)


def test_quantized_networks(quantized, images):
    for view in (cam, gradcam, saliency, guided_backprop):
        with pytest.raises(LookcloserError, match="is quantized, so it has no gradients"):
            view(quantized, images, 1)
    for view in (scorecam, eigencam):
        assert view(quantized, images, 1).shape == (4, 6, 8)
    assert occlusion(quantized, images, 1, window=8).shape == (4, 24, 32)
    assert torch.isfinite(rise(quantized, images, 1, masks=10)).all()


def test_a_single_class_has_evidence(images):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 4, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 1),
    ).eval()  # fmt: skip
    for view in (cam, gradcam, saliency):
        assert view(net, images).shape[0] == 4
    maps = rise(net, images, masks=50)
    probabilities = rise(net, images, masks=50, score=torch.sigmoid)
    torch.testing.assert_close(maps, probabilities)
    with pytest.raises(LookcloserError, match="target 1: no such class"):
        cam(net, images, 1)


def test_normalize_clips_at_a_share_of_the_pixels():
    maps = torch.arange(100.0).reshape(1, 10, 10)
    maps[0, 0, 0] = 1e6
    assert normalize(maps)[0, 9, 9] < 1e-3
    clipped = normalize(maps, 0.99)
    assert clipped[0, 0, 0] == 1
    assert clipped[0, 9, 9] == 1
    assert clipped[0, 5, 0] == pytest.approx(50 / 99)
    assert not normalize(-maps, 0.99).any()
    lonely = torch.zeros(1, 10, 10)
    lonely[0, 3, 3] = 2.0
    assert torch.equal(normalize(lonely, 0.9), lonely / 2)


@pytest.mark.parametrize(
    "targets",
    [torch.eye(4)[:3].to_sparse(), torch.zeros(3, dtype=torch.long, device="meta"),
     np.uint64(2**63),
     [[1, 0, 1, 0]] * 3, np.array([[0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=bool)],
)  # fmt: skip
def test_tensors_without_plain_numbers_and_rows_of_several_ones_are_refused(targets):
    with pytest.raises(LookcloserError, match="[Tt]argets"):
        class_indices(targets, LOGITS)
    with pytest.raises(LookcloserError, match="[Tt]argets"):
        class_visualization(nn.Linear(1, 1), targets)


@pytest.mark.parametrize("targets", ["cat", None, [1, "cat"], {2}, 2**70, [], 1.5, [True]])
def test_made_images_want_a_class_too(targets, gap, images):
    for call in (
        lambda: class_visualization(gap(), targets, (8, 8), steps=1),
        lambda: fooling_images(gap(), images, targets, max_steps=1),
    ):
        with pytest.raises(LookcloserError, match="[Tt]argets"):
            call()


@dataclass
class Answer:
    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None


class Plain:
    def __init__(self, **parts):
        self.__dict__.update(parts)


@pytest.mark.parametrize(
    "output",
    [{"head": {"logits": A}, "feat": B}, {"logits": A, "aux": {"logits": B}}, ((A,), None),
     Answer(logits=A), [Answer(torch.tensor(1.0), A)], Plain(scores=A), {"Logits": A, "emb": B},
     (A, A.to_sparse()), (A, B * 1j)],
)  # fmt: skip
def test_logits_are_found_inside_other_outputs(output):
    assert logits_of(output) is A


@pytest.mark.parametrize(
    "name",
    ["feat", "emb", "z", "latent", "pre_logits", "x_norm_clstoken", "backbone.out", "boxes"],
)
def test_outputs_with_the_name_of_features_are_no_classes(name):
    with pytest.raises(LookcloserError, match=f"{name} .*features, not the logits of classes"):
        logits_of({name: A})
    with pytest.raises(LookcloserError, match=f"'head.a' or 'head.{name}'"):
        logits_of({"head": {"a": A, name: B}})


@pytest.mark.parametrize("wrap", [nn.Sequential, nn.DataParallel, lambda network: network])
def test_a_classifier_that_was_taken_out_names_no_class(wrap, gap, images):
    network = gap()
    network.fc = nn.Identity()
    wrapped = wrap(network)
    for view in (cam, gradcam, saliency, occlusion):
        with pytest.raises(LookcloserError, match="has no classifier .*fc is nn.Identity"):
            view(wrapped, images, 1)
    assert eigencam(wrapped, images).shape == (4, 12, 16)
    named = NamedOutput(wrapped, "output")  # the user's word counts
    assert saliency(named, images, 1).shape == (4, 24, 32)


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_no_view_shows_what_is_not_finite(name, everything, images):
    with torch.no_grad():
        everything.fc.weight[2, 3] = torch.nan
    with pytest.raises(LookcloserError, match="not finite"):
        VIEWS[name](everything, images, 1)


def test_a_class_that_is_ruled_out_leaves_the_others(gap, images):
    network = gap()
    with torch.no_grad():
        network.fc.bias[4] = -torch.inf
    assert torch.isfinite(saliency(network, images, 1)).all()


@pytest.mark.parametrize("name", sorted(set(VIEWS) - {"cam"}))
def test_no_view_of_an_answer_that_knows_no_image(name, everything, images):
    nn.init.zeros_(everything.fc.weight)
    options = {"rise": {"masks": 3}, "occlusion": {"window": 12}, "smoothgrad": {"samples": 1}}
    with pytest.raises(LookcloserError, match="does not depend on the image"):
        VIEWS[name](everything, images, 1, **options.get(name, {}))


def test_a_class_without_weights_has_a_map_of_nothing(gap, images):
    network = gap()
    nn.init.zeros_(network.fc.weight[2])
    assert not cam(network, images, 2).any()
    assert not saliency(network, images, 2).any()
    nn.init.zeros_(network.fc.weight)
    with pytest.raises(LookcloserError, match="does not depend on the image"):
        cam(network, images, 2)


class Script(nn.Module):
    def __init__(self):
        super().__init__()
        self.last, self.fc = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.last(images)).mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def scripts():
    torch.manual_seed(0)
    network = Script().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that TorchScript will go
        script = torch.jit.script(network)
        return network, (script, torch.jit.freeze(script), torch.jit.trace(network, IMAGE))


IMAGE = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(3))


def test_what_is_compiled_to_a_script_is_looked_at_from_outside(scripts):
    network, compiled = scripts
    for script in compiled:
        torch.testing.assert_close(saliency(script, IMAGE, 1), saliency(network, IMAGE, 1))
        torch.testing.assert_close(occlusion(script, IMAGE, 1), occlusion(network, IMAGE, 1))
        for view in (cam, gradcam, eigencam, scorecam, partial(gradcam, layer="last")):
            with pytest.raises(LookcloserError, match="compiled by TorchScript"):
                view(script, IMAGE, 1)


def test_a_script_in_a_network_is_passed_over(scripts):
    network, (script, *_) = scripts
    both = nn.Sequential(script.last, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), network.fc)
    torch.testing.assert_close(cam(both, IMAGE, 1), cam(network, IMAGE, 1))


@pytest.mark.parametrize(
    "options",
    [{"size": 32}, {"size": (0, 8)}, {"size": (8.0, 8)}, {"steps": 1.5}, {"steps": -1},
     {"rate": "a"}, {"l2": None}, {"jitter": -1}, {"blur": -1}, {"blur_every": 0},
     {"scales": 1.0}, {"scales": ()}, {"scales": (math.nan, 1)}, {"bounds": 1},
     {"bounds": (2, -2)}, {"seed": "a"}],
)  # fmt: skip
def test_options_of_a_class_visualization(options, gap):
    name = {"size": "size|rows|columns"}.get(*options, *options)
    with pytest.raises(LookcloserError, match=f"(?i)^({name}) = "):
        class_visualization(gap(), 1, **{"size": (8, 8), "steps": 1, **options})


@pytest.mark.parametrize("options", [{"max_steps": 1.5}, {"max_steps": -1}, {"longest": "a"}])
def test_options_of_a_fooling_image(options, gap, images):
    with pytest.raises(LookcloserError, match=f"(?i)^{next(iter(options))} = "):
        fooling_images(gap(), images, 1, **options)


def test_a_baseline_in_every_form(gap, images):
    network = gap()
    maps = integrated_gradients(network, images, 1, baseline=0.5, steps=2)
    for baseline in (np.float32(0.5), torch.full((3, 1, 1), 0.5), np.full((3, 24, 32), 0.5)):
        again = integrated_gradients(network, images, 1, baseline=baseline, steps=2)
        torch.testing.assert_close(again, maps)


def test_an_answer_without_a_way_back_is_said_to_have_none(gap, images):
    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = gap()

        def forward(self, images):
            return self.network(images).detach()

    for view in (saliency, smoothgrad, fooling_images):
        with pytest.raises(LookcloserError, match="no gradient flows from its answer"):
            view(Cut(), images, 1)
    assert occlusion(Cut(), images, 1).any()
