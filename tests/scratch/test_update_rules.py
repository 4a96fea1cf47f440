import numpy as np
import pytest
import torch

from lookcloser.scratch import adam, rmsprop, sgd, sgd_momentum

PEERS = [
    (sgd, {"learning_rate": 0.1}, torch.optim.SGD, {"lr": 0.1}),
    (
        sgd_momentum,
        {"learning_rate": 0.1, "momentum": 0.8},
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.8},
    ),
    (
        rmsprop,
        {"learning_rate": 0.1, "decay_rate": 0.9},
        torch.optim.RMSprop,
        {"lr": 0.1, "alpha": 0.9},
    ),
    (
        adam,
        {"learning_rate": 0.1, "beta1": 0.8, "beta2": 0.95},
        torch.optim.Adam,
        {"lr": 0.1, "betas": (0.8, 0.95)},
    ),
    (sgd, {}, torch.optim.SGD, {"lr": 1e-2}),
    (sgd_momentum, {}, torch.optim.SGD, {"lr": 1e-2, "momentum": 0.9}),
    (rmsprop, {}, torch.optim.RMSprop, {"lr": 1e-2}),
    (adam, {}, torch.optim.Adam, {}),
]


@pytest.mark.parametrize(("rule", "config", "optimizer", "options"), PEERS)
def test_ten_steps_equal_torch(rng, rule, config, optimizer, options):
    w = rng.normal(size=(4, 3))
    parameter = torch.nn.Parameter(torch.from_numpy(w.copy()))
    peer = optimizer([parameter], **options)
    for _ in range(10):
        dw = rng.normal(size=w.shape)
        w, config = rule(w, dw, config)
        parameter.grad = torch.from_numpy(dw)
        peer.step()
    np.testing.assert_allclose(w, parameter.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", [sgd, sgd_momentum, rmsprop, adam])
def test_arguments_stay_as_they_were_and_float32_stays(rng, rule):
    w, dw = rng.normal(size=5).astype(np.float32), rng.normal(size=5).astype(np.float32)
    kept, config = (w.copy(), dw.copy()), {"learning_rate": 0.1}
    result, memory = rule(w, dw, config)
    result, _ = rule(result, dw, memory)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(w, kept[0])
    np.testing.assert_array_equal(dw, kept[1])
    assert config == {"learning_rate": 0.1}


def test_momentum_keeps_the_learning_rate_of_earlier_steps():
    w, config = sgd_momentum(np.zeros(1), np.ones(1), {"learning_rate": 1.0, "momentum": 0.5})
    w, _ = sgd_momentum(w, np.ones(1), {**config, "learning_rate": 0.0})
    np.testing.assert_allclose(w, [-1.5])
