"""Exported files: equality, what evidence costs, speed, and what 8 bits cost.

    python benchmarks/export.py equality --data ../shared/data
    python benchmarks/export.py speed --data ../shared/data
    python benchmarks/export.py int8 --data ../shared/data [--set boxes20]

Writes benchmarks/results/export-PART.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import timm
import torch
from _equality import Compared, compare_answers, noise
from _harness import write
from safetensors.torch import load_file

from lookcloser.core.calibration import Calibration
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing, normalized
from lookcloser.data import read_data
from lookcloser.data.vocabulary import END
from lookcloser.export import build_onnx, data_images, quantized, save, side_by_side, write_onnx
from lookcloser.export.samples import folder_pixels
from lookcloser.inference.engine import TorchEngine
from lookcloser.models import build_model
from lookcloser.models.backbone import Backbone
from lookcloser.models.weights import load_backbone_weights
from lookcloser.runtime.onnx import load

CNN, LITE, TRANSFORMER = "resnet18", "tf_efficientnet_lite0", "vit_tiny_patch16_224"
WORDS = {"max_length": 8}
METHODS = {
    "cam": {},
    "sigmoid": {},
    "feedback": {},
    "osme": {},
    "racnn": {},
    "racnn evidence": {"apn": "evidence"},
    "cam closer": {"places": 2, "view": 64, "share": 0.4},
    "cnnrnn": {"max_labels": 5},
    "cnnrnn exact": {"max_labels": 5, "decoder": "exact"},
    "rnn": WORDS,
    "lstm": WORDS,
    "gru": WORDS,
    "lstm attending": {**WORDS, "attend": True},
}
IMAGES, CLASSES, SEED, TEMPERATURE, SIDE = 64, 20, 0, 1.5, 96


def engine_of(case: str, backbone: str, size: int) -> TorchEngine:
    torch.manual_seed(SEED)
    method = case.split(maxsplit=1)[0]
    sizes = {"img_size": size} if backbone == TRANSFORMER else {}
    arguments = {"num_classes": CLASSES, "backbone": backbone, "model_kwargs": sizes}
    model = build_model(method, {**arguments, **METHODS[case]}).eval()
    if backbone == LITE:  # ImageNet weights come with a package; the others stay random
        for part in model.modules():
            if isinstance(part, Backbone):
                load_backbone_weights(part, "pretrained")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2 and parameter.shape[0] in (CLASSES, CLASSES + 2):
                parameter.normal_()
        if method == "cnnrnn":
            model.paths.embedding.weight[model.paths.end] = 0.0
        if "captioning" in model.tasks:
            model.word_bias[END] = -2.0
    task = model.tasks[0]
    kind = "word" if task == "captioning" else "step" if model.sequential else "map"
    names = tuple(f"class {index}" for index in range(CLASSES))
    header = ModelHeader(
        method,
        {},
        task,
        names,
        Preprocessing((size, size)),
        evidence_kind=kind,
        calibration=Calibration(1.0 if task != "classification" else TEMPERATURE),
    )
    return TorchEngine(model, header, torch.device("cpu"))


def make_end(engine: TorchEngine, pixels: np.ndarray) -> None:
    """END becomes more likely with each label, as in a trained network.

    Of a random one the most probable path is the empty set, whatever the image.
    """
    paths = engine.model.paths
    with torch.no_grad():
        image = paths.image(engine.model.backbone(engine.images(pixels)).mean(dim=(2, 3)))
        start = paths.project(image, torch.zeros(len(image), 0, dtype=torch.long))[:, 0]
        best = paths.log_probs(start)[:, : paths.end].topk(2).indices
        then = paths.project(image, best)[:, 2]
        score = (then @ paths.label_rows[: paths.end].T).amax(dim=1).mean()
        before, after = start.mean(dim=0), then.mean(dim=0)
        change = after - before * (after @ before) / (before @ before)
        paths.embedding.weight[paths.end] = 2.5 * score * change / (change @ change)


def equality(data: Path, case: str, backbone: str) -> dict[str, object]:
    pixels = folder_pixels(data / "birds50" / "test", Preprocessing((SIDE, SIDE)), IMAGES)
    engine = engine_of(case, backbone, SIDE)
    if case == "cnnrnn exact":
        make_end(engine, pixels[:8])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        found = write_onnx(engine.model, engine.header, path, reference=engine, pixels=pixels)
        recognizer = load(path)
    row: dict[str, object] = {"method": case, "backbone": backbone, **vars(found)}
    given = engine.answer(pixels, 1)
    if given.certified is not None:
        row["certified"] = int(given.certified.sum())
        row["labels"] = int((given.tokens >= 0).sum())
    for batch in (1, 3, 8):
        compared = Compared()
        for at in range(0, IMAGES, batch):
            compare_answers(engine, recognizer.engine, pixels[at : at + batch], compared)
        row[f"batch {batch}"] = compared.row()
    if engine.header.evidence_kind == "map":
        row["heatmaps, float32 against float64"] = noise(engine, recognizer.engine, pixels[:16])
    return row


def probed(data: Path, name: str) -> TorchEngine:
    """ImageNet's MobileNetV2 with a linear layer for a data set, learned on frozen features."""
    weights = load_file(data / "weights" / "mobilenetv2_100.safetensors")
    catalog = read_data(data / name)
    arguments = {
        "num_classes": len(catalog.names),
        "backbone": "mobilenetv2_100",
        "model_kwargs": {"pad_type": "same"},
    }
    torch.manual_seed(SEED)
    model = build_model("cam", arguments).eval()
    plain = {name: value for name, value in weights.items() if not name.startswith("classifier")}
    model.backbone.net.load_state_dict(plain)
    side = 160 if name == "birds50" else 128  # those of boxes20 have 64 px
    settings = Preprocessing((side, side), (0.5,) * 3, (0.5,) * 3)
    header = ModelHeader("cam", arguments, "classification", catalog.names, settings)
    given = data_images(catalog, "train", header, 10_000)
    features = []
    with torch.no_grad():
        for at in range(0, len(given.pixels), 32):
            images = torch.from_numpy(normalized(given.pixels[at : at + 32], settings))
            features.append(model.backbone(images).mean(dim=(2, 3)))
    inputs, labels = torch.cat(features), torch.from_numpy(given.labels)
    optimizer = torch.optim.Adam(model.head.parameters(), 1e-2, weight_decay=1e-4)
    for _ in range(300):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model.head(inputs), labels).backward()
        optimizer.step()
    return TorchEngine(model, header, torch.device("cpu"))


