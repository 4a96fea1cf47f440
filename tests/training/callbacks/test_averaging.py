"""Weights between the first ones and the trained ones."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from lookcloser.core import LookcloserError
from lookcloser.data import read_data
from lookcloser.training.callbacks.averaging import EMA, Blend, averaged
from lookcloser.training.fit import fit, prepare_model
from lookcloser.training.options import make_options
from lookcloser.training.recipes.start import with_solved_head
from lookcloser.training.tasks.classification import ClassificationModule

OPTIONS = {
    "method": "cam", "backbone": "test_resnet", "size": 32, "epochs": 2, "batch_size": 16,
    "workers": 0, "augment": "none",
}  # fmt: skip


@pytest.fixture(scope="module")
def catalog(squares):
    """Without a val: the last epoch is kept."""
    found = read_data(squares)
    return replace(found, samples=tuple(s for s in found.samples if s.split != "val"))


def module_of(catalog, **options):
    made = make_options(**{**OPTIONS, **options})
    model, _ = with_solved_head(*prepare_model(made, catalog), catalog, made)
    return ClassificationModule(model, made, catalog, total_steps=10, warmup_steps=1)


def trained(catalog, folder, weights, **options):
    """The saved weights, and first and last weights by the checkpoint."""
    fit(catalog, make_options(**{**OPTIONS, "weights": weights, **options}), folder, quiet=True)
    checkpoint = torch.load(folder / "last.ckpt", weights_only=True)
    state = checkpoint["state_dict"].items()
    last = {k.removeprefix("model."): v for k, v in state if k.startswith("model.")}
    first = checkpoint["callbacks"].get("Blend", {}).get("first", {})
    return load_file(folder / "model.safetensors"), first, last


@pytest.mark.parametrize("share", [None, 0.25])
def test_what_is_kept_lies_between_start_and_end(catalog, weights, tmp_path, share):
    kept, first, last = trained(catalog, tmp_path, weights, blend=share)
    assert kept.keys() == last.keys()
    moved = 0
    for name in first:
        value = kept[name]
        wanted = torch.lerp(first[name], last[name], 0.5 if share is None else share)
        assert torch.allclose(value, wanted, rtol=1e-5, atol=1e-6 * float(wanted.abs().max() + 1))
        moved += not torch.equal(first[name], last[name])
    assert moved > 5, "or nothing was learned"


def test_switched_off_the_last_weights_are_kept(catalog, weights, tmp_path):
    kept, first, last = trained(catalog, tmp_path, weights, blend=1.0)
    assert not first
    assert all(torch.equal(kept[name], last[name]) for name in kept)


def test_validation_sees_what_is_kept_and_training_goes_on_from_the_trained(catalog, weights):
    module = module_of(catalog, weights=weights)
    blend = averaged(module)
    assert isinstance(blend, Blend)
    with torch.no_grad():
        for value in module.model.parameters():
            value.add_(1.0)
    before = {name: value.clone() for name, value in module.model.state_dict().items()}
    outside = blend.weights()
    blend.on_validation_start()
    inside = module.model.state_dict()
    assert all(torch.equal(outside[f"model.{name}"], value) for name, value in inside.items())
    assert any(not torch.equal(before[name], value) for name, value in inside.items())
    assert all(torch.equal(blend.weights()[k], outside[k]) for k in outside), "also meanwhile"
    blend.on_validation_end()
    after = module.model.state_dict()
    assert all(torch.equal(before[name], value) for name, value in after.items())


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"weights": "none"}, type(None)),
        ({"weights": "none", "blend": 0.5}, Blend),
        ({"ema": 0.9}, EMA),
        ({"ema": 0.9, "blend": 1.0}, EMA),
        ({"freeze_norm": False}, type(None)),
    ],
    ids=str,
)
def test_what_is_kept_follows_from_the_options(catalog, weights, options, kind):
    assert type(averaged(module_of(catalog, **{"weights": weights, **options}))) is kind


def test_two_kinds_of_averages_are_refused():
    with pytest.raises(LookcloserError, match="not beside an average over steps"):
        make_options(ema=0.9, blend=0.5)


def test_a_sharded_network_has_no_second_whole_one(catalog, weights):
    with pytest.raises(LookcloserError, match="0.5: not with --strategy fsdp"):
        make_options(recipe="fine-tune", strategy="fsdp", blend=0.5)
    module = module_of(catalog, weights=weights, recipe="fine-tune", strategy="fsdp")
    assert module.model.root is None, "and no device need hold it to solve a head"
    assert averaged(module) is None
