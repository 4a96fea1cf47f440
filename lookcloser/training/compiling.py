"""The network compiled for training, and one sentence where this machine cannot compile it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import nn

from lookcloser.core.errors import LookcloserError


def compiled(model: nn.Module) -> nn.Module:
    """``model`` with the same interface and weights, compiled at its first call.

    A batch of another size compiles it once more, for that size alone: a network for any number of
    images, which torch makes by default from the second size on, is slower for all of them.
    """
    return cast(nn.Module, torch.compile(model, dynamic=False))


@contextmanager
def compiling() -> Iterator[None]:
    """A training whose network may be `compiled`, which happens at the first batch.

    Raises:
        LookcloserError: Where torch cannot do it: it runs compilers that it does not bring along.
    """
    try:
        yield
    except RuntimeError as error:
        from torch._dynamo.exc import TorchDynamoException  # here: seconds, and for a failure alone

        if not isinstance(error, TorchDynamoException):
            raise
        cause = getattr(error, "inner_exception", error)  # what torch wraps names its backend first
        reason = str(cause).strip().partition("\n")[0] or type(cause).__name__
        raise LookcloserError(
            f"{{}}: torch could not compile the network ({reason})",
            fix="Leave {} out, or install what torch compiles with: a C++ compiler, such as g++, "
            "and Python's header files; Triton on a GPU",
            option="compile",
        ) from error
