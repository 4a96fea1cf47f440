"""The parts of gpu.py, each a generator of rows, run by it as a program of its own.

A row's first field is its name in the table. Before something long a row with its name alone says
what is under way; the row with the figures then takes its place.

python benchmarks/_gpu_parts.py PART WORK ROWS UNTIL
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from _gpu_work import LOOKING, Work, device, done, median_seconds, metrics
from _within import Row, write_rows
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional as F

from lookcloser.batch import How, Job, predict_source
from lookcloser.core.images import load_image
from lookcloser.data import Catalog, read_data
from lookcloser.inference.engine import TorchEngine
from lookcloser.models import load_model_file, save_model_file
from lookcloser.models.backbone import in_channels_last
from lookcloser.recognizer import Recognizer
from lookcloser.training.compiling import compiled as made_faster
from lookcloser.training.fit import fit, fit_here, prepare_model
from lookcloser.training.tasks.module import parameter_groups

MODES: dict[str, dict[str, Any]] = {
    "float32": {"precision": "32-true", "channels_last": False},
    "float32, channels-last": {"precision": "32-true", "channels_last": True},
    "bfloat16": {"precision": "bf16-mixed", "channels_last": False},
    "bfloat16, channels-last": {"precision": "bf16-mixed", "channels_last": True},
    "bfloat16, channels-last, deterministic": {
        "precision": "bf16-mixed", "channels_last": True, "deterministic": True,
    },
}  # fmt: skip
COMPILED = {"precision": "bf16-mixed", "channels_last": True, "compile": True}
Part = Callable[[Work, float], Iterator[Row]]  # what to do, and when time.monotonic() ends it
TWO = Catalog(Path(), "", "classification", ("a", "b"), ())


def evidence(work: Work, _until: float) -> Iterator[Row]:
    """The answer with the map of its best class over the logits alone."""
    model, header = prepare_model(work.options(), TWO)
    model = model.to(device()).eval()
    shape = (work.batch, 3, work.side, work.side)
    images = torch.randn(shape, device=device())
    pixels = torch.zeros(shape, dtype=torch.uint8).numpy()
    engine = TorchEngine(model, header, device())
    bare = 0.0
    for name, call in {
        "bare forward": lambda: model.head(model.backbone(images).mean(dim=(2, 3))),
        "with maps": lambda: model(images, top=1).maps,
        "whole answer": lambda: engine.answer(pixels, 5),
    }.items():
        with torch.inference_mode():
            seconds = median_seconds(call, work.steps)
        bare = bare or seconds
        yield {"evidence": name, "images/s": work.batch / seconds, "over bare": seconds / bare}


def decoding(work: Work, _until: float) -> Iterator[Row]:
    """Images/s that one core decodes and resizes: what a GPU has to be fed with."""
    files = sorted((Path(work.folder) / "images").rglob("*.jpg"))[:200]
    start = time.perf_counter()
    for file in files:
        load_image(file).resize((work.side, work.side), Image.Resampling.BILINEAR)
    yield {"decoding": "one core", "images/s": len(files) / (time.perf_counter() - start)}


def batch(work: Work, _until: float) -> Iterator[Row]:
    """`predict --out` from JPEG files to JSON lines."""
    folder = Path(work.folder)
    model, header = prepare_model(work.options(), TWO)
    run = save_model_file(folder / "run.safetensors", model.state_dict(), header)
    for workers in sorted({0, work.workers}):
        name = f"{workers} decoding threads"
        yield {"batch": name}
        marks: list[tuple[int, float]] = []
        how = How(batch_size=work.batch, workers=workers)
        job = Job(str(run), folder / "out" / str(workers), how=how)
        predict_source(
            job, [str(folder / "images")],
            progress=lambda n, _total, marks=marks: marks.append((n, time.perf_counter())),
        )  # fmt: skip
        (first, start), (last, end) = next(m for m in marks if m[0]), marks[-1]
        speed = (last - first) / (end - start) if end > start else float("nan")
        yield {"batch": name, "images/s": speed}


def training(work: Work, _until: float) -> Iterator[Row]:
    """Each mode of `train` beside a bare loop."""
    for name, mode in MODES.items():
        yield {"training": name}
        bare, _ = bare_training(work, mode)
        last = our_training(work, mode)[-1]
        ours = float(last["images_per_second"])
        yield {
            "training": name,
            "bare images/s": bare,
            "ours images/s": ours,
            "ours over bare": ours / bare,
            "waiting for data": float(last["data_wait"]),
        }


def compiled(work: Work, _until: float) -> Iterator[Row]:
    """The compiled network in both; what the bare loop has compiled lies in torch's cache then."""
    from torch._dynamo.utils import counters  # here: seconds, and for this part alone

    yield {"compiled": "bare loop"}
    bare, seconds = bare_training(work, COMPILED)
    yield {"compiled": "bare loop", "images/s": bare, "over bare": 1.0, "compiling s": seconds}
    yield {"compiled": "train"}
    before = counters["stats"]["unique_graphs"]
    start = time.perf_counter()
    first, last = our_training(work, COMPILED)
    ours = float(last["images_per_second"])
    yield {
        "compiled": "train",
        "images/s": ours,
        "over bare": ours / bare,
        "compiling s": float(first["seconds"]) - float(last["seconds"]),
        "waiting for data": float(last["data_wait"]),
        "networks compiled": counters["stats"]["unique_graphs"] - before,
        "seconds in all": time.perf_counter() - start,
    }


