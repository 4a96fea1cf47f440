"""What every view must keep, each fault of which was seen in a package that people use."""

import gc
import threading
from functools import partial

import pytest
import timm
import torch

from lookcloser.core import LookcloserError
from lookcloser.explain import VIEWS, class_visualization, fooling_images

FEW = {
    "smoothgrad": {"samples": 2},
    "integrated_gradients": {"steps": 3},
    "occlusion": {"window": 8},
    "rise": {"masks": 30},
}
CALLS = {name: partial(view, **FEW.get(name, {})) for name, view in VIEWS.items()}


@pytest.fixture
def model(everything):
    return everything


@pytest.fixture(params=CALLS.values(), ids=CALLS)
def view(request):
    return request.param


def test_targets_in_every_form(model, images, view):
    every = view(model, images, torch.arange(5).expand(4, 5))
    assert every.shape[:2] == (4, 5)
    best = model.eval()(images).argmax(dim=1)
    own = torch.tensor([3, 0, 4, 1])
    rows = torch.arange(4)
    torch.testing.assert_close(view(model, images), every[rows, best])
    torch.testing.assert_close(view(model, images, 2), every[:, 2])
    torch.testing.assert_close(view(model, images, own), every[rows, own])
    torch.testing.assert_close(view(model, images, [3, 0, 4, 1]), every[rows, own])


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"eigencam", "attention_rollout"}))
def test_a_map_depends_on_its_target(model, images, name):
    every = CALLS[name](model, images, torch.arange(5).expand(4, 5))
    for first in range(5):
        for second in range(first):
            assert not torch.allclose(every[:, first], every[:, second], rtol=1e-3)


