"""Which of Lightning's strategies a training uses, and what does not go with it."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.strategies import DDPStrategy, ParallelStrategy
from torch import Tensor

from lookcloser.core.errors import UsageError
from lookcloser.models import Model
from lookcloser.training.options import TrainOptions
from lookcloser.training.parallel import processes
from lookcloser.training.parallel.launch import Joined
from lookcloser.training.tasks.module import TrainingModule


def check_strategy(options: TrainOptions) -> None:
    """See that ``--strategy`` is of use on this machine.

    Raises:
        UsageError: For FSDP without GPUs.
    """
    if options.strategy == "fsdp" and not torch.cuda.is_available():
        raise UsageError(
            "{} fsdp: there is no GPU, and processes on CPUs share one memory, so a network in "
            "parts would take no less of it",
            allowed="auto or ddp",
            fix="Leave it out, or train where there are GPUs",
            option="strategy",
        )


def check_phases(options: TrainOptions, model: Model) -> None:
    """See that a network can be sharded.

    Raises:
        UsageError: For one whose parts learn in turns.
    """
    if options.strategy == "fsdp" and model.phases:
        raise UsageError(
            f"{{}} fsdp: the parts of {model.name} learn in turns, and a sharded weight cannot "
            "begin or stop to learn",
            allowed="auto or ddp",
            fix="Leave it out, or choose another --method",
            option="strategy",
        )


def trainer_arguments(options: TrainOptions) -> dict[str, Any]:
    """The trainer's arguments for the group of processes, if there is one."""
    count, local = processes.world_size(), processes.local_world_size()
    if count == 1 and options.strategy != "fsdp":
        return {"devices": 1}
    return {
        "accelerator": "gpu" if torch.cuda.is_available() else "cpu",
        "devices": local,
        "num_nodes": count // local,
        "strategy": _strategy(options, count),
    }


def _strategy(options: TrainOptions, count: int) -> ParallelStrategy:
    if options.strategy == "fsdp":
        from lookcloser.training.parallel.sharding import Sharded  # 0.3 s, and seldom needed

        return Sharded(Joined(), count)
    # Some weights have no part in a step: in phases, and in networks whose last layer is there for
    # other uses.
    return DDPStrategy(cluster_environment=Joined(), find_unused_parameters=True)


def whole_state(module: TrainingModule) -> dict[str, Tensor]:
    """The state dict; of a sharded network all processes have to ask, and the first gets it."""
    if module.options.strategy == "fsdp":
        from lookcloser.training.parallel.sharding import full_state

        return full_state(module)
    return dict(module.state_dict())
