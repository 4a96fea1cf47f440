"""Decoders: batched beam against a loop and against Hugging Face, the prefix cache, exactness.

Run ``python benchmarks/decoding.py``; ``--quick`` takes smaller sizes to try the script out. The
peer `transformers` is measured where it is installed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from _harness import arguments, interleave, machine, report, summary
from torch import Tensor, nn

from lookcloser.decoding import (
    Hypothesis,
    PrefixCache,
    SearchResult,
    beam_search,
    best_first_search,
    greedy_search,
)

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


def captions(images: int, rounds: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Tables of batched beam, loop and Hugging Face on one cell."""
    tables: dict[str, Any] = {}
    agreement = []
    cases = {
        "every path runs to the end": Captioner(natural_ends=False),
        "paths end by themselves": Captioner(natural_ends=True),
        "a cell that costs nothing": Lookup(),
    }
    for title, captioner in cases.items():
        captioner.eval().requires_grad_(False)
        state = captioner.state(images)

        def ours(step: Any = captioner.step, state: Any = state) -> list[tuple[int, ...]]:
            beams = beam_search(
                step, state, start=START, end=END, beam_size=BEAM, max_length=LENGTH
            )
            return [beam[0].tokens for beam in beams]

        calls: dict[str, Callable[[], list[tuple[int, ...]]]] = {"batched beam": ours}
        try:
            generate = hugging_face(captioner)
        except ImportError as error:
            print(f"Hugging Face is left out: {error}")
        else:
            calls["transformers generate"] = lambda g=generate, state=state: g(state)
        if not isinstance(captioner, Lookup):
            calls["loop over images"] = lambda c=captioner, state=state: beam_loop(c.step, state)
        expected = ours()
        for name, call in list(calls.items())[1:]:
            same = sum(a == b for a, b in zip(call(), expected, strict=True))
            agreement.append({"case": title, "peer": name, "same captions": f"{same} of {images}"})
        seconds = interleave(calls, rounds, warmup=0)
        tables[f"Beam {BEAM}, {images} images, {LENGTH} steps: {title}"] = summary(
            seconds, "batched beam"
        )
    return tables, agreement


