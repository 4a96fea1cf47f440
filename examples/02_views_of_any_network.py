"""Look into a network that lookcloser did not make: CAM, Grad-CAM and saliency of a timm model.

python examples/02_views_of_any_network.py photo.jpg --model resnet50 --save views.png
Without --pretrained the weights are random: the maps show how, not what.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import timm
import torch

from lookcloser.core.drawing import plot_views
from lookcloser.core.images import load_image
from lookcloser.core.types import Region
from lookcloser.explain import VIEWS, normalize


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--pretrained", action="store_true")
    parser.add_argument("--save", type=Path, default=Path("views.png"))
    options = parser.parse_args()

    torch.manual_seed(0)
    model = timm.create_model(options.model, pretrained=options.pretrained)
    settings = timm.data.resolve_model_data_config(model)
    picture = load_image(options.image)
    batch = timm.data.create_transform(**settings)(picture)[None]

    with torch.inference_mode():
        score, best = model.eval()(batch).softmax(dim=1)[0].max(dim=0)
    views = {}
    for name in ("cam", "gradcam", "saliency"):
        heatmap = normalize(VIEWS[name](model, batch, int(best)))[0].numpy()
        views[name] = Region("map", f"class {int(best)}", float(score), heatmap=heatmap)
    plot_views(picture, views).save(options.save)
    print(options.save)


if __name__ == "__main__":
    main()
