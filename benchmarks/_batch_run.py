"""One program of a batch, as batch.py starts it: a loop over some files, or all of ours.

The loops write a line for each image, in one go for a batch, so that all are counted alike.

python benchmarks/_batch_run.py '{"engine": "bare", "network": …, "source": …, "out": …}'
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lookcloser.batch import How, Job, predict_source
from lookcloser.runtime.onnx import load as load_onnx

BATCH = 16


def bare(network: str, files: list[Path]) -> Iterator[int]:
    """Open, resize, run, keep the best class; the same preprocessing, written out."""
    engine = load_onnx(network, threads=1).engine
    session, size = engine._image.session, engine.header.preprocessing.size
    for at in range(0, len(files), BATCH):
        arrays = []
        for file in files[at : at + BATCH]:
            with Image.open(file) as image:
                small = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
            arrays.append(np.asarray(small).transpose(2, 0, 1))
        found = session.run(["scores"], {"image": np.stack(arrays).astype(np.float32)})
        yield from found[0].argmax(axis=1).tolist()


def with_evidence(network: str, files: list[Path], top: int) -> Iterator[int]:
    """The answers of `Recognizer.stream`, one after the other."""
    recognizer = load_onnx(network, threads=1)
    for answer in recognizer.stream(files, top=top, batch_size=BATCH):
        yield answer.labels[0].index


def loop(found: Iterator[int], out: Path) -> None:
    """Write what a loop finds, a batch at a time."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w") as file:
        for number, best in enumerate(found, 1):
            file.write(f"{best}\n")
            if number % BATCH == 0:
                file.flush()


def main(given: dict[str, Any]) -> None:
    engine, network, out = given["engine"], given["network"], Path(given["out"])
    first, step = given.get("share", (0, 1))
    if engine in {"bare", "evidence"}:
        files = sorted(Path(given["source"]).iterdir())[first::step]
        found = (
            bare(network, files)
            if engine == "bare"
            else with_evidence(network, files, given["top"])
        )
        loop(found, out / f"loop-{first}.jsonl")
        return
    job = Job(network, out, how=How(top=given["top"], batch_size=BATCH), threads=1)
    predict_source(
        job,
        [given["source"]],
        engine=engine,
        processes=given["workers"],
        part_images=given["part_images"],
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
