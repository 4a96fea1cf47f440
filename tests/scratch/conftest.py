"""Inputs of the check values, and seeded random arrays."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

Spread = Callable[..., NDArray[np.float64]]


@pytest.fixture
def spread() -> Spread:
    """``spread(low, high, *shape)``: evenly spaced numbers, as the check values use them."""
    return lambda low, high, *shape: np.linspace(low, high, int(np.prod(shape))).reshape(shape)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
