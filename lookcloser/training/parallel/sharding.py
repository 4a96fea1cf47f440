"""Training with weights, gradients and optimizer state in parts, one on each GPU (FSDP2).

What Lightning has for it (`ModelParallelStrategy`) wants the network to be sharded by its module
and reads checkpoints past the plugin that checks them. Here the strategy shards it, and what is
saved has the form of an unsharded training: each can be resumed as the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    FullyShardedDataParallel,
    OptimStateKeyType,
    fully_shard,
    register_fsdp_forward_method,
)

from lookcloser.training.tasks.module import TrainingModule

LEAST = 1_000_000  # parameters of a block that is worth a message of its own
_PREFIX = "model."  # of its weights in the state dict of the training module
# What a model computes with its weights outside of its forward pass.
_FORWARD_METHODS = ("answer",)


class Sharded(ModelParallelStrategy):
    """FSDP2 over all processes, saved as one whole file by the first of them.

    Args:
        environment: The group of processes, which exists.
        count: How many they are.
    """

    def __init__(self, environment: ClusterEnvironment, count: int) -> None:
        super().__init__(
            data_parallel_size=count, tensor_parallel_size=1, save_distributed_checkpoint=False
        )
        self.cluster_environment = environment

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Lightning reads the checkpoint, by the plugin that checks it, and hands on the states."""
        return True

    def setup(self, trainer: pl.Trainer) -> None:
        """Shard block by block: no GPU ever holds more than one block beside its own part."""
        module = self.lightning_module
        assert isinstance(module, TrainingModule)  # as `fit` makes it
        assert self.accelerator is not None  # set by the trainer
        self.accelerator.setup(trainer)
        self.model = self.precision_plugin.convert_module(module)
        shard(module.model, self.device_mesh["data_parallel"])
        self.model_to_device()  # buffers that belong to no block
        if trainer.state.fn == TrainerFn.FITTING:
            self.setup_optimizers(trainer)
        self.setup_precision_plugin()

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read by the plugin, as every strategy does that does not shard."""
        return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Each process takes its part of the whole weights."""
        module = self.lightning_module
        assert isinstance(module, TrainingModule)  # as `fit` makes it
        # It has the network under two names, of which torch would distribute one alone.
        own = {
            name.removeprefix(_PREFIX): value
            for name, value in checkpoint["state_dict"].items()
            if name.startswith(_PREFIX)
        }
        options = StateDictOptions(full_state_dict=True, strict=strict)
        set_model_state_dict(module.model, own, options=options)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Each process takes its part of the whole state."""
        assert self.model is not None
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            named = FullyShardedDataParallel.rekey_optim_state_dict(
                state, OptimStateKeyType.PARAM_NAME, self.model
            )
            options = StateDictOptions(full_state_dict=True)
            set_optimizer_state_dict(self.model, optimizer, named, options=options)


def shard(model: nn.Module, mesh: DeviceMesh) -> None:
    """Put the parameters of ``model`` in parts over a one-dimensional mesh, in place.

    Blocks that follow each other and have a million parameters are gathered and let go one by one;
    what is left, the head among it, is gathered with the whole.
    """
    for block in blocks_of(model):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for name in _FORWARD_METHODS:
        register_fsdp_forward_method(model, name)


def blocks_of(model: nn.Module) -> Iterator[nn.Module]:
    """What is sharded on its own, inner blocks before outer ones.

    These are the members of sequences and lists that have parts themselves, as timm's networks are
    built, with at least a million parameters that belong to no block within them.
    """
    taken: set[int] = set()
    members = [
        member
        for container in model.modules()
        if isinstance(container, nn.Sequential | nn.ModuleList)
        for member in container
        if next(member.children(), None) is not None
        and not isinstance(member, nn.ModuleList | nn.ModuleDict)  # nobody calls these
    ]
    for member in reversed(members):  # of `modules`, the outer come first
        own = [weight for weight in member.parameters() if id(weight) not in taken]
        if sum(weight.numel() for weight in own) >= LEAST:
            taken |= {id(weight) for weight in own}
            yield member


def full_state(module: nn.Module) -> dict[str, Tensor]:
    """The whole state dict of a sharded module, on the CPU; all processes have to ask.

    The first of them gets it, the others nothing.
    """
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state: dict[str, Any] = get_model_state_dict(module, options=options)
    return dict(state)
