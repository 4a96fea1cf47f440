"""Class visualization and fooling images: what is made is what was asked for."""

import pytest
import torch
from torch import nn

from lookcloser.core import LookcloserError
from lookcloser.explain import Fooled, class_visualization, fooling_images

SMALL = {"size": (24, 32), "steps": 30, "jitter": 2}


def ascent_by_hand(model, target, steps, rate, l2, start):
    images = start.clone()
    for _ in range(steps):
        pixels = images.clone().requires_grad_()
        objective = model(pixels)[0, target] - l2 * pixels.square().sum()
        (slope,) = torch.autograd.grad(objective, pixels)
        images = (images + rate * slope / slope.square().mean().sqrt()).clamp(-2, 2)
    return images


def test_without_jitter_and_blur_it_is_gradient_ascent(model):
    start = 0.01 * torch.randn(1, 3, 24, 32, generator=torch.Generator().manual_seed(4))
    options = {"jitter": 0, "blur": 0, "scales": (1.0,), "seed": 4, "rate": 0.1, "l2": 0.02}
    found = class_visualization(model, 3, (24, 32), steps=6, **options)
    expected = ascent_by_hand(model.eval(), 3, 6, 0.1, 0.02, start)
    torch.testing.assert_close(found, expected)


@pytest.fixture(scope="module")
def colors():
    """A network that has learned to tell a red, a green and a blue square, in a second."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(12, 12, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(12, 3),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), 2e-2)
    for _ in range(40):
        images, labels = 0.3 * torch.randn(24, 3, 24, 32, generator=generator), torch.arange(24) % 3
        top, left = (int(torch.randint(limit, (), generator=generator)) for limit in (16, 24))
        images[:, :, top : top + 8, left : left + 8] = -1.0
        images[torch.arange(24), labels, top : top + 8, left : left + 8] = 1.5
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    return model.eval()


def test_the_network_sees_the_class_asked_for_and_so_do_we(colors):
    made = class_visualization(colors, [2, 0, 1], **SMALL)
    with torch.no_grad():
        assert (colors(made).softmax(dim=1)[[0, 1, 2], [2, 0, 1]] > 0.99).all()
    color = made.mean(dim=(2, 3))  # the reddest, the greenest and the bluest image
    assert color.argmax(dim=0).tolist() == [1, 2, 0]


def test_an_image_does_not_depend_on_the_others(model):
    together = class_visualization(model, [4, 0, 4], **SMALL)
    torch.testing.assert_close(together[:1], class_visualization(model, 4, **SMALL))
    torch.testing.assert_close(together[0], together[2])
    assert not torch.allclose(together[0], together[1], atol=0.1)


def test_the_seed_decides(model):
    first = class_visualization(model, 1, **SMALL, seed=0)
    assert torch.equal(first, class_visualization(model, 1, **SMALL, seed=0))
    assert not torch.allclose(first, class_visualization(model, 1, **SMALL, seed=1))


def test_it_grows_through_its_scales(model):
    sizes = []
    model.register_forward_pre_hook(lambda module, inputs: sizes.append(inputs[0].shape[-2:]))
    made = class_visualization(model, 1, (24, 32), steps=9, jitter=2, scales=(0.5, 0.75, 1.0))
    assert sizes == [(12, 16)] * 3 + [(18, 24)] * 3 + [(24, 32)] * 3
    assert made.shape == (1, 3, 24, 32)


def test_fewer_steps_than_scales_still_end_at_the_size_asked_for(model):
    assert class_visualization(model, 1, (24, 32), steps=1).shape == (1, 3, 24, 32)


def test_blur_l2_and_bounds_do_what_they_say(model):
    def made(**options):
        return class_visualization(model, 2, **{**SMALL, "blur": 0, "l2": 0.0, **options})

    def roughness(images):
        return images.diff(dim=2).square().mean() / images.square().mean()

    assert roughness(made(blur=1.0, blur_every=5)) < 0.8 * roughness(made())
    assert made(l2=1.0).square().mean() < 0.5 * made().square().mean()
    assert made(rate=1.0, bounds=(-0.5, 0.25)).aminmax() == (-0.5, 0.25)


def test_jitter_moves_what_the_network_sees(model):
    seen = []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach().clone()))
    class_visualization(model, 2, (24, 32), steps=8, jitter=6, rate=1e-6, scales=(1.0,), blur=0)
    shifts = {
        next(
            (dy, dx)
            for dy in range(-12, 13)
            for dx in range(-12, 13)
            if torch.allclose(image, seen[0].roll((dy, dx), (2, 3)), atol=1e-4)
        )
        for image in seen[1:]
    }
    assert len(shifts) > 3


@pytest.mark.parametrize("scales", [(), (0.5,), (1.0, 0.5, 1.0), (0.0, 1.0)])
def test_wrong_scales_are_named(model, scales):
    with pytest.raises(LookcloserError, match="shares that rise to 1"):
        class_visualization(model, 1, scales=scales)


@pytest.mark.parametrize("targets", [[[1, 2]], 7])
def test_wrong_classes_are_named(model, targets):
    with pytest.raises(LookcloserError, match="Targets of|target 7"):
        class_visualization(model, targets, **SMALL)


def test_on_two_linear_classes_the_change_is_the_distance_to_the_border(images):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 32, 2))
    logits = model(images).detach()
    targets = 1 - logits.argmax(dim=1)
    slope = (model[1].weight[0] - model[1].weight[1]).detach()
    distance = (logits[:, 0] - logits[:, 1]).abs() / slope.norm()
    found = fooling_images(model, images, targets, longest=10.0)
    changes = (found.images - images).flatten(1)
    assert found.flipped.all()
    assert (found.steps == 1).all()
    assert (changes.norm(dim=1) >= distance * 0.9999).all()
    assert (changes.norm(dim=1) <= distance * 1.01 + 1e-3).all()
    cosine = torch.cosine_similarity(changes, slope[None]).abs()
    torch.testing.assert_close(cosine, torch.ones(4), rtol=0, atol=1e-3)


def test_every_image_reaches_its_own_target(everything, images):
    everything.eval()
    with torch.no_grad():
        order = everything(images).argsort(dim=1, descending=True)
    targets = order[torch.arange(4), torch.tensor([0, 1, 2, 4])]
    found = fooling_images(everything, images, targets, max_steps=200)
    assert isinstance(found, Fooled)
    assert found.flipped.all()
    with torch.no_grad():
        assert torch.equal(everything(found.images).argmax(dim=1), targets)
    assert found.steps[0] == 0
    assert torch.equal(found.images[0], images[0])
    assert (found.steps[1:] > 0).all()
    changes = (found.images - images).flatten(1).norm(dim=1)
    assert changes[1] < changes[3]
    # Half of the change is not enough: it was shortened until it only just flips.
    with torch.no_grad():
        halfway = everything(torch.lerp(images, found.images, 0.5)).argmax(dim=1)
    assert (halfway[1:] != targets[1:]).all()


def test_images_that_flipped_are_not_run_again(everything, images):
    everything.eval()
    with torch.no_grad():
        order = everything(images).argsort(dim=1, descending=True)
    targets = order[torch.arange(4), torch.tensor([0, 1, 2, 4])]
    sizes = []
    everything.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    found = fooling_images(everything, images, targets, max_steps=200)
    taken = sizes[1 : int(found.steps.max()) + 2]
    assert taken == [
        int((found.steps >= number).sum()) for number in range(int(found.steps.max()) + 1)
    ]


def test_the_same_alone_and_in_a_batch(everything, images):
    together = fooling_images(everything, images, 3)
    for number, image in enumerate(images):
        alone = fooling_images(everything, image[None], 3)
        torch.testing.assert_close(together.images[number], alone.images[0], rtol=1e-4, atol=1e-4)
        assert together.steps[number] == alone.steps[0]


def test_a_network_that_cannot_be_fooled_is_given_up(images):
    class Constant(nn.Module):
        def forward(self, images):
            return torch.tensor([[1.0, 0.0]]) + 0 * images.sum(dim=(1, 2, 3))[:, None]

    found = fooling_images(Constant(), images, [0, 1, 1, 0], max_steps=3)
    assert found.flipped.tolist() == [True, False, False, True]
    assert found.steps.tolist() == [0, 3, 3, 0]
    assert torch.isfinite(found.images).all()


def test_steps_are_limited(everything, images):
    found = fooling_images(everything, images, 2, max_steps=1, longest=1e-3)
    change = (found.images - images).square().mean(dim=(1, 2, 3)).sqrt()
    assert (change <= 1.001e-3).all()


def test_several_targets_per_image_are_refused(model, images):
    with pytest.raises(
        LookcloserError, match=r"Targets of shape \(4, 2\). Allowed: one int or shape \(4,\)"
    ):
        fooling_images(model, images, [[1, 2]] * 4)