def test_one_target_for_a_batch_gives_each_image_its_own_map(model, images, view):
    together = view(model, images, 2)
    alone = torch.cat([view(model, image[None], 2) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5 * alone.abs().max().item())
    assert (together.flatten(1).abs().sum(dim=1) > 0).all()


def test_maps_are_plain_float32(model, images, view):
    maps = view(model, images.clone().requires_grad_(), 2)
    assert maps.dtype == torch.float32
    assert not maps.requires_grad
    assert torch.isfinite(maps).all()


def test_the_model_is_left_as_it_was_found(model, images, view):
    model.norm.eval()
    model.fc.weight.grad = torch.full_like(model.fc.weight, 7.0)
    model.stem.weight.requires_grad_(False)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    random, given = torch.get_rng_state(), images.clone()
    view(model, images)
    with pytest.raises(LookcloserError):
        view(model, images, 99)
    assert [module.training for module in model.modules()] == modes
    for name, module in model.named_modules():
        assert not module._forward_hooks, name
        assert not module._forward_pre_hooks, name
        assert not module._backward_hooks, name
        assert set(vars(module)) == attributes[name], name
    assert (model.fc.weight.grad == 7.0).all()
    assert model.last.weight.grad is None
    assert not model.stem.weight.requires_grad
    assert model.last.weight.requires_grad
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(images, given)
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_nothing_is_left_after_an_exception_which_reaches_the_caller(model, images, view):
    def fail(module, inputs):
        raise ZeroDivisionError("inside the model")

    view(model, images)
    handle = model.fc.register_forward_pre_hook(fail)
    with pytest.raises(ZeroDivisionError, match="inside the model"):
        view(model, images)
    handle.remove()
    assert torch.is_grad_enabled()
    assert torch.overrides._get_current_function_mode_stack() == []
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("block", [torch.no_grad, torch.inference_mode])
def test_works_without_gradients_around(model, images, view, block):
    expected = view(model, images, 1)
    with block():
        made_inside, target = images.clone(), torch.full((4,), 1)
        torch.testing.assert_close(view(model, made_inside, target), expected)
        assert not torch.is_grad_enabled()
        assert torch.is_inference_mode_enabled() == (block is torch.inference_mode)


def test_works_under_bfloat16_autocast(model, images, view):
    expected = view(model, images, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = view(model, images, 1)
    assert found.dtype == torch.float32
    # Occlusion subtracts logits of eight bits each: its maps are alike, not close.
    alike = torch.cosine_similarity(found.flatten(1), expected.flatten(1))
    assert (alike > 0.97).all()
    assert found.norm().item() == pytest.approx(expected.norm().item(), rel=0.1)


def test_works_after_inference_in_the_same_autocast_block(model, images, view):
    # Autocast may remember its copies of the weights: those of inference_mode cannot enter a graph.
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        model(images)
        assert torch.isfinite(view(model, images, 1)).all()


def test_training_in_the_same_autocast_block_still_learns(model, images, view):
    # A remembered copy of a weight made without a graph would end the gradients of the step.
    with torch.autocast("cpu", dtype=torch.bfloat16):
        view(model, images, 1)
        model(images).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_works_in_bfloat16_weights(model, images, view):
    maps = view(model.bfloat16(), images.bfloat16(), 1)
    assert maps.dtype == torch.float32
    assert torch.isfinite(maps).all()


REFUSED = {
    "test_resnet": {"attention_rollout", "attention_relevance"},
    "test_convnext": {
        "attention_rollout",
        "attention_relevance",
        "cam",
        "deconvnet",
        "guided_backprop",
    },
    "test_vit": {"cam", "deconvnet", "guided_backprop"},
}


@pytest.mark.parametrize("network", REFUSED)
def test_views_of_other_peoples_networks_work_or_say_why_not(network):
    torch.manual_seed(0)
    model = timm.create_model(network, num_classes=5)
    images = torch.randn(1, 3, 160, 160)
    for name, view in VIEWS.items():
        few = {**FEW, "occlusion": {"window": 80}, "rise": {"masks": 4}}.get(name, {})
        if name in REFUSED[network]:
            with pytest.raises(LookcloserError, match=r"\. Use (gradcam|saliency)"):
                view(model, images, 3, **few)
        else:
            maps = view(model, images, 3, **few)
            assert torch.isfinite(maps).all()
            assert maps.abs().max() > 0


def test_frozen_parameters_do_not_matter(model, images, view):
    expected = view(model, images, 1)
    model.requires_grad_(False)
    torch.testing.assert_close(view(model, images, 1), expected)


def test_the_same_call_gives_the_same_map(model, images, view):
    first = view(model, images, 1)
    torch.manual_seed(99)
    assert torch.equal(view(model, images, 1), first)


def test_threads_share_one_model(model, images, view):
    expected = [view(model, images, target) for target in range(5)]
    wrong = []

    def work(target):
        for _ in range(5):
            if not torch.allclose(view(model, images, target), expected[target], rtol=1e-4):
                wrong.append(target)

    in_threads([partial(work, number % 5) for number in range(8)])
    assert wrong == []
    assert all(module.training for module in model.modules())


def test_threads_with_different_views_do_not_notice_each_other(model, images):
    expected = {name: call(model, images, 3) for name, call in CALLS.items()}
    plain = model.eval()(images)
    wrong = []

    def work(offset):
        names = list(CALLS)
        for name in names[offset:] + names[:offset]:
            if not torch.allclose(CALLS[name](model, images, 3), expected[name], rtol=1e-4):
                wrong.append(name)
            if not torch.equal(model(images), plain):
                wrong.append(f"the model itself, after {name}")

    in_threads([partial(work, 2 * number) for number in range(8)])
    assert wrong == []


def in_threads(jobs):
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def tensors():
    gc.collect()
    return sum(issubclass(type(item), torch.Tensor) for item in gc.get_objects())


def test_many_calls_keep_no_tensors(model, images):
    for view in CALLS.values():
        view(model, images)
    before = tensors()
    for view in CALLS.values():
        for _ in range(5):
            view(model, images)
    assert tensors() <= before


@pytest.mark.parametrize(
    "make",
    [
        lambda model, images: class_visualization(model, torch.tensor([1, 4]), (24, 32), steps=3),
        lambda model, images: fooling_images(model, images, torch.full((4,), 2)).images,
    ],
    ids=["class_visualization", "fooling_images"],
)
def test_made_images_have_the_same_manners(model, images, make):
    state = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    expected = make(model, images)
    with torch.inference_mode():
        torch.testing.assert_close(make(model, images.clone()), expected)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isfinite(make(model, images)).all()
    wrong = []
    in_threads(
        [lambda: wrong.extend([1] * (not torch.allclose(make(model, images), expected)))] * 8
    )
    assert wrong == []
    assert not expected.requires_grad
    assert torch.equal(torch.get_rng_state(), random)
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name
