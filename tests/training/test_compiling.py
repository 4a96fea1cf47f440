import pytest
import torch
from torch import nn

from lookcloser.core.errors import LookcloserError
from lookcloser.training.compiling import compiled, compiling


def fails(_graph, _inputs):
    raise OSError("no compiler found: g++\nand how to say so to torch's developers")


@pytest.fixture
def with_backend(monkeypatch):
    """Call it with the backend that `torch.compile` is to have."""
    real = torch.compile

    def take(backend):
        torch.compiler.reset()
        monkeypatch.setattr(
            torch, "compile", lambda model, **how: real(model, backend=backend, **how)
        )

    return take


def test_what_keeps_torch_from_compiling_is_said_in_a_sentence(with_backend):
    with_backend(fails)
    network = compiled(nn.Linear(2, 2))
    with pytest.raises(LookcloserError) as caught, compiling():
        network(torch.zeros(1, 2))
    said = caught.value.for_the_command_line()
    assert said.startswith(
        "--compile: torch could not compile the network (no compiler found: g++). "
    )
    assert "developers" not in said
    assert "Leave --compile out, or install" in said
    assert caught.value.__cause__ is not None


def test_another_failure_stays_what_it_is():
    with pytest.raises(RuntimeError, match="^out of memory$"), compiling():
        raise RuntimeError("out of memory")


def test_each_size_is_compiled_for_itself(with_backend):
    sizes = []

    def noted(graph, inputs):
        sizes.append([tuple(one.shape) for one in inputs if isinstance(one, torch.Tensor)][-1])
        return graph.forward

    with_backend(noted)
    network = compiled(nn.Flatten())
    for count in (4, 3, 4, 2, 3):
        assert network(torch.zeros(count, 2, 2)).shape == (count, 4)
    assert sizes == [(4, 2, 2), (3, 2, 2), (2, 2, 2)]
