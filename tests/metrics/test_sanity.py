"""The sanity check tells evidence from an edge detector, and leaves the network alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lookcloser import explain
from lookcloser.core import LookcloserError
from lookcloser.metrics.sanity import UNCHANGED, sanity_check
from lookcloser.metrics.similarity import rank_correlation, structural_similarity


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1, stride=2), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4),
    )  # fmt: skip


def images(count=8, seed=0):
    small = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(small, (24, 24), mode="bilinear")


def class_maps(model, batch):
    """CAM of class i mod 4 of image i."""
    targets = torch.arange(len(batch)) % 4
    return torch.einsum("bdhw,bd->bhw", model[:6](batch), model[8].weight[targets])


def edges(_model, batch):
    gray = batch.mean(dim=1)
    return gray.diff(dim=1)[:, :, 1:].abs() + gray.diff(dim=2)[:, 1:].abs()


@pytest.mark.parametrize("order", ["cascading", "independent"])
@pytest.mark.parametrize("seed", range(4))
def test_class_maps_change_and_edges_do_not(order, seed):
    model, batch = network(seed), images(seed=seed)
    of_network = sanity_check(class_maps, model, batch, order=order, seed=seed)
    assert of_network.left() < 0.4
    assert of_network.repeatable()
    assert not of_network.insensitive()
    np.testing.assert_allclose(of_network.ranks[0], 1)
    np.testing.assert_allclose(of_network.ssim[0], 1)
    of_image = sanity_check(edges, model, batch, order=order, seed=seed)
    assert of_image.left() == pytest.approx(1)
    assert of_image.insensitive()
    np.testing.assert_allclose(of_image.ssim, 1)


@pytest.mark.parametrize("view", ["cam", "gradcam", "saliency"])
def test_the_views_of_the_package_depend_on_the_weights(view):
    targets = torch.arange(8) % 4
    found = sanity_check(
        lambda model, batch: explain.VIEWS[view](model, batch, targets), network(1), images()
    )
    assert found.repeatable()
    assert found.left() < 0.5
    assert not found.insensitive()


def test_a_map_of_edges_behind_one_random_layer_is_flagged():
    """A view that only hides its edges behind a positive factor of the weights."""

    def tinted(model, batch):
        return edges(model, batch) * (1 + model[8].weight.abs().sum())

    assert sanity_check(tinted, network(), images()).insensitive()
    turned = [1.0]

    def turning(model, batch):
        turned[0] = -turned[0]
        return turned[0] * edges(model, batch)

    assert sanity_check(turning, network(), images()).insensitive()


def test_a_view_that_changes_by_itself_is_not_repeatable():
    generator = torch.Generator().manual_seed(0)

    def dice(_model, batch):
        return torch.rand(len(batch), 20, 20, generator=generator)

    found = sanity_check(dice, network(), images())
    assert not found.repeatable()
    assert not found.insensitive()


def test_steps_by_hand():
    """Cascading step k has the last k modules random; independent step k only the kth last."""
    model, batch = network(2), images(seed=2)
    weights = [value.clone() for value in model.state_dict().values()]
    seen = []

    def spy(given, pictures):
        seen.append([value.clone() for value in given.state_dict().values()])
        return class_maps(given, pictures)

    def random_modules(state):
        changed = [not torch.equal(*pair) for pair in zip(state, weights, strict=True)]
        return [any(changed[i : i + 2]) for i in range(0, 8, 2)]

    found = sanity_check(spy, model, batch, order="cascading")
    assert found.stages == (UNCHANGED, "8", "4", "2", "0")
    assert [random_modules(state) for state in seen] == [
        [False] * 4, [False] * 4, [False, False, False, True], [False, False, True, True],
        [False, True, True, True], [True] * 4,
    ]  # fmt: skip
    for state in seen:
        for values, original in zip(state, weights, strict=True):
            torch.testing.assert_close(values.flatten().sort()[0], original.flatten().sort()[0])
    maps = []
    for state in seen[1:]:
        copied = network()
        copied.load_state_dict(dict(zip(copied.state_dict(), state, strict=True)))
        with torch.no_grad():
            maps.append(class_maps(copied, batch).numpy())
    for row, array in enumerate(maps):
        np.testing.assert_allclose(found.ranks[row], rank_correlation(maps[0], array))
        np.testing.assert_allclose(found.ssim[row], structural_similarity(maps[0], array))
    assert found.left() == pytest.approx(np.abs(found.ranks[-1]).mean())
    seen.clear()
    found = sanity_check(spy, model, batch, order="independent")
    assert [random_modules(state) for state in seen[2:]] == [
        [False, False, False, True], [False, False, True, False], [False, True, False, False],
        [True, False, False, False],
    ]  # fmt: skip
    assert found.left() == pytest.approx(np.abs(found.ranks[1:]).mean(axis=1).min())


def test_the_network_is_never_changed():
    model = nn.Sequential(*network(), nn.BatchNorm1d(4))
    model[1].eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    pointers = [weight.data_ptr() for weight in model.parameters()]
    random_state = torch.random.get_rng_state()
    for order in ("cascading", "independent"):
        sanity_check(class_maps, model, images(), order=order)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert modes == [module.training for module in model.modules()]
    assert pointers == [weight.data_ptr() for weight in model.parameters()]
    assert all(weight.grad is None for weight in model.parameters())
    assert torch.equal(random_state, torch.random.get_rng_state())


def test_stages_and_modules():
    model, batch = network(), images(2)
    assert sanity_check(class_maps, model, batch, stages=2).stages == (UNCHANGED, "8 … 4", "2 … 0")
    assert sanity_check(class_maps, model, batch, stages=1).stages == (UNCHANGED, "8 … 0")
    named = sanity_check(class_maps, nn.Sequential(*model), batch, modules=["8", "2"])
    assert named.stages == (UNCHANGED, "8", "2")
    whole = sanity_check(lambda m, x: class_maps(m[0], x), nn.Sequential(model), batch, modules="0")
    assert whole.left() < 0.9
    first = sanity_check(class_maps, model, batch, seed=1)
    np.testing.assert_array_equal(first.ranks, sanity_check(class_maps, model, batch, seed=1).ranks)


def test_shared_weights_are_shuffled_once():
    model = nn.ModuleDict({"a": nn.Linear(9, 9), "b": nn.Linear(9, 9)})
    model["b"].weight = model["a"].weight
    seen = []

    def spy(given, batch):
        seen.append(given["a"].weight is given["b"].weight)
        return batch[:, 0]

    sanity_check(spy, model, images(2), stages=1)
    assert seen == [True] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order": "cascade"}, "Close: cascading"),
        ({"stages": 0}, "stages = 0"),
        ({"modules": ["9"]}, "9: unknown module"),
        ({"model": nn.ReLU()}, "A network without weights"),
        ({"explain": lambda model, batch: batch}, "explain. returned maps of shape"),
    ],
)
def test_errors_name_the_fault(arguments, message):
    given = {"explain": class_maps, "model": network(), "images": images(2)} | arguments
    with pytest.raises(LookcloserError, match=message):
        sanity_check(**given)
