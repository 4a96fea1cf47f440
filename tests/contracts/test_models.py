"""What every method must keep, on every kind of backbone. A new method is tested here."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.explain.returned import logits_of
from lookcloser.models import METHODS, build_model, load_model_file, save_model_file

# Small networks of four kinds; the golden numbers are those of networks as people take them.
BACKBONES = ("test_efficientnet", "test_resnet", "test_convnext", "test_vit")
GOLDEN_BACKBONES = ("mobilenetv2_100", "resnet18", "convnext_atto", "vit_tiny_patch16_224")
GOLDEN = Path(__file__).parents[1] / "golden"  # one file per method
CASES = [(name, backbone) for name in METHODS for backbone in BACKBONES]
CLASSIFIERS = [
    (method.name, backbone)
    for method in METHODS.values()
    for backbone in BACKBONES
    if "classification" in method.tasks
]
# Other arguments than the default ones, each on one small network.
VARIANTS = [
    ("osme", {"part_head": "flattened", "size": 64}),
    ("osme", {"part_head": "flattened", "merge": "sum", "size": 64, "parts": 3}),
    ("osme", {"merge": "sum", "mamc_reduction": "paper"}),
    ("racnn", {"apn": "paper", "size": 64}),
    ("racnn", {"crop_mode": "mask", "size": 48}),
    ("racnn", {"train_mode": "alternate", "rank_form": "log", "area_prior": 0.1}),
    ("racnn", {"fusion": "descriptors"}),
    ("cnnrnn", {"decoder": "exact", "tied": False}),
    *((method, {"attend": True, "max_length": 6}) for method in ("rnn", "lstm", "gru")),
    ("feedback", {"feedback_select": "predicted"}),
    *((name, {"places": 2, "view": 32, "whole": 0.3}) for name in ("cam", "feedback", "osme")),
]
NAMES_OF_VARIANTS = ["-".join(map(str, (m, *a, *a.values()))) for m, a in VARIANTS]
VARIED = pytest.mark.parametrize(("method", "arguments"), VARIANTS, ids=NAMES_OF_VARIANTS)
FIELDS = ("logits", "maps", "boxes", "scale_logits", "part_maps", "tokens", "token_scores")
SEQUENCES = ("maps", "tokens", "token_scores")  # as long as the longest answer of a batch
NULL, START, END = 0, 1, 2
TARGETS = {
    "classification": torch.tensor([3, 3, 1, 1]),
    "multilabel": torch.tensor([[1.0, 0, 1, 0, 0], [0, 1, 0, 0, 1], [0, 0, 0, 1, 0], [1] * 5]),
    "captioning": torch.tensor(
        [[START, 3, 4, END], [START, 4, END, NULL], [START, 3, 3, END], [START, END, NULL, NULL]]
    ),
}


def build(method, backbone, num_classes=5, **arguments):
    torch.manual_seed(0)
    return build_model(method, {"num_classes": num_classes, "backbone": backbone} | arguments)


def pictures(count=2, size=(64, 64), seed=0):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(seed))


def constant(model):
    """The same small values in every parameter on every version of every library."""
    for number, parameter in enumerate(model.parameters()):
        steps = torch.arange(parameter.numel(), dtype=torch.float32).view_as(parameter)
        parameter.data = 0.05 * torch.sin(steps + number)
    return model


def parameters_without_gradient(model, images):
    """Names of the parameters that the model's own losses do not reach."""
    # Random inputs and a random direction: no gradient vanishes by symmetry.
    generator = torch.Generator().manual_seed(1)
    terms = model.losses(
        model(images),
        TARGETS[model.tasks[0]],
        lambda logits, _: (logits * torch.randn(logits.shape, generator=generator)).sum(),
    )
    assert all(term.ndim == 0 and torch.isfinite(term) for term in terms.values())
    torch.stack(list(terms.values())).sum().backward()
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]


@pytest.mark.parametrize(("method", "backbone"), CASES)
def test_forward_and_backward_reach_every_parameter(method, backbone):
    model = constant(build(method, backbone)).train()  # no norm starts at zero, as timm's do
    assert parameters_without_gradient(model, pictures(4, (64, 96))) == []


@VARIED
def test_variants_reach_every_parameter(method, arguments):
    model = constant(build(method, "test_resnet", **arguments)).train()
    assert parameters_without_gradient(model, pictures(4)) == []


@pytest.mark.parametrize(("method", "backbone"), CASES)
@pytest.mark.parametrize("size", [(97, 130), (64, 33)])
def test_odd_sizes(method, backbone, size):
    output = build(method, backbone).eval()(pictures(2, size))
    assert output.logits.shape == (2, 5)
    assert torch.isfinite(output.logits).all()
    assert output.maps is None or output.maps.shape[:2] == (2, 5)


@pytest.mark.parametrize(("method", "backbone"), CASES)
def test_an_answer_has_a_map_for_every_token(method, backbone):
    model = build(method, backbone).eval()
    with torch.no_grad():
        output = model.answer(pictures(3, (64, 96)), 2)
    assert output.logits.shape == (3, 5)
    assert output.tokens.ndim == 2
    assert output.tokens.min() >= -1
    assert output.tokens.max() < 5
    if output.maps is not None:
        assert output.maps.shape[:2] == output.tokens.shape
    if model.tasks != ("classification",):
        assert output.token_scores.shape == output.tokens.shape


