"""Train on scenes from class labels alone, answer an unseen one, and save where the model looked.

python examples/01_train_and_look.py            # about two minutes on two cores
python examples/01_train_and_look.py --quick    # a few seconds, learns little
"""

from __future__ import annotations

import argparse
from pathlib import Path

import lookcloser as lc
from lookcloser.data.scenes import write_scenes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/example"))
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()

    count, epochs = (200, 1) if options.quick else (3000, 8)
    scenes = write_scenes(options.folder / "scenes", train=count, val=100, test=100)
    recognizer = lc.train(
        scenes,
        out=options.folder / "run",
        backbone="resnetv2_18",
        weights="none",
        stride=4,
        size=64,
        epochs=epochs,
        lr=0.03,
        backbone_lr=0.1,
        clip=5.0,
        augment="shift",
        flip=False,
    )
    scores = recognizer.evaluate(scenes)
    print({name: round(value, 3) for name, value in scores.items()})

    picture = sorted((scenes / "test" / "3").iterdir())[0]
    prediction = recognizer.predict(picture)[0]
    print(picture, prediction.labels[0], prediction.regions[0].box)
    print(prediction.save(options.folder / "evidence.png"))


if __name__ == "__main__":
    main()
