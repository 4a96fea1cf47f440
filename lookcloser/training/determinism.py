"""The same weights from the same seed, on a GPU too."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.utils.deterministic as memory

# cuBLAS has no reproducible matrix products without a workspace of its own.
_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
# It adds up the gradient of the image in any order; here the positions alone have a gradient.
_HARMLESS = "grid_sampler_2d_backward_cuda does not have a deterministic"


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Choose kernels that add up in the same order each time; of use on GPUs alone.

    What has no such kernel runs all the same, and torch warns of it. The settings of the process
    are put back at the end, except ``CUBLAS_WORKSPACE_CONFIG``, which is read once.

    Args:
        wanted: False changes nothing.
    """
    if not wanted or not torch.cuda.is_available():
        yield
        return
    os.environ.setdefault(_WORKSPACE, ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    filled: bool = memory.fill_uninitialized_memory  # type: ignore[attr-defined]
    tuned = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # torch's stub lacks it
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", _HARMLESS)
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warned)
        torch.backends.cudnn.benchmark = tuned
        memory.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
