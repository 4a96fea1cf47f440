"""`Arrays` of torch; imported with the first tensor that comes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lookcloser.decoding.types import Arrays, Integers


class Tensors:
    """See `Arrays`."""

    def like(self, values: NDArray[Any], array: Tensor) -> Tensor:
        """See `Arrays.like`."""
        return self.of(values).to(array.device)

    def of(self, values: NDArray[Any]) -> Tensor:
        """See `Arrays.of`."""
        return torch.from_numpy(np.ascontiguousarray(values))

    def numpy(self, array: Tensor) -> NDArray[Any]:
        """See `Arrays.numpy`."""
        array = array.detach().cpu()
        half = array.dtype in (torch.bfloat16, torch.float16)
        found: NDArray[Any] = (array.float() if half else array).numpy()
        return found

    def select(self, array: Tensor, rows: Integers) -> Tensor:
        """See `Arrays.select`."""
        return array.index_select(0, self.like(rows, array))

    def resized(self, array: Tensor, rows: int) -> Tensor:
        """See `Arrays.resized`."""
        # A bank may be made under inference_mode and used outside it; tensors made there could then
        # not be written to.
        with torch.inference_mode(False):
            larger = array.new_empty((rows, *array.shape[1:]))
        larger[: len(array)] = array
        return larger

    def write(self, array: Tensor, rows: Integers, values: Tensor) -> None:
        """See `Arrays.write`."""
        array.index_copy_(0, self.like(rows, array), values)

    def masked(self, array: Tensor, columns: Integers) -> Tensor:
        """See `Arrays.masked`."""
        return array.scatter(1, self.like(columns, array), -torch.inf)

    def topk(self, array: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """See `Arrays.topk`."""
        values, columns = array.topk(count)
        return values, columns

    def maxima(self, array: Tensor, block: int) -> Tensor:
        """See `Arrays.maxima`."""
        return array.unfold(1, block, block).amax(dim=2)

    def gather(self, array: Tensor, columns: Tensor) -> Tensor:
        """See `Arrays.gather`."""
        return array.gather(1, columns)

    def concatenate(self, parts: Sequence[Tensor]) -> Tensor:
        """See `Arrays.concatenate`."""
        return torch.cat(list(parts), dim=1)

    def without_gradients(self) -> AbstractContextManager[Any]:
        """See `Arrays.without_gradients`."""
        return torch.no_grad()


TENSORS: Arrays = Tensors()


def is_tensor(array: object) -> bool:
    """Whether it is torch's."""
    return isinstance(array, Tensor)
