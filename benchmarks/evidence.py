"""What a class map costs: one-pass maps and views against the bare forward pass and two packages.

ResNet-50, 224 px, random weights, float32. `ours: maps` is the model of `--method cam` answering
with the map of its best class; `ours: cam` and `ours: gradcam` look into the bare timm network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import timm
import torch
from _harness import arguments, interleave, machine, report, summary
from torch import Tensor

from lookcloser import explain
from lookcloser.models import CAM


def calls(batch: int) -> dict[str, Callable[[], Any]]:
    """Every way to get a picture of the evidence, on the same weights and images."""
    torch.manual_seed(0)
    ours = CAM(1000, "resnet50").eval()
    # The peers add 1e-8 and 1e-7 to what they divide by; large scores make that vanish.
    ours.head.weight.data *= 1e4
    bare = timm.create_model("resnet50").eval()
    bare.load_state_dict({**ours.backbone.net.state_dict(), **head_of(ours)})
    images = torch.randn(batch, 3, 224, 224)

    def forward() -> Tensor:
        with torch.inference_mode():
            return bare(images)

    def maps() -> Tensor:
        with torch.inference_mode():
            output = ours(images, targets=1)
            assert output.maps is not None  # this method always has maps
            return output.maps[:, 0]

    return {
        "bare forward": forward,
        "ours: maps": maps,
        "ours: cam": lambda: explain.cam(bare, images),
        "ours: gradcam": lambda: explain.gradcam(bare, images),
        "ours: 20 maps": lambda: ours_many(ours, images),
        "ours: saliency": lambda: explain.saliency(bare, images),
        **peers(bare, images),
    }


def head_of(model: CAM) -> dict[str, Tensor]:
    """The linear layer under the names of timm's ResNet."""
    return {"fc.weight": model.head.weight.data, "fc.bias": model.head.bias.data}


def ours_many(model: CAM, images: Tensor) -> Tensor:
    """The maps of the 20 best classes."""
    with torch.inference_mode():
        output = model(images, targets=20)
        assert output.maps is not None  # this method always has maps
        return output.maps


def peers(model: torch.nn.Module, images: Tensor) -> dict[str, Callable[[], Any]]:
    """torchcam and grad-cam, where they are installed, used as their READMEs show."""
    found: dict[str, Callable[[], Any]] = {}
    try:
        from torchcam import methods as torchcam
    except ImportError:
        print("torchcam is not installed: left out")
    else:

        def torchcam_cam() -> Any:
            with torchcam.CAM(model, "layer4", "fc") as extractor, torch.inference_mode():
                return extractor(model(images).argmax(dim=1).tolist())

        def torchcam_gradcam() -> Any:
            with torchcam.GradCAM(model, "layer4") as extractor:
                scores = model(images)
                return extractor(scores.argmax(dim=1).tolist(), scores)

        found |= {"torchcam: CAM": torchcam_cam, "torchcam: GradCAM": torchcam_gradcam}
    try:
        from pytorch_grad_cam import GradCAM
    except ImportError:
        print("grad-cam is not installed: left out")
    else:

        def grad_cam() -> Any:
            with GradCAM(model, [model.layer4]) as extractor:
                return extractor(images, None)

        found["grad-cam: GradCAM"] = grad_cam
    return found


def agreement() -> list[dict[str, Any]]:
    """Largest difference between the normalised pictures, Grad-CAM on a pooled network."""
    made = {name: call() for name, call in calls(2).items() if "gradcam" in name.lower()}
    raw = made["ours: gradcam"]
    ours = explain.normalize(raw - raw.amin(dim=(1, 2), keepdim=True))  # peers stretch to [0, 1]
    rows = []
    if "torchcam: GradCAM" in made:
        theirs = made["torchcam: GradCAM"][0]
        rows.append({"peer": "torchcam", "max difference": float((ours - theirs).abs().max())})
    return rows


def main() -> None:
    parser = arguments("evidence", __doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    options = parser.parse_args()
    tables = {}
    for batch in options.batches:
        seconds = interleave(calls(batch), rounds=options.rounds, warmup=2)
        tables[f"batch {batch}"] = summary(seconds, "bare forward")
    tables["agreement"] = agreement()
    report(options.json, machine("torchcam", "grad-cam"), tables)


if __name__ == "__main__":
    main()
