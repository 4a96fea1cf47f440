"""Captioners for the benchmark of decoders, and the decoders they are compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

VOCABULARY, HIDDEN, BEAM, LENGTH = 9488, 512, 5, 16
START, END = 0, 1


class Captioner(nn.Module):
    """An LSTM over words; a cell that says the same for all decoders."""

    def __init__(self, natural_ends: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(VOCABULARY, HIDDEN)
        self.cell = nn.LSTMCell(HIDDEN, HIDDEN)
        self.out = nn.Linear(HIDDEN, VOCABULARY)
        with torch.no_grad():
            self.out.weight.mul_(6.0)  # about as sharp as a trained captioner
            self.out.weight[END] *= 4.0  # lengths from 1 to the longest
            self.out.bias[END] = -2.0 if natural_ends else -1e9

    def state(self, images: int) -> tuple[Tensor, Tensor]:
        hidden = torch.randn(images, HIDDEN, generator=torch.Generator().manual_seed(1)) * 0.5
        return hidden, torch.zeros_like(hidden)

    def logits(self, state: tuple[Tensor, Tensor], words: Tensor) -> tuple[Tensor, Any]:
        state = self.cell(self.embed(words), state)
        return self.out(state[0]), state

    def step(self, state: tuple[Tensor, Tensor], words: Tensor) -> tuple[Tensor, Any]:
        logits, state = self.logits(state, words)
        return logits.log_softmax(dim=1), state


class Lookup(Captioner):
    """Costs nothing: the logits of a word are a row of a table. What is left is bookkeeping."""

    def __init__(self) -> None:
        super().__init__(natural_ends=False)
        self.table = torch.randn(64, VOCABULARY) * 3.0
        self.table[:, END] = -1e9

    def logits(self, state: tuple[Tensor, Tensor], words: Tensor) -> tuple[Tensor, Any]:
        return self.table[words % 64], state


@torch.no_grad()
def beam_loop(step: Callable[..., Any], state: tuple[Tensor, ...]) -> list[tuple[int, ...]]:
    """Beam search as it is mostly written: image after image, the paths of one image batched."""
    found = []
    for image in range(len(state[0])):
        mine = tuple(part[image : image + 1] for part in state)
        scores, last, words = torch.zeros(1), torch.tensor([START]), torch.zeros(1, 0).long()
        done: list[tuple[float, list[int]]] = []
        for _ in range(LENGTH):
            log_probs, mine = step(mine, last)
            top, flat = (scores[:, None] + log_probs).flatten().topk(BEAM)
            parent, word = flat // VOCABULARY, flat % VOCABULARY
            words = torch.cat([words[parent], word[:, None]], dim=1)
            ends = word == END
            done += zip(top[ends].tolist(), words[ends, :-1].tolist(), strict=True)
            if ends.all() or (done and top[~ends].max() < min(score for score, _ in done)):
                break
            scores, last, words = top[~ends], word[~ends], words[~ends]
            mine = tuple(part[parent[~ends]] for part in mine)
        found.append(tuple(max(done)[1] if done else words[0].tolist()))
    return found


def hugging_face(captioner: Captioner) -> Callable[[tuple[Tensor, Tensor]], list[tuple[int, ...]]]:
    """`generate` of transformers with the same cell; raises ImportError where it is absent."""
    from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import CausalLMOutputWithPast
    from transformers.utils import logging

    logging.set_verbosity_error()

    class Memory:
        def __init__(self, state: tuple[Tensor, ...]) -> None:
            self.state = state

        def reorder_cache(self, rows: Tensor) -> None:
            self.state = tuple(part.index_select(0, rows) for part in self.state)

        def get_seq_length(self, *_: Any) -> int:
            return 0

    class Config(PretrainedConfig):
        model_type = "lookcloser_benchmark"

    class Model(PreTrainedModel, GenerationMixin):
        config_class = Config

        def __init__(self) -> None:
            super().__init__(Config(eos_token_id=END, pad_token_id=END, bos_token_id=START))
            self.captioner = captioner
            self.post_init()

        def _init_weights(self, module: nn.Module) -> None:
            """Keep the captioner's."""

        @classmethod
        def _supports_default_dynamic_cache(cls) -> bool:
            return False

        def prepare_inputs_for_generation(
            self, input_ids: Tensor, past_key_values: Memory, **_: Any
        ) -> dict[str, Any]:
            return {"input_ids": input_ids[:, -1], "past_key_values": past_key_values}

        def forward(self, input_ids: Tensor, past_key_values: Memory, **_: Any) -> Any:
            logits, past_key_values.state = self.captioner.logits(past_key_values.state, input_ids)
            return CausalLMOutputWithPast(logits=logits[:, None], past_key_values=past_key_values)

    model = Model().eval()

    def generate(state: tuple[Tensor, Tensor]) -> list[tuple[int, ...]]:
        words = model.generate(
            torch.full((len(state[0]), 1), START),
            past_key_values=Memory(tuple(part.repeat_interleave(BEAM, 0) for part in state)),
            num_beams=BEAM,
            max_new_tokens=LENGTH,
            length_penalty=0.0,
            do_sample=False,
            use_cache=True,
        )
        return [
            tuple(row[: row.index(END)] if END in row else row) for row in words[:, 1:].tolist()
        ]

    return generate
