import numpy as np
import pytest

from lookcloser.core import LookcloserError
from lookcloser.scratch import Solver, affine_backward, affine_forward


class Regression:
    """Least squares; remembers the batches it was shown."""

    def __init__(self):
        self.params = {"w": np.zeros((3, 1)), "b": np.zeros(1)}
        self.seen = []

    def loss(self, x, y):
        self.seen.append(y.copy())
        out, cache = affine_forward(x, self.params["w"], self.params["b"])
        difference = (out[:, 0] - y) / len(y)
        _, dw, db = affine_backward(2 * difference[:, None], cache)
        return float(np.sum(difference**2) * len(y)), {"w": dw, "b": db}


@pytest.fixture
def data(rng):
    x = rng.normal(size=(40, 3))
    return x, x @ [1.0, -2.0, 0.5] + 0.3


@pytest.mark.parametrize(
    ("rule", "learning_rate"),
    [("sgd", 0.2), ("sgd_momentum", 0.05), ("rmsprop", 0.02), ("adam", 0.1)],
)
def test_every_rule_finds_the_line(data, rule, learning_rate):
    model = Regression()
    solver = Solver(
        model,
        data,
        update_rule=rule,
        learning_rate=learning_rate,
        lr_decay=0.97,
        batch_size=10,
        num_epochs=100,
    )
    history = solver.train()
    np.testing.assert_allclose(model.params["w"][:, 0], [1.0, -2.0, 0.5], rtol=0, atol=0.02)
    np.testing.assert_allclose(model.params["b"], 0.3, rtol=0, atol=0.02)
    assert history.losses[-1] < 1e-3 < history.losses[0]


def test_an_epoch_shows_every_example_once(data):
    model = Regression()
    Solver(model, data, batch_size=16, num_epochs=2).train()
    assert [len(batch) for batch in model.seen] == [16, 16, 8] * 2
    first, second = np.concatenate(model.seen[:3]), np.concatenate(model.seen[3:])
    np.testing.assert_array_equal(np.sort(first), np.sort(data[1]))
    np.testing.assert_array_equal(np.sort(second), np.sort(data[1]))
    assert (first != second).any()


def test_history_and_decay_go_on_in_a_second_call(data):
    solver = Solver(
        Regression(), data, learning_rate=0.5, lr_decay=0.1, batch_size=20, num_epochs=1
    )
    assert solver.train() is solver.history
    solver.train()
    np.testing.assert_allclose(solver.history.learning_rates, [0.5, 0.5, 0.05, 0.05])
    assert len(solver.history.losses) == 4
    assert solver.learning_rate == pytest.approx(0.005)


def test_settings_reach_the_rule(data):
    steps = []
    for beta1 in (0.0, 0.9):
        model = Regression()
        Solver(model, data, optim_config={"beta1": beta1}, batch_size=10, num_epochs=1).train()
        steps.append(model.params["w"])
    assert (steps[0] != steps[1]).all()


def test_same_seed_same_result(data):
    losses = [
        Solver(Regression(), data, batch_size=8, num_epochs=2, seed=seed).train().losses
        for seed in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"update_rule": "adm"}, r"adm: unknown update rule\. Close: adam"),
        ({"batch_size": 0}, r"0: batch size\. Allowed: 1 or more"),
    ],
)
def test_wrong_settings(data, options, message):
    with pytest.raises(LookcloserError, match=message):
        Solver(Regression(), data, **options)


@pytest.mark.parametrize("lengths", [(3, 4), (0, 0), ()])
def test_wrong_data(lengths):
    with pytest.raises(LookcloserError, match="lengths of the data"):
        Solver(Regression(), [np.zeros(length) for length in lengths])