def assert_equal_one_by_one(together, alone):
    """One output of a batch against those of its images; shorter sequences are padded."""
    for field in FIELDS:
        value = getattr(together, field)
        if value is not None:
            rows = [getattr(output, field) for output in alone]
            if field in SEQUENCES:
                fill = -1 if field == "tokens" else 0
                longest = max(row.shape[1] for row in rows)
                behind = [(0, 0) * (row.ndim - 2) + (0, longest - row.shape[1]) for row in rows]
                rows = [F.pad(*pair, value=fill) for pair in zip(rows, behind, strict=True)]
            torch.testing.assert_close(value, torch.cat(rows), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("method", list(METHODS))
def test_a_session_changes_no_answer(method):
    model = build(method, "test_resnet").eval()
    images, session = pictures(4, (64, 96)), model.session()
    with torch.no_grad():
        expected = model.answer(images, 2)
        for rows in (slice(0, 2), slice(2, 4)):
            with session:
                found = model.answer(images[rows], 2)
            torch.testing.assert_close(found.logits, expected.logits[rows], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", list(METHODS))
def test_views_of_an_answer_have_a_logit_for_each_class(method):
    model, images = build(method, "test_resnet").eval(), pictures(2)
    with torch.no_grad():
        tokens = model.answer(images[:1], 1).tokens[0]
        logits = logits_of(model.following(tokens)(images))
    assert logits.shape == (2, 5)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(("method", "backbone"), CASES)
def test_a_batch_equals_its_images_one_by_one(method, backbone):
    # In double precision: where boxes follow from features, rounding would move what is cut out.
    model, images = build(method, backbone).eval().double(), pictures(3).double()
    with torch.no_grad():
        assert_equal_one_by_one(model(images), [model(image[None]) for image in images])


@VARIED
def test_variants_answer_a_batch_as_its_images_one_by_one(method, arguments):
    model = build(method, "test_resnet", **arguments).eval().double()
    images = pictures(3).double()
    with torch.no_grad():
        assert_equal_one_by_one(model(images), [model(image[None]) for image in images])
        answers = [model.answer(image[None], 2) for image in images]
        assert_equal_one_by_one(model.answer(images, 2), answers)


@pytest.mark.parametrize(("method", "backbone"), CASES)
def test_save_and_load_give_the_same_answers(method, backbone, tmp_path):
    model = build(method, backbone).eval()
    arguments = {"num_classes": 5, "backbone": backbone}
    header = ModelHeader(method, arguments, model.tasks[0], ("a", "b", "c", "d", "e"))
    loaded, header = load_model_file(
        save_model_file(tmp_path / "m.safetensors", model.state_dict(), header)
    )
    assert header == replace(header, preprocessing=header.preprocessing)
    assert not loaded.training
    with torch.no_grad():
        assert torch.equal(loaded(pictures()).logits, model(pictures()).logits)


@VARIED
def test_variants_are_saved_and_loaded(method, arguments, tmp_path):
    model = build(method, "test_resnet", **arguments).eval()
    arguments = {"num_classes": 5, "backbone": "test_resnet", **arguments}
    header = ModelHeader(method, arguments, model.tasks[0], ("a", "b", "c", "d", "e"))
    loaded, header = load_model_file(
        save_model_file(tmp_path / "m.safetensors", model.state_dict(), header)
    )
    assert header.arguments == arguments
    with torch.no_grad():
        answer, again = model.answer(pictures(), 2), loaded.answer(pictures(), 2)
    for field in FIELDS:
        value, same = getattr(answer, field), getattr(again, field)
        assert (value is None and same is None) or torch.equal(value, same)


@pytest.mark.parametrize(("method", "backbone"), CLASSIFIERS)
def test_evidence_for_chosen_classes_is_that_of_all(method, backbone):
    model, images = build(method, backbone).eval(), pictures()
    with torch.no_grad():
        every, best = model(images), model(images, top=3)
        chosen = model(images, targets=torch.tensor([[4, 0], [1, 1]]))
    torch.testing.assert_close(best.logits, every.logits)
    assert torch.equal(best.tokens, every.logits.topk(3).indices)
    rows = torch.arange(2)[:, None]
    torch.testing.assert_close(best.maps, every.maps[rows, best.tokens], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        chosen.maps, every.maps[rows, torch.tensor([[4, 0], [1, 1]])], rtol=1e-4, atol=1e-6
    )
    assert model(images, top=99).maps.shape[1] == 5, "no more maps than classes"
    for impossible in ({"targets": 1}, {"targets": best.tokens, "top": 1}):
        with pytest.raises(LookcloserError, match=r"class indices of shape \(B, K\) as targets"):
            model(images, **impossible)


@pytest.mark.parametrize("backbone", GOLDEN_BACKBONES)
@pytest.mark.parametrize("method", list(METHODS))
def test_golden_output(method, backbone):
    """Constant weights and inputs; the numbers stand in golden/METHOD.json."""
    expected = json.loads((GOLDEN / f"{method}.json").read_text(encoding="utf-8"))[backbone]
    model = constant(build(method, backbone)).eval()
    images = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)
    with torch.no_grad():
        output = model(images)
    torch.testing.assert_close(
        output.logits[0], torch.tensor(expected["logits"]), rtol=1e-3, atol=1e-4
    )
    if output.maps is not None:
        summed = output.maps.sum(dim=(2, 3))[0]
        torch.testing.assert_close(summed, torch.tensor(expected["maps"]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))
def test_a_method_and_its_model_say_the_same(method):
    model = method.load()
    assert (model.name, model.tasks, model.summary) == (method.name, method.tasks, method.summary)
    assert model.Options is method.options, "the constructor takes what the method declares"
    assert method.name == method.name.lower()
    assert set(method.tasks) <= {"classification", "multilabel", "captioning"}
    assert len(method.summary.split()) > 3
    folder = Path(__import__(model.__module__, fromlist=["x"]).__file__).parent
    assert (folder / "README.md").is_file(), "each method has its page"
