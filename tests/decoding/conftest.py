"""Random models small enough to enumerate: one table of log-probabilities per node of the tree."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

VOCABULARY, END, START, DEPTH = 4, 2, 7, 4
KINDS = ("softmax", "ties", "no_end", "holes")


@dataclass
class Trees:
    """Independent models with one random table each; model i is what image i sees.

    ``table`` is (models, nodes, vocabulary). The children of node i are V i + 1, …, V i + V, so
    that every path has its own distribution: nothing is shared that a wrong state could hide in.
    """

    table: Tensor
    calls: list[int] = field(default_factory=list)

    @property
    def state(self) -> dict[str, Tensor]:
        models = torch.arange(len(self.table))
        return {"model": models, "node": torch.full_like(models, -1)}

    def step(self, state: dict[str, Tensor], tokens: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        self.calls.append(len(tokens))
        before = state["node"]
        assert bool((tokens[before < 0] == START).all()), "the first call gets START"
        assert bool((tokens[before >= 0] != END).all()), "nothing follows END"
        node = torch.where(before < 0, 0, before * self.table.shape[2] + tokens + 1)
        return self.table[state["model"], node], {"model": state["model"], "node": node}

    def next(self, model: int, path: tuple[int, ...], mask: bool) -> list[float]:
        """The log-probabilities after ``path``, in plain Python."""
        node = 0
        for token in path:
            node = node * self.table.shape[2] + token + 1
        row = self.table[model, node].double().tolist()
        return [-math.inf if mask and token in path else lp for token, lp in enumerate(row)]

    def sequences(
        self, model: int, max_length: int, mask: bool
    ) -> tuple[list[tuple[float, tuple[int, ...]]], list[tuple[float, tuple[int, ...]]]]:
        """Every sequence that ends, and every path that does not, however short."""
        ended, unfinished = [], []

        def visit(path: tuple[int, ...], log_prob: float) -> None:
            unfinished.append((log_prob, path))
            if len(path) == max_length:
                return
            for token, gained in enumerate(self.next(model, path, mask)):
                if gained == -math.inf:
                    continue
                if token == END:
                    ended.append((log_prob + gained, path))
                else:
                    visit((*path, token), log_prob + gained)

        visit((), 0.0)
        return ended, unfinished

    def optimum(
        self, model: int, max_length: int, mask: bool
    ) -> tuple[float, tuple[int, ...], bool]:
        """By exhaustive enumeration: log-probability, tokens, whether any sequence ends."""
        ended, unfinished = self.sequences(model, max_length, mask)
        if ended:
            log_prob, path = min(ended, key=lambda s: (-s[0], len(s[1]), s[1]))
            return log_prob, path, True
        log_prob, path = min(unfinished, key=lambda s: (-len(s[1]), -s[0], s[1]))
        return log_prob, path, False


def make_trees(kind: str, models: int, seed: int = 0, vocabulary: int = VOCABULARY) -> Trees:
    """softmax: of mixed sharpness. ties: whole numbers, so that sums are exact and often equal.
    no_end: END is impossible. holes: four in ten tokens are impossible, END among them.
    """
    generator = torch.Generator().manual_seed(seed)
    nodes = sum(vocabulary**depth for depth in range(DEPTH + 1))
    shape = (models, nodes, vocabulary)
    if kind == "ties":
        return Trees(-torch.randint(1, 4, shape, generator=generator).float())
    sharpness = torch.tensor([0.3, 1.0, 3.0])[torch.arange(models) % 3, None, None]
    logits = torch.randn(shape, generator=generator) * sharpness
    table = logits.log_softmax(dim=2)
    if kind == "no_end":
        table[:, :, END] = -torch.inf
    if kind == "holes":
        table[torch.rand(shape, generator=generator) < 0.4] = -torch.inf
    return Trees(table)


@pytest.fixture
def trees() -> Callable[..., Trees]:
    return make_trees


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["repeats", "no_repeats"])
def mask(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


class Captioner(torch.nn.Module):
    """An LSTM whose state is nested and that scores a sequence by teacher forcing too."""

    def __init__(self, vocabulary: int = 11, hidden: int = 8) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.embed = torch.nn.Embedding(vocabulary, hidden)
        self.cell = torch.nn.LSTMCell(hidden, hidden)
        self.out = torch.nn.Linear(hidden, vocabulary)
        for parameter in self.parameters():
            torch.nn.init.normal_(parameter, std=1.2)

    def state(self, images: int) -> dict[str, tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(4)
        hidden = torch.randn(images, self.cell.hidden_size, generator=generator)
        return {"lstm": (hidden, torch.zeros_like(hidden))}

    def step(
        self, state: dict[str, tuple[Tensor, Tensor]], tokens: Tensor
    ) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
        h, c = self.cell(self.embed(tokens), state["lstm"])
        return self.out(h).log_softmax(dim=1), {"lstm": (h, c)}

    @torch.no_grad()
    def score(self, image: int, inputs: list[int], targets: list[int], images: int) -> float:
        h, c = (part[image : image + 1] for part in self.state(images)["lstm"])
        total = 0.0
        for token, target in zip(inputs, targets, strict=True):
            log_probs, state = self.step({"lstm": (h, c)}, torch.tensor([token]))
            (h, c), total = state["lstm"], total + log_probs[0, target].item()
        return total


@pytest.fixture
def captioner() -> Captioner:
    return Captioner()
