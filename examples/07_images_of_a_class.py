"""What a network takes for a class, and how little it takes to make it say another one.

python examples/07_images_of_a_class.py --weights pretrained    # resnet18 of timm
python examples/07_images_of_a_class.py --quick                 # no weights, a few seconds
"""

from __future__ import annotations

import argparse
from pathlib import Path

import timm
import torch

from lookcloser.explain import class_visualization, fooling_images, to_images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/made-images"))
    parser.add_argument("--weights", choices=("pretrained", "none"), default="none")
    parser.add_argument("--classes", type=int, nargs="+", default=[0, 7])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()

    torch.manual_seed(0)
    name = "test_resnet" if options.quick else "resnet18"
    network = timm.create_model(name, pretrained=options.weights == "pretrained").eval()
    mean, std = network.pretrained_cfg["mean"], network.pretrained_cfg["std"]
    side, steps = (64, 6) if options.quick else (224, 150)

    made = class_visualization(network, options.classes, (side, side), steps=steps)
    others = options.classes[1:] + options.classes[:1]
    fooled = fooling_images(network, made, others, max_steps=3 if options.quick else 50)

    options.folder.mkdir(parents=True, exist_ok=True)
    for kind, images in (("class", made), ("fooling", fooled.images)):
        for index, image in zip(options.classes, to_images(images, mean, std), strict=True):
            image.save(options.folder / f"{kind}-{index}.png")
    print(f"{int(fooled.flipped.sum())} of {len(others)} flipped, in {fooled.steps.tolist()} steps")


if __name__ == "__main__":
    main()
