"""A network of torch that is asked with pixels and answers with arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from lookcloser.core.errors import UsageError
from lookcloser.core.sizes import Grid
from lookcloser.core.types import Output
from lookcloser.inference.devices import usable_device
from lookcloser.inference.engine import TorchEngine, as_arrays, weights_digest

Engines = Callable[..., TorchEngine]
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 48), dtype=np.uint8)


def test_an_answer_has_maps_of_the_best_classes(make_engine: Engines) -> None:
    answer = make_engine().answer(PIXELS, 2)
    assert answer.tokens is not None
    assert answer.maps is not None
    best = np.argsort(-answer.logits, axis=1)[:, :2]
    np.testing.assert_array_equal(answer.tokens, best)
    assert answer.maps.shape == (4, 2, 4, 6)
    assert answer.logits.dtype == answer.maps.dtype == np.float32


def test_evidence_is_of_the_classes_that_were_asked_for(make_engine: Engines) -> None:
    engine = make_engine()
    every = engine.evidence(PIXELS, np.tile(np.arange(3), (4, 1)))
    some = engine.evidence(PIXELS, np.array([[2, -1], [0, 1], [1, 2], [2, 0]]))
    assert every.maps is not None
    assert some.maps is not None
    assert some.tokens is not None
    assert some.tokens.tolist() == [[2, -1], [0, 1], [1, 2], [2, 0]]
    np.testing.assert_allclose(some.maps[1, 1], every.maps[1, 1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(some.maps[0, 0], every.maps[0, 2], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(some.logits, every.logits, rtol=1e-5, atol=1e-5)


def test_the_network_is_left_as_it_was(make_engine: Engines) -> None:
    engine = make_engine()
    engine.model.train()
    before = {name: value.clone() for name, value in engine.model.state_dict().items()}
    engine.answer(PIXELS, 1)
    assert engine.model.training
    for name, value in engine.model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_fingerprint_tells_weights_and_preprocessing_apart(make_engine: Engines) -> None:
    engine = make_engine()
    same = make_engine()
    assert engine.fingerprint() == same.fingerprint()
    assert engine.fingerprint() != make_engine(seed=1).fingerprint()
    assert engine.fingerprint() != make_engine(size=Grid(48, 32)).fingerprint()
    header = replace(
        engine.header, preprocessing=replace(engine.header.preprocessing, mean=(0.5, 0.5, 0.5))
    )
    assert weights_digest(engine.model, header) != engine.fingerprint()
    with torch.no_grad():
        next(same.model.parameters()).view(-1)[0] += 1
    assert engine.fingerprint() != same.fingerprint()


def test_a_fingerprint_is_what_it_was_when_sizes_were_plain_pairs(make_engine: Engines) -> None:
    engine = make_engine()
    digest = hashlib.sha256(
        b"Preprocessing(size=(32, 48), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), "
        b"interpolation='bilinear')"
    )
    for name, tensor in sorted(engine.model.state_dict().items()):
        digest.update(name.encode() + tensor.float().numpy().tobytes())
    assert engine.fingerprint() == digest.hexdigest()[:16]


def test_half_precision_leaves_as_float32_and_indices_stay() -> None:
    output = Output(
        torch.ones(1, 2, dtype=torch.float16),
        maps=torch.ones(1, 1, 2, 2, dtype=torch.bfloat16),
        tokens=torch.tensor([[1]]),
        certified=torch.tensor([True]),
        features=torch.ones(1, 5),
    )
    arrays = as_arrays(output)
    assert arrays.maps is not None
    assert arrays.tokens is not None
    assert arrays.certified is not None
    assert (arrays.logits.dtype, arrays.maps.dtype) == (np.float32, np.float32)
    assert (arrays.tokens.dtype, arrays.certified.dtype) == (np.int64, np.bool_)
    assert arrays.boxes is None


def test_pixels_become_the_normalized_input(make_engine: Engines) -> None:
    engine = make_engine()
    preprocessing = engine.header.preprocessing
    channels = (PIXELS / 255).transpose(0, 2, 3, 1)
    wanted = (channels - np.array(preprocessing.mean)) / np.array(preprocessing.std)
    np.testing.assert_allclose(
        engine.images(PIXELS).numpy().transpose(0, 2, 3, 1), wanted, rtol=1e-5, atol=1e-5
    )


def test_devices_are_those_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert usable_device(None) == usable_device("cpu") == torch.device("cpu")
    for name in ("cuda", "cuda:0", "mps", "cqu", "meta"):
        with pytest.raises(UsageError, match=f"{name}: not a device of this machine") as raised:
            usable_device(name)
        assert "Allowed: cpu." in str(raised.value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert usable_device(None) == torch.device("cuda")
    assert usable_device("cuda:1") == usable_device(torch.device("cuda:1"))
    with pytest.raises(UsageError, match="cpu, cuda:0, cuda:1"):
        usable_device("cuda:2")