def int8(data: Path, name: str) -> list[dict[str, object]]:
    engine, catalog = probed(data, name), read_data(data / name)
    calibration = data_images(catalog, "train", engine.header, 128)
    given = data_images(catalog, "test", engine.header, 10_000)
    with tempfile.TemporaryDirectory() as folder:
        plain, small = (Path(folder) / name for name in ("plain.onnx", "small.onnx"))
        save(build_onnx(engine.model, engine.header), plain)
        save(quantized(onnx.load(plain), calibration.pixels), small)
        rows = side_by_side(load(plain).engine, load(small).engine, given)
    return [{"images": len(given.pixels), **vars(row)} for row in rows]


def speed(data: Path, repeats: int = 40) -> list[dict[str, object]]:
    """Interleaved medians on one thread: eager, the file, the file's logits alone, and 8 bits."""
    torch.set_num_threads(1)
    engine = engine_of("cam", CNN, 224)
    pixels = folder_pixels(data / "birds50" / "test", engine.header.preprocessing, 32)
    whole = build_onnx(engine.model, engine.header)
    alone = onnx.ModelProto()
    alone.CopyFrom(whole)
    kept = [output for output in alone.graph.output if output.name == "logits"]
    del alone.graph.output[:]
    alone.graph.output.extend(kept)
    sessions = {
        name: session(model)
        for name, model in (
            ("file", whole),
            ("logits alone", alone),
            ("int8", quantized(whole, pixels)),
        )
    }
    rows = []
    for batch in (1, 8):
        given = pixels[:batch]
        images = torch.from_numpy(normalized(given, engine.header.preprocessing))
        feed = {"image": given.astype(np.float32)}
        runs = {name: lambda s=s, feed=feed: s.run(None, feed) for name, s in sessions.items()}
        runs["eager"] = lambda images=images: eager(engine, images)
        times: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(repeats + 3):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                if turn >= 3:
                    times[name].append(time.perf_counter() - start)
        medians = {name: 1000 * float(np.median(own)) for name, own in times.items()}
        rows.append(
            {
                "batch": batch,
                "milliseconds": medians,
                "evidence costs": medians["file"] / medians["logits alone"],
                "float32 is faster by": medians["eager"] / medians["file"],
                "int8 is faster by": medians["eager"] / medians["int8"],
            }
        )
    return rows


def eager(engine: TorchEngine, images: torch.Tensor) -> None:
    with torch.inference_mode():
        engine.model(images)


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("equality", "speed", "int8"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--backbones", nargs="*", default=[LITE, TRANSFORMER])
    parser.add_argument("--set", default="birds50", choices=("birds50", "boxes20"))
    given = parser.parse_args()
    if given.part == "equality":
        for backbone in given.backbones:
            for case in given.methods:  # each is kept at once: all of them take half an hour
                row = equality(given.data, case, backbone)
                keep(f"export-equality-{backbone}", [row], ("method",))
    elif given.part == "int8":
        keep(
            "export-int8" + ("" if given.set == "birds50" else f"-{given.set}"),
            int8(given.data, given.set),
        )
    else:
        keep("export-speed", speed(given.data))


def keep(name: str, rows: list[dict[str, object]], keys: tuple[str, ...] = ()) -> None:
    """Write a result; with ``keys`` beside the rows of before that differ in them."""
    out = Path(__file__).parent / "results" / f"{name}.json"
    if keys and out.exists():
        new = [[row[key] for key in keys] for row in rows]
        before = json.loads(out.read_text(encoding="utf-8"))["rows"]
        rows = [*(row for row in before if [row[key] for key in keys] not in new), *rows]
    result = {
        "seed": SEED,
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
        "timm": timm.__version__,
        "onnxruntime": onnxruntime.__version__,
        "rows": rows,
    }
    print(json.dumps(result, indent=1), flush=True)
    write(out, result)


if __name__ == "__main__":
    main()
