"""Everything that needs a GPU, in one script of ten minutes at most; prints after each part.

- training: images/s of `lookcloser train` over a bare loop on a batch that lies in memory, in
  float32, bfloat16, with and without channels-last, compiled; and what decoding bounds
- evidence: answers with their maps over the bare forward pass
- batch: images/s of `lookcloser predict --out`
- fsdp: one process trains with `--strategy fsdp` and without: scores, weights, images/s, memory;
  a second training without says how much of the difference is the GPU's own
- methods: racnn and osme on birds50 at 224 px, top-1 within the minutes that are left

`--quick` runs every part on next to nothing, on the CPU: a test that the script itself works.
Without a GPU and without `--quick` it says so and ends. A part that fails is named at the end, and
does not keep the others from running; what is there is written after each.

python benchmarks/gpu.py --birds birds50/ --weights mobilenetv2_100.safetensors
"""

from __future__ import annotations

import csv
import os
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _harness import arguments, machine, report
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional as F

from lookcloser.batch import How, Job, predict_source
from lookcloser.core.images import load_image
from lookcloser.data import Catalog, read_data
from lookcloser.inference.engine import TorchEngine
from lookcloser.models import load_model_file
from lookcloser.recognizer import Recognizer
from lookcloser.training.fit import fit, fit_here, prepare_model
from lookcloser.training.options import make_options
from lookcloser.training.tasks.module import parameter_groups

