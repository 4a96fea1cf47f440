"""Decoders: batched beam against a loop and against Hugging Face, the prefix cache, exactness.

Run ``python benchmarks/decoding.py``; ``--quick`` takes smaller sizes to try the script out. The
peer `transformers` is measured where it is installed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from _captioners import BEAM, END, LENGTH, START, Captioner, Lookup, beam_loop, hugging_face
from _harness import arguments, interleave, machine, report, summary
from torch import Tensor, nn
from torch.nn import functional as F

from lookcloser.core.types import Output
from lookcloser.decoding import beam_search, best_first_search, label_marginals
from lookcloser.models import CNNRNN
from lookcloser.models.cnnrnn.model import SCORED_PATHS, Decoder
from lookcloser.models.cnnrnn.paths import LabelPaths

FEATURES = 128


def steps_alone(captioner: Captioner, decode: Callable[[Any], object]) -> Callable[[], None]:
    """The calls of the cell that ``decode(step)`` makes, again without ``decode``: no decoder that
    makes them can be faster.
    """
    calls: list[tuple[Any, Tensor]] = []

    def recorded(state: Any, words: Tensor) -> tuple[Tensor, Any]:
        calls.append((state, words))
        return captioner.step(state, words)

    def again() -> None:
        for state, words in calls:
            captioner.step(state, words)

    decode(recorded)
    return again


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
        timed: dict[str, Callable[[], object]] = dict(calls)
        timed["batched beam, its steps alone"] = steps_alone(captioner, ours)
        if not isinstance(captioner, Lookup):
            loop = partial(beam_loop, state=state)
            timed["loop over images, its steps alone"] = steps_alone(captioner, loop)
        seconds = interleave(timed, rounds, warmup=0)
        tables[f"Beam {BEAM}, {images} images, {LENGTH} steps: {title}"] = summary(
            seconds, "batched beam"
        )
    return tables, agreement


Step = Callable[[Any, Tensor], tuple[Tensor, Any]]


def tagger(labels: int, counts: Sequence[int] | None = None) -> CNNRNN:
    """The model as it is trained and decoded; its backbone is left out, features are made up."""
    torch.manual_seed(0)
    model = CNNRNN(
        labels,
        CNNRNN.Options("test_resnet", label_counts=tuple(counts or ()) or None, max_labels=9),
    )
    model.paths.image = nn.Linear(FEATURES, model.paths.image.out_features)
    return model.requires_grad_(False)


def plain(paths: LabelPaths) -> Step:
    """The step of `LabelPaths.cache` without a cache: the recurrence runs in every row."""

    def step(state: dict[str, Tensor], tokens: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        outputs, (recurrent,) = paths.cell(paths.embedding(tokens), (state["recurrent"],))
        log_probs = paths.log_probs((paths.recurrent(outputs) + state["image"]).relu())
        return log_probs, {"recurrent": recurrent, "image": state["image"]}

    return step


def first_state(paths: LabelPaths, image: Tensor) -> dict[str, Tensor]:
    return {"recurrent": image.new_zeros(len(image), paths.cell.hidden_size), "image": image}


def tagged_images(count: int, labels: int, seed: int) -> tuple[Tensor, Tensor]:
    """Features (N, 128) and tags (N, labels): Zipf frequencies, labels that come together."""
    prototypes = torch.randn(labels, FEATURES, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    frequency = 1.0 / torch.arange(1, labels + 1)
    tags = torch.zeros(count, labels)
    for row, size in zip(tags, torch.randint(1, 6, (count,), generator=generator), strict=True):
        first = int(torch.multinomial(frequency, 1, generator=generator))
        near = frequency * torch.exp(-0.3 * (torch.arange(labels) - first).abs())
        row[torch.multinomial(near, int(size), generator=generator)] = 1
        row[first] = 1
    features = tags @ prototypes / tags.sum(dim=1, keepdim=True)
    return features + 0.35 * torch.randn(features.shape, generator=generator), tags


def trained_tagger(labels: int, steps: int) -> CNNRNN:
    features, tags = tagged_images(4000, labels, seed=1)
    model = tagger(labels, tags.sum(dim=0).long().tolist())
    model.paths.requires_grad_(True)
    optimizer = torch.optim.Adam(model.paths.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(2)
    for _ in range(steps):
        rows = torch.randint(len(tags), (64,), generator=generator)
        output = Output(features.new_empty(0), features=features[rows])
        loss = model.losses(output, tags[rows], F.cross_entropy)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"tagger trained for {steps} steps: loss {loss.item():.3f}")
    return model.eval().requires_grad_(False)


def in_batches(
    model: CNNRNN, image: Tensor, size: int, decode: Callable[..., Any], memory: str
) -> tuple[list[Any], int]:
    """Results of ``decode`` for all images, and how many rows the recurrence ran on."""
    paths, found, computed = model.paths, [], 0
    session = model.session() if memory == "one cache" else nullcontext()
    for batch in image.split(size):
        if memory == "none":
            stepped: list[int] = []
            found += decode(counting(plain(paths), stepped), first_state(paths, batch))
            computed += sum(stepped)
            continue
        with session:
            step, state = paths.cache(batch)
            before = len(step)
            found += decode(step, state)
            computed += len(step) - before
    return found, computed


@torch.no_grad()
def prefix_cache(model: CNNRNN, images: int, rounds: int) -> list[dict[str, Any]]:
    """Decoding with one cache for all batches, with one for each batch, and without."""
    paths = model.paths
    image = paths.image(tagged_images(images, model.num_classes, seed=3)[0])

    def decoder(kind: Decoder, beam: int) -> Callable[..., Any]:
        def decode(step: Any, state: Any) -> Any:
            model.decoder, model.beam = kind, beam
            return model.decode(step, state)

        return decode

    def scores(step: Any, state: Any) -> Any:
        limits = {"start": paths.start, "end": paths.end, "max_length": model.max_labels + 1}
        return label_marginals(step, state, node_budget=SCORED_PATHS, **limits).tolist()

    decoders = {"greedy": decoder("beam", 1), "beam 5": decoder("beam", 5)}
    decoders |= {"exact": decoder("exact", 1), "scores of labels": scores}
    rows = []
    for name, decode in decoders.items():
        for size in (images, 32):
            calls = {
                memory: partial(in_batches, model, image, size, decode, memory)
                for memory in ("one cache", "one a batch", "none")
            }
            first = {memory: call() for memory, call in calls.items()}
            expected, answers = first["none"][0], first["one cache"][0]
            same = sum(alike(*pair) for pair in zip(expected, answers, strict=True))
            row = {"decoder": name, "batch": size, "same answers": f"{same} of {images}"}
            row |= {f"rows, {memory}": found[1] for memory, found in first.items()}
            timed = summary(interleave(calls, rounds, warmup=0), "one cache")
            row |= {f"s, {entry['name']}": entry["median_s"] for entry in timed}
            rows.append({**row, "none over one cache": timed[-1]["over one cache"]})
    return rows


def alike(first: Any, second: Any) -> bool:
    """The same tokens; of scores the same numbers."""
    if isinstance(first, list):
        return all(math.isclose(a, b, abs_tol=1e-4) for a, b in zip(first, second, strict=True))
    return bool(first.tokens == second.tokens)


@torch.no_grad()
def exactness(
    model: CNNRNN, features: Tensor, title: str, sharpness: float = 1.0
) -> list[dict[str, Any]]:
    """How often each beam finds the most probable path, what it loses, and what it costs."""
    paths = model.paths
    options = {"start": paths.start, "end": paths.end, "max_length": 8, "mask_repeats": True}
    step_once, image = plain(paths), paths.image(features)

    def step(state: dict[str, Tensor], tokens: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        log_probs, state = step_once(state, tokens)
        return (log_probs * sharpness).log_softmax(dim=1), state

    def run(decode: Callable[..., Any], **more: Any) -> tuple[list[Any], int, float]:
        stepped: list[int] = []
        found: list[Any] = []
        call = lambda: found.append(  # noqa: E731 - timed as it stands
            decode(counting(step, stepped), first_state(paths, image), **options, **more)
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


def main(argv: Iterable[str] | None = None) -> None:
    parser = arguments("decoding", __doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, one round")
    options = parser.parse_args(argv)
    images, rounds, tagged, steps = (8, 1, 500, 40) if options.quick else (64, 3, 5000, 400)
    tables, agreement = captions(images, rounds)
    tables["Same best captions as the batched beam"] = agreement
    rows = []
    untrained = tagger(20)
    drawn = torch.randn(200, FEATURES, generator=torch.Generator().manual_seed(5))
    rows += exactness(untrained, 3.0 * drawn, "random weights, 20 labels", sharpness=0.1)
    features, _ = tagged_images(1000, 80, seed=4)
    for title, count in (("hardly trained", 40), ("trained", steps)):
        model = trained_tagger(80, count)
        rows += exactness(model, features, f"{title}, 80 labels")
    tables["How often a beam misses the most probable label path"] = rows
    tables[f"{tagged} images, trained CNN-RNN of 80 labels, prefix cache"] = prefix_cache(
        model, tagged, rounds
    )
    report(options.json, machine("transformers"), tables)


if __name__ == "__main__":
    main()