def bare_training(work: Work, mode: dict[str, Any]) -> tuple[float, float]:
    """Forward, cross-entropy, backward and AdamW on a batch that lies in memory.

    Returns:
        Images/s, and the seconds of the first steps: they allocate, compile, choose algorithms.
    """
    options = work.options(**mode)
    model, _ = prepare_model(options, TWO)
    form = torch.channels_last if options.channels_last else torch.contiguous_format
    if options.channels_last:
        model = in_channels_last(model)  # as `train` does, to the strides: compiled once for both
    model = model.to(device()).train()
    run = made_faster(model) if options.compile else model
    optimizer = torch.optim.AdamW(parameter_groups(model, options), lr=1e-3)
    shape = (work.batch, 3, work.side, work.side)
    images = torch.randn(shape, device=device()).contiguous(memory_format=form)
    targets = torch.arange(work.batch, device=device()) % 2
    half = options.precision == "bf16-mixed"
    begin = start = time.perf_counter()
    for step in range(work.steps + 3):
        if step == 3:
            done()
            start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast(device().type, torch.bfloat16, enabled=half):
            loss = F.cross_entropy(run(images).logits, targets)
        loss.backward()
        optimizer.step()
    done()
    return work.steps * work.batch / (time.perf_counter() - start), start - begin


def our_training(work: Work, mode: dict[str, Any]) -> list[dict[str, str]]:
    """The two epochs of a `train`."""
    catalog = read_data(Path(work.folder) / "often", val_share=0.0, test_share=0.0)
    with tempfile.TemporaryDirectory() as folder:
        fit(catalog, work.options(epochs=2, **mode), Path(folder) / "run", quiet=True)
        return metrics(Path(folder) / "run")


def fsdp(work: Work, _until: float) -> Iterator[Row]:
    """The same training sharded over one process, and twice as it is without."""
    catalog = read_data(Path(work.folder) / "images", val_share=0.25, test_share=0.0)
    with tempfile.TemporaryDirectory() as name:
        for title in ("plain", "plain again", "fsdp"):
            yield {"fsdp": title}
            run = Path(name) / title.replace(" ", "-")
            options = work.options(
                backbone=work.sharded, epochs=2, optimizer="sgd", lr=1e-3, val_share=0.25,
                channels_last=False, precision="bf16-mixed", deterministic=True,
                strategy="fsdp" if title == "fsdp" else "auto",
            )  # fmt: skip
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            # Not `fit`, which refuses to shard on a CPU.
            fit_here(catalog, options, run, quiet=True)
            last = metrics(run)[-1]
            peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
            yield {
                "fsdp": title,
                "train loss": float(last["train_loss"]),
                "val loss": float(last["val_loss"]),
                "val top-1": float(last["val_acc"]),
                "weights from plain": difference(Path(name) / "plain", run),
                "images/s": float(last["images_per_second"]),
                "peak GiB": peak / 2**30,
            }


def difference(one: Path, other: Path) -> float:
    """The largest difference of a weight, over the largest weight of its tensor."""
    first, second = (load_file(run / "model.safetensors") for run in (one, other))
    return max(
        float((first[name] - second[name]).abs().max() / first[name].abs().max().clamp(min=1e-12))
        for name in first
        if first[name].is_floating_point()
    )


def looking(method: str) -> Part:
    """The part of a method that looks several times: top-1 within the time, and speed."""

    def part(work: Work, until: float) -> Iterator[Row]:
        catalog, options = read_data(Path(work.birds)), work.looking_options(method)
        yield {method: work.looking}
        with tempfile.TemporaryDirectory() as folder:
            run, start = Path(folder) / "run", time.perf_counter()
            with ended_at(until - 0.3 * max(0.0, until - time.monotonic())):  # then it is scored
                fit(catalog, options, run, quiet=True)
            seconds = time.perf_counter() - start
            epochs = metrics(run)
            if not epochs:
                raise TimeoutError("no epoch ended in time")
            model, header = load_model_file(run / "model.safetensors")
            top1 = Recognizer(model, header).evaluate(catalog, catalog.scored)["top1"]
        yield {
            method: work.looking,
            "top1": top1,
            "epochs": f"{len(epochs)} of {work.epochs}",
            "images/s": float(epochs[-1]["images_per_second"]),
            "waiting for data": float(epochs[-1]["data_wait"]),
            "seconds": seconds,
        }

    return part


@contextmanager
def ended_at(moment: float) -> Iterator[None]:
    """A training inside is told to end then, which leaves the model of its best epoch."""

    def leave(*_: Any) -> None:
        raise TimeoutError("the time was over while nothing was trained")

    before = signal.signal(signal.SIGTERM, leave)
    timer = threading.Timer(
        max(0.0, moment - time.monotonic()), os.kill, (os.getpid(), signal.SIGTERM)
    )
    try:
        timer.start()
        yield
    except SystemExit as end:
        if end.code != 128 + signal.SIGTERM:
            raise
    finally:
        timer.cancel()
        signal.signal(signal.SIGTERM, before)


PARTS: dict[str, Part] = {
    "evidence": evidence,
    "decoding": decoding,
    "training": training,
    "compiled": compiled,
    **{name: looking(name) for name in LOOKING},
    "batch": batch,
    "fsdp": fsdp,
}


def command(part: str, work: Work, rows: Path, until: float) -> list[str]:
    """This file as a program that does a part."""
    return [sys.executable, __file__, part, json.dumps(asdict(work)), str(rows), str(until)]


if __name__ == "__main__":
    PART, WORK, ROWS, UNTIL = sys.argv[1:]
    write_rows(PARTS[PART](Work(**json.loads(WORK)), float(UNTIL)), Path(ROWS))