Rows = list[dict[str, Any]]
MODES: dict[str, dict[str, Any]] = {
    "float32": {"precision": "32-true", "channels_last": False},
    "float32, channels-last": {"precision": "32-true", "channels_last": True},
    "bfloat16": {"precision": "bf16-mixed", "channels_last": False},
    "bfloat16, channels-last": {"precision": "bf16-mixed", "channels_last": True},
    "bfloat16, channels-last, deterministic": {
        "precision": "bf16-mixed", "channels_last": True, "deterministic": True,
    },
    "bfloat16, channels-last, compiled": {
        "precision": "bf16-mixed", "channels_last": True, "compile": True,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How much is done.

    Attributes:
        backbone: Of all parts but "fsdp".
        sharded: That of "fsdp", with blocks that are worth sharding.
        side: Of the input in pixels.
        batch: Images of a step.
        steps: Timed ones of a bare loop.
        images: Files that are different.
        repeats: How often each is seen in an epoch of "training".
        workers: Loading processes, or threads.
        epochs: Of "methods".
        quick: Next to nothing, on a CPU.
    """

    backbone: str
    sharded: str
    side: int
    batch: int
    steps: int
    images: int
    repeats: int
    workers: int
    epochs: int
    quick: bool


FULL = Size("resnet50", "vit_base_patch16_224", 224, 128, 30, 2048, 4, 12, 12, quick=False)
QUICK = Size("test_resnet", "test_vit", 32, 8, 2, 24, 1, 0, 1, quick=True)


def write_images(folder: Path, count: int, side: int) -> Path:
    """JPEG files in two classes, all for training."""
    generator = np.random.default_rng(0)
    for number in range(count):
        coarse = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        path = folder / "train" / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coarse).resize((side, side)).save(path)
    return folder


def repeated(source: Path, folder: Path, times: int) -> Path:
    """The files of ``source`` under so many names each."""
    for file in sorted(source.rglob("*.jpg")):
        for turn in range(times):
            path = folder / file.relative_to(source).with_stem(f"{file.stem}-{turn}")
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, path)
    return folder


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def done() -> None:
    """Wait for the GPU: what is asked of it is not done when the call returns."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def options_of(size: Size, **more: Any) -> Any:
    return make_options(
        **{
            "backbone": size.backbone, "weights": "none", "size": size.side,
            "batch_size": size.batch, "workers": size.workers, "val_share": 0.0,
            "test_share": 0.0, "recipe": "fine-tune", "stride": None,
            "deterministic": False, **more,
        }
    )  # fmt: skip


def bare_training(size: Size, mode: dict[str, Any]) -> float:
    """Images/s of forward, cross-entropy, backward and AdamW, without any loading."""
    options = options_of(size, **mode)
    model, _ = prepare_model(options, Catalog(Path(), "", "classification", ("a", "b"), ()))
    form = torch.channels_last if options.channels_last else torch.contiguous_format
    model = model.to(device(), memory_format=form).train()
    run: Callable[..., Any] = torch.compile(model) if options.compile else model
    optimizer = torch.optim.AdamW(parameter_groups(model, options), lr=1e-3)
    shape = (size.batch, 3, size.side, size.side)
    images = torch.randn(shape, device=device()).contiguous(memory_format=form)
    targets = torch.arange(size.batch, device=device()) % 2
    half = options.precision == "bf16-mixed"
    start = 0.0
    for step in range(size.steps + 3):
        if step == 3:  # the first ones allocate, compile and choose algorithms
            done()
            start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast(device().type, torch.bfloat16, enabled=half):
            loss = F.cross_entropy(run(images).logits, targets)
        loss.backward()
        optimizer.step()
    done()
    return size.steps * size.batch / (time.perf_counter() - start)


def our_training(size: Size, mode: dict[str, Any], data: Path) -> tuple[float, float]:
    """Images/s of the last of two epochs of `train`, and its share of waiting for data."""
    with tempfile.TemporaryDirectory() as folder:
        fit(read_data(data, val_share=0.0, test_share=0.0), options_of(size, epochs=2, **mode),
            Path(folder) / "run", quiet=True)  # fmt: skip
        with (Path(folder) / "run" / "metrics.csv").open() as file:
            last = list(csv.DictReader(file))[-1]
    return float(last["images_per_second"]), float(last["data_wait"])


def training(size: Size, data: Path, until: float, modes: Iterable[str]) -> Rows:
    """Each mode beside the bare loop; compiling needs a C compiler, and a minute or two."""
    rows: Rows = []
    for name in modes:
        mode = MODES[name]
        compiles = "compile" in mode
        if compiles and size.quick:
            continue  # minutes on a CPU
        if compiles and until - time.monotonic() < 120:
            rows.append({"training": name, "not run": "no time left"})
            continue
        start = time.perf_counter()
        try:
            bare, (ours, wait) = bare_training(size, mode), our_training(size, mode, data)
        except Exception as error:
            if not compiles:
                raise
            rows.append({"training": name, "not run": str(error).strip().partition("\n")[0]})
            continue
        rows.append({"training": name, "bare images/s": bare, "ours images/s": ours,
                     "ours over bare": ours / bare, "waiting for data": wait,
                     "seconds": time.perf_counter() - start})  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def fsdp(size: Size, data: Path) -> Rows:
    """The same training sharded over one process, and twice as it is without."""
    catalog = read_data(data, val_share=0.25, test_share=0.0)
    rows: Rows = []
    with tempfile.TemporaryDirectory() as name:
        runs = {
            title: Path(name) / title.replace(" ", "-")
            for title in ("plain", "plain again", "fsdp")
        }
        for title, run in runs.items():
            options = options_of(
                size, backbone=size.sharded, epochs=2, optimizer="sgd", lr=1e-3, val_share=0.25,
                channels_last=False, precision="bf16-mixed", deterministic=True,
                strategy="fsdp" if title == "fsdp" else "auto",
            )  # fmt: skip
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            # Not `fit`, which refuses to shard on a CPU.
            fit_here(catalog, options, run, quiet=True)
            with (run / "metrics.csv").open() as file:
                last = list(csv.DictReader(file))[-1]
            rows.append(
                {
                    "fsdp": title,
                    "train loss": float(last["train_loss"]),
                    "val loss": float(last["val_loss"]),
                    "val top-1": float(last["val_acc"]),
                    "weights from plain": difference(runs["plain"], run),
                    "images/s": float(last["images_per_second"]),
                    "peak GiB": torch.cuda.max_memory_allocated() / 2**30
                    if torch.cuda.is_available()
                    else 0.0,
                }
            )
            print(rows[-1], flush=True)
    return rows


def difference(one: Path, other: Path) -> float:
    """The largest difference of a weight, over the largest weight of its tensor."""
    first, second = (load_file(run / "model.safetensors") for run in (one, other))
    return max(
        float((first[name] - second[name]).abs().max() / first[name].abs().max().clamp(min=1e-12))
        for name in first
        if first[name].is_floating_point()
    )


def decoding(data: Path, size: Size) -> Rows:
    """Images/s that one core decodes and resizes: what a GPU has to be fed with."""
    files = sorted(data.rglob("*.jpg"))[:200]
    start = time.perf_counter()
    for file in files:
        load_image(file).resize((size.side, size.side), Image.Resampling.BILINEAR)
    return [{"decoding": "one core", "images/s": len(files) / (time.perf_counter() - start)}]


def evidence(size: Size) -> Rows:
    """The answer with the map of its best class over the logits alone."""
    options = options_of(size)
    model, header = prepare_model(options, Catalog(Path(), "", "classification", ("a", "b"), ()))
    model = model.to(device()).eval()
    images = torch.randn(size.batch, 3, size.side, size.side, device=device())
    rows: Rows = []

    def seconds(call: Callable[[], Any]) -> float:
        times = []
        for _ in range(size.steps + 2):
            done()
            start = time.perf_counter()
            call()
            done()
            times.append(time.perf_counter() - start)
        return statistics.median(times[2:])

    with torch.inference_mode():
        bare = seconds(lambda: model.head(model.backbone(images).mean(dim=(2, 3))))
        maps = seconds(lambda: model(images, top=1).maps)
    engine = TorchEngine(model, header, device())
    pixels = np.zeros((size.batch, 3, size.side, size.side), np.uint8)
    whole = seconds(lambda: engine.answer(pixels, 5))
    for name, value in (("bare forward", bare), ("with maps", maps), ("whole answer", whole)):
        rows.append({"evidence": name, "images/s": size.batch / value, "over bare": value / bare})
    return rows


def batch(size: Size, run: Path, data: Path, out: Path) -> Rows:
    """`predict --out` from JPEG files to JSON lines."""
    rows = []
    for workers in sorted({0, size.workers}):
        marks: list[tuple[int, float]] = []
        job = Job(str(run), out / str(workers), how=How(batch_size=size.batch, workers=workers))
        predict_source(
            job, [str(data)],
            progress=lambda n, _total, marks=marks: marks.append((n, time.perf_counter())),
        )  # fmt: skip
        (first, start), (last, end) = next(m for m in marks if m[0]), marks[-1]
        speed = (last - first) / (end - start) if end > start else float("nan")
        rows.append({"batch": f"{workers} decoding threads", "images/s": speed})
    return rows


def methods(size: Size, birds: Path, weights: str, until: float) -> Rows:
    """Top-1 and speed of the two methods that look several times."""
    catalog, rows = read_data(birds), []
    side = size.side
    for name, more in (("osme", {"images_per_class": 2}), ("racnn", {"scales": 2})):
        left = until - time.monotonic()
        if left < 60 and not size.quick:
            rows.append({"method": name, "top1": "no time left"})
            continue
        options = make_options(
            method=name, backbone=size.backbone if size.quick else "mobilenetv2_100",
            weights=weights, size=side, epochs=size.epochs, batch_size=8 if size.quick else 32,
            workers=size.workers, precision="32-true" if size.quick else "bf16-mixed", **more,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            fit(catalog, options, Path(folder) / "run", quiet=True)
            seconds = time.perf_counter() - start
            model, header = load_model_file(Path(folder) / "run" / "model.safetensors")
            top1 = Recognizer(model, header).evaluate(catalog, catalog.scored)["top1"]
        rows.append({"method": name, "top1": top1, "epochs": size.epochs, "seconds": seconds})
        print(rows[-1], flush=True)
    return rows


def main(words: list[str] | None = None) -> None:
    parser = arguments("gpu", __doc__)
    parser.add_argument("--birds", type=Path, help="birds50, for racnn and osme")
    parser.add_argument("--weights", default="none", help="of mobilenetv2_100, for these")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, help="instead of those of the size: how often an "
                        "image is seen in an epoch of training")  # fmt: skip
    parser.add_argument("--parts", nargs="+", metavar="PART", help="only these")
    parser.add_argument("--modes", nargs="+", choices=list(MODES), default=list(MODES),
                        metavar="MODE", help="only these of training")  # fmt: skip
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(words)
    if not torch.cuda.is_available() and not options.quick:
        raise SystemExit("no GPU here; --quick tries the script itself on the CPU")
    size, start = QUICK if options.quick else FULL, time.monotonic()
    size = replace(size, repeats=options.repeats or size.repeats)
    until = start + 60 * options.minutes
    tables: dict[str, Rows] = {}
    failed = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write_images(folder / "images", size.images, size.side + size.side // 7)
        often = repeated(data, folder / "often", size.repeats)
        run = folder / "run"
        fit(read_data(data, val_share=0.0, test_share=0.0), options_of(size, epochs=1), run,
            quiet=True)  # fmt: skip
        print("ready", f"{time.monotonic() - start:.0f} s", flush=True)
        parts: dict[str, Callable[[], Rows]] = {
            "evidence": lambda: evidence(size),
            "decoding": lambda: decoding(data, size),
            "batch": lambda: batch(size, run, data, folder / "out"),
            "fsdp": lambda: fsdp(size, data),
            "training": lambda: training(size, often, until, options.modes),
        }
        if options.birds is not None:
            parts["methods"] = lambda: methods(size, options.birds, options.weights, until)
        for title in options.parts or parts:
            try:
                tables[title] = parts[title]()
            except Exception:
                traceback.print_exc()
                failed.append(title)
                continue
            print(title, f"{time.monotonic() - start:.0f} s", tables[title], flush=True)
            report(options.json, machine(), tables)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