class Tagger(nn.Module):
    """The CNN-RNN unit and readout (CVPR 2016): embedding 64, recurrent width 512, tied output."""

    def __init__(self, labels: int, features: int, embedding: int = 64, width: int = 512) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.labels, self.start, self.end = labels, labels + 1, labels
        self.embed = nn.Embedding(labels + 2, embedding)  # END and START behind the labels
        self.recurrent = nn.Linear(width, 4 * width)
        self.label = nn.Linear(embedding, 4 * width, bias=False)
        self.output, self.image = nn.Linear(width, embedding), nn.Linear(features, embedding)
        self.root = torch.zeros(1, width)

    def prepare(self, state: Tensor) -> tuple[Tensor, Tensor]:
        return self.recurrent(state), state

    def follow(self, prepared: tuple[Tensor, Tensor], tokens: Tensor) -> tuple[Tensor, Tensor]:
        recurrent, state = prepared
        x, *gates = (recurrent + self.label(self.embed(tokens))).chunk(4, dim=1)
        i, f, o = (gate.sigmoid() for gate in gates)
        state = f * state + i * x.relu()
        return self.output(state * o), state

    def cell(self, state: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return self.follow(self.prepare(state), tokens)

    def readout(self, outputs: Tensor, image: Tensor) -> Tensor:
        scores = (outputs + image).relu() @ self.embed.weight[: self.labels + 1].T
        return scores.log_softmax(dim=1)

    def step(self, state: dict[str, Tensor], tokens: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        outputs, recurrent = self.cell(state["recurrent"], tokens)
        log_probs = self.readout(outputs, state["image"])
        return log_probs, {"recurrent": recurrent, "image": state["image"]}

    def state(self, features: Tensor) -> dict[str, Tensor]:
        return {
            "recurrent": self.root.expand(len(features), -1),
            "image": self.image(features),
        }


def tagged_images(count: int, labels: int, seed: int) -> tuple[Tensor, list[list[int]]]:
    """Features and label sets: Zipf frequencies, labels that come together, noisy prototypes."""
    prototypes = torch.randn(labels, 128, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    frequency = 1.0 / torch.arange(1, labels + 1)
    sets = []
    for size in torch.randint(1, 6, (count,), generator=generator).tolist():
        first = int(torch.multinomial(frequency, 1, generator=generator))
        near = frequency * torch.exp(-0.3 * (torch.arange(labels) - first).abs())
        others = torch.multinomial(near, size, generator=generator).tolist()
        sets.append(sorted({first, *others}))  # frequent first
    features = torch.stack([prototypes[labels_of].mean(0) for labels_of in sets])
    return features + 0.35 * torch.randn(features.shape, generator=generator), sets


def trained_tagger(labels: int, steps: int) -> Tagger:
    tagger = Tagger(labels, 128)
    features, sets = tagged_images(4000, labels, seed=1)
    ends = torch.full((len(sets), 7), tagger.end)
    for row, labels_of in zip(ends, sets, strict=True):
        row[: len(labels_of)] = torch.tensor(labels_of)
    lengths = torch.tensor([len(labels_of) + 1 for labels_of in sets])
    optimizer = torch.optim.Adam(tagger.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(2)
    for _ in range(steps):
        rows = torch.randint(len(sets), (64,), generator=generator)
        state = tagger.state(features[rows])
        last, loss = torch.full((64,), tagger.start), torch.zeros(())
        for position in range(7):
            log_probs, state = tagger.step(state, last)
            last = ends[rows, position]
            loss -= (log_probs.gather(1, last[:, None])[:, 0] * (position < lengths[rows])).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"tagger trained for {steps} steps: loss {loss.item():.3f}")
    return tagger.eval().requires_grad_(False)


def prefix_cache(tagger: Tagger, images: int, rounds: int) -> list[dict[str, Any]]:
    """Decoding of ``images`` tagged images with and without the cache, built anew every time."""
    features, _ = tagged_images(images, tagger.labels, seed=3)
    options = {"start": tagger.start, "end": tagger.end, "max_length": 10, "mask_repeats": True}
    rows = []
    decoders: dict[str, Callable[..., Any]] = {
        "greedy": greedy_search,
        "beam 5": lambda *args, **options: beam_search(*args, beam_size=5, **options),
        "exact": best_first_search,
    }
    for name, decode in decoders.items():
        prefixes: list[int] = []
        stepped: list[int] = []

        def without(decode: Any = decode, stepped: Any = stepped) -> Any:
            return decode(counting(tagger.step, stepped), tagger.state(features), **options)

        def with_cache(decode: Any = decode, prefixes: Any = prefixes) -> Any:
            cache = PrefixCache(tagger.follow, tagger.root, tagger.readout, tagger.prepare)
            found = decode(cache, cache.state(tagger.image(features)), **options)
            prefixes.append(len(cache))
            return found

        same = sum(best(a) == best(b) for a, b in zip(without(), with_cache(), strict=True))
        row = {"decoder": name, "rows of the recurrence": sum(stepped), "prefixes": prefixes[0]}
        seconds = interleave({"with": with_cache, "without": without}, rounds, warmup=0)
        timed = summary(seconds, "with")
        row |= {"with, s": timed[0]["median_s"], "without, s": timed[1]["median_s"]}
        rows.append({**row, "without over with": timed[1]["over with"], "same sets": same})
    return rows


def exactness(
    tagger: Tagger, features: Tensor, title: str, sharpness: float = 1.0
) -> list[dict[str, Any]]:
    """How often each beam finds the most probable path, what it loses, and what it costs."""
    options = {"start": tagger.start, "end": tagger.end, "max_length": 8, "mask_repeats": True}

    def step(state: dict[str, Tensor], tokens: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        log_probs, state = tagger.step(state, tokens)
        return (log_probs * sharpness).log_softmax(dim=1), state

    def run(decode: Callable[..., Any], **more: Any) -> tuple[list[Any], int, float]:
        stepped: list[int] = []
        found: list[Any] = []
        call = lambda: found.append(  # noqa: E731 - timed as it stands
            decode(counting(step, stepped), tagger.state(features), **options, **more)
        )
        seconds = interleave({"": call}, rounds=1, warmup=0)[""][0]
        return found[0], sum(stepped), seconds

    exact, nodes, seconds = run(best_first_search, node_budget=5000)
    results: list[tuple[str, list[Any], int, float]] = [("exact", exact, nodes, seconds)]
    for size in (1, 5, 10):
        beams, nodes, seconds = run(beam_search, beam_size=size)
        results.append((f"beam {size}", [beam[0] for beam in beams], nodes, seconds))
    proved = [result for result in exact if result.certified]
    rows = []
    for name, found, nodes, seconds in results:
        pairs = [(f, e) for f, e in zip(found, exact, strict=True) if e.certified]
        missed = [e.log_prob - f.log_prob for f, e in pairs if f.log_prob < e.log_prob - 1e-6]
        rows.append(
            {
                "model": title,
                "decoder": name,
                "proved optima": f"{len(proved)} of {len(exact)}",
                "misses the optimum": f"{100 * len(missed) / len(pairs):.1f} %",
                "log-prob lost per miss": sum(missed) / len(missed) if missed else 0.0,
                "times less probable": math.exp(sum(missed) / len(missed)) if missed else 1.0,
                "paths extended per image": nodes / len(exact),
                "ms per image": 1e3 * seconds / len(exact),
            }
        )
    return rows


def counting(step: Callable[..., Any], rows: list[int]) -> Callable[..., Any]:
    def counted(state: Any, tokens: Tensor) -> Any:
        rows.append(len(tokens))
        return step(state, tokens)

    return counted


def best(result: Hypothesis | SearchResult | list[Hypothesis]) -> tuple[int, ...]:
    return result[0].tokens if isinstance(result, list) else result.tokens


def main(argv: Iterable[str] | None = None) -> None:
    parser = arguments("decoding", __doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, one round")
    options = parser.parse_args(argv)
    images, rounds, tagged, steps = (8, 1, 500, 40) if options.quick else (64, 3, 5000, 400)
    tables, agreement = captions(images, rounds)
    tables["Same best captions as the batched beam"] = agreement
    rows = []
    with torch.no_grad():
        drawn = 3.0 * torch.randn(200, 128, generator=torch.Generator().manual_seed(5))
        rows += exactness(Tagger(20, 128), drawn, "random weights, 20 labels", sharpness=0.1)
    features, _ = tagged_images(1000, 80, seed=4)
    for title, count in (("hardly trained", 40), ("trained", steps)):
        tagger = trained_tagger(80, count)
        rows += exactness(tagger, features, f"{title}, 80 labels")
    tables["How often a beam misses the most probable label path"] = rows
    tables[f"{tagged} images, trained CNN-RNN of 80 labels, prefix cache"] = prefix_cache(
        tagger, tagged, rounds
    )
    report(options.json, machine("transformers"), tables)


if __name__ == "__main__":
    main()
