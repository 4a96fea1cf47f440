"""The sanity check of evidence: a map that survives random weights does not show what was learned.

Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018: views that look convincing may be
edge detectors of the image. So the weights of a copy of the network are made random, from the
answer down to the input, and its maps are compared with those of the network itself.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lookcloser.core import LookcloserError
from lookcloser.core.errors import unknown
from lookcloser.metrics.similarity import rank_correlation, structural_similarity

Floats = NDArray[np.float64]
# The network and images (N, C, H, W) -> maps (N, h, w).
Explain = Callable[[Any, Tensor], Tensor]
Order = Literal["cascading", "independent"]

UNCHANGED = "none"


class SanityCheck(NamedTuple):
    """How much of the maps is left after weights were made random.

    Attributes:
        order: As asked for.
        stages: What was random at each step: `UNCHANGED` first, the control, then the names of the
            modules, or the first and the last of several.
        ranks: (S, N) rank correlation of each image's map with that of the network itself.
        ssim: (S, N) structural similarity, likewise.
    """

    order: Order
    stages: tuple[str, ...]
    ranks: Floats
    ssim: Floats

    def left(self) -> float:
        """How much is left: the mean over images of the absolute rank correlation.

        Absolute, because a map that is turned over shows the same edges. Cascading: after the last
        step, when all weights are random. Independent: after the step that changed maps most.
        """
        means = np.abs(self.ranks[1:]).mean(axis=1)
        return float(means[-1] if self.order == "cascading" else means.min())

    def repeatable(self, above: float = 0.5) -> bool:
        """Whether the view gives about the same maps twice; if not, the check says nothing."""
        return float(self.ranks[0].mean()) > above

    def insensitive(self, above: float = 0.5) -> bool:
        """Whether the view is flagged: more than ``above`` is `left`, although weights are random.

        A view that is not `repeatable` is not flagged: it changes by itself.
        """
        return self.left() > above


def sanity_check(
    explain: Explain,
    model: nn.Module,
    images: Tensor,
    *,
    order: Order = "cascading",
    stages: int = 8,
    modules: Sequence[str] | None = None,
    seed: int = 0,
) -> SanityCheck:
    """Compare maps of a network with those of copies whose weights are random.

    Weights are made random by shuffling the values of each parameter tensor among themselves. This
    keeps their scale, whatever they were initialized with; what the network has learned is gone.
    The statistics of batch norms stay. The network itself is never changed.

    Args:
        explain: The view, called with a network and ``images``; returns maps (N, h, w). It must
            explain the same class each time: bind the targets, since a random network has other
            best classes.
        model: The network.
        images: (N, C, H, W).
        order: "cascading": each step adds modules to those that are random already, from the last
            to the first; "independent": each step makes its own modules random, and no others.
        stages: The modules with weights are put together into at most so many steps.
        modules: Names of modules as in ``model.named_modules()``, from the answer down to the
            input, each a step, with everything inside it; by default those of all modules that
            have weights themselves, in the opposite order of their registration.
        seed: For the shuffling.

    Returns:
        A `SanityCheck`; ``insensitive()`` says whether the view is flagged.

    Raises:
        LookcloserError: For an unknown order or module, ``stages`` below 1, or a network without
            weights.
    """
    if order not in get_args(Order):
        raise unknown(order, "order", get_args(Order))
    groups = _groups(model, stages) if modules is None else _named(model, modules)
    wanted = _maps(explain, model, images)
    networks = _changed(model, list(groups.values()), order, seed)
    found = [_maps(explain, network, images) for network in networks]
    return SanityCheck(
        order,
        (UNCHANGED, *groups),
        np.stack([rank_correlation(wanted, maps) for maps in found]),
        np.stack([structural_similarity(wanted, maps) for maps in found]),
    )


def _changed(
    model: nn.Module, groups: Sequence[Sequence[str]], order: Order, seed: int
) -> Iterator[nn.Module]:
    """A copy of the network as it is, then one for each group that is made random."""
    generator = torch.Generator().manual_seed(seed)
    changed = copy.deepcopy(model)
    yield changed
    for names in groups:
        if order == "independent":
            changed = copy.deepcopy(model)
        _shuffle([changed.get_submodule(name) for name in names], generator)
        yield changed


def _groups(model: nn.Module, stages: int) -> dict[str, list[str]]:
    """Names of modules with weights of their own, from the last to the first, by stage."""
    if stages < 1:
        raise LookcloserError(f"stages = {stages}", allowed="1 or more")
    owners = [
        name
        for name, module in model.named_modules()
        if any(True for _ in module.parameters(False))
    ]
    if not owners:
        raise LookcloserError("a network without weights", allowed="One that learned something")
    owners.reverse()
    parts = np.array_split(np.arange(len(owners)), min(stages, len(owners)))
    groups = ([owners[i] for i in part] for part in parts)
    return {" … ".join(dict.fromkeys((names[0], names[-1]))): names for names in groups}


def _named(model: nn.Module, modules: Sequence[str]) -> dict[str, list[str]]:
    known = dict(model.named_modules())
    for name in modules:
        if name not in known:
            raise unknown(name, "module", known)
    return {name: [name] for name in modules}


def _shuffle(modules: Sequence[nn.Module], generator: torch.Generator) -> None:
    """Shuffle the values of every parameter of the modules, those inside them included."""
    unique = {id(weight): weight for module in modules for weight in module.parameters()}
    with torch.no_grad():
        for weight in unique.values():
            order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
            weight.copy_(weight.flatten()[order].view_as(weight))


def _maps(explain: Explain, model: nn.Module, images: Tensor) -> NDArray[np.floating[Any]]:
    maps = explain(model, images).detach().float().cpu().numpy()
    if maps.ndim != 3 or len(maps) != len(images):
        raise LookcloserError(
            f"`explain` returned maps of shape {maps.shape} for {len(images)} images",
            allowed=f"({len(images)}, h, w)",
        )
    return maps
