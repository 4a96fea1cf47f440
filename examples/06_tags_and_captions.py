"""Tags as a path and captions word by word, each with the evidence of every step.

python examples/06_tags_and_captions.py            # about a minute on one core
python examples/06_tags_and_captions.py --quick    # a few seconds, learns little
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import lookcloser as lc
from lookcloser.core.drawing import plot_labels
from lookcloser.core.images import load_image
from lookcloser.data.scenes import write_scenes

RECIPE: dict[str, Any] = {
    "backbone": "test_resnet",
    "stride": 8,
    "size": 64,
    "lr": 5e-3,
    "clip": 5.0,
    "augment": "shift",
    "flip": False,
    "workers": 0,
    "quiet": True,
}


def tags(folder: Path, quick: bool) -> None:
    """A third digit follows from two others and is hardly visible: seeing alone is not enough."""
    count, epochs = (64, 1) if quick else (1500, 4)
    digits = {"size": 64, "digit_size": (18, 23), "clutter": (0, 0)}
    data = write_scenes(folder / "tags", "tags", train=count, val=50, test=100, **digits)
    lc.train(
        data, out=folder / "tags_run", method="cnnrnn", weights="none", epochs=epochs, **RECIPE
    )
    recognizer = lc.load(folder / "tags_run")
    scores = recognizer.evaluate(data)
    print("tags:", {name: round(scores[name], 3) for name in ("exact", "C-F1", "O-F1", "mAP")})

    pictures = sorted((data / "test").iterdir())
    prediction = max(recognizer.predict(pictures[:20]), key=lambda found: len(found.labels))
    print(prediction.path, [(region.step, region.label) for region in prediction.regions])
    print(prediction.save(folder / "tags.png"))
    assert prediction.path is not None  # it was given as a file
    # Every answered label at its step; one that learned too little to name any is asked for two.
    labels = None if prediction.labels else recognizer.names[:2]
    views = recognizer.explain_labels(prediction.path, ["gradcam", "deconvnet"], labels=labels)
    plot_labels(load_image(prediction.path), views).save(folder / "labels.png")
    print(folder / "labels.png")


def captions(folder: Path, quick: bool) -> None:
    """Each word looks at the picture before it is said; the backbone knows digits from the tags.

    A minute teaches sizes and colors; which digit is where takes the scenes and epochs of
    benchmarks/captioning.py.
    """
    count, epochs = (64, 1) if quick else (1000, 5)
    digits = {"size": 64, "digit_size": (16, 26), "clutter": (0, 0)}
    data = write_scenes(folder / "captions", "captions", train=count, val=50, test=100, **digits)
    lc.train(
        data,
        out=folder / "captions_run",
        method="lstm",
        attend=True,
        embed_size=64,
        hidden_size=128,
        weights=str(folder / "tags_run" / "model.safetensors"),
        backbone_lr=1.0,
        freeze_norm=False,
        label_smoothing=0.0,
        epochs=epochs,
        **RECIPE,
    )
    recognizer = lc.load(folder / "captions_run")
    scores = recognizer.evaluate(data)
    shown = ("exact caption", "BLEU-4", "CIDEr-D", "pointing")
    print("captions:", {name: round(scores[name], 3) for name in shown if name in scores})

    prediction = recognizer.predict(sorted((data / "test").iterdir())[0])[0]
    print(prediction.path, prediction.caption)
    print(prediction.save(folder / "caption.png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/sequences"))
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    tags(options.folder, options.quick)
    captions(options.folder, options.quick)


if __name__ == "__main__":
    main()
