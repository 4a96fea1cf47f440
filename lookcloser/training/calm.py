"""Lightning, which says much that is of no use here."""

from __future__ import annotations

import logging
import warnings
from typing import Any


class calm_lightning(warnings.catch_warnings):  # noqa: N801 - used like a function
    """Lightning without its advertisements, and without advice on what is chosen here."""

    def __enter__(self) -> Any:
        entered = super().__enter__()
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        # Workers and small data sets are this package's choice, and it reports the waiting time.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*The number of training batches.*")
        warnings.filterwarnings("ignore", ".*have no `val_dataloader`.*")
        warnings.filterwarnings("ignore", ".*training_step. returned .None.")  # see DataWatch
        warnings.filterwarnings("ignore", ".*ended before the epoch ended.*")  # see ResumedOrder
        # Whether there are unused weights is not known before the first step.
        warnings.filterwarnings("ignore", "find_unused_parameters=True was specified")
        # Of weights with one row or column, such as a class token: copying them costs nothing.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        # Of sharded networks: losses change nothing in place.
        warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
        # Lightning 2.6 still calls names that torch has renamed.
        warnings.filterwarnings("ignore", category=FutureWarning, module="lightning.*")
        return entered
