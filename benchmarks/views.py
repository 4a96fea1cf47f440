"""Every view of 40 networks of timm: a finite map of the right place, or one sentence that refuses.

One small network of each of 40 families with random weights. An image is looked at as it is and
with noise in each of its quarters; how the map then moves tells how it lies. It lies right if it
correlates more with where it should move than mirrored or turned in any way. `rise`, `scorecam` and
`eigencam` look at one image, and are only tried for a finite map: they read places the way
`occlusion` and `gradcam` do.

python benchmarks/views.py                      # --networks NAME ... for some, the others as kept
"""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import timm
import torch
from _harness import arguments, machine, report
from torch import Tensor, nn

from lookcloser import explain
from lookcloser.core import LookcloserError
from lookcloser.explain.features import features_of
from lookcloser.explain.layers import spatial_layer
from lookcloser.explain.places import probes

# Side of the image; the one that is native where a network takes no smaller one.
NETWORKS = {
    "beit_base_patch16_224": 224, "cait_xxs24_224": 224, "coat_lite_tiny": 224,
    "convnext_atto": 128, "crossvit_tiny_240": 240, "davit_tiny": 128,
    "deit_tiny_distilled_patch16_224": 224, "densenet121": 128, "dla46x_c": 128, "dpn48b": 128,
    "edgenext_xx_small": 128, "efficientformer_l1": 224, "efficientnet_b0": 128,
    "eva02_tiny_patch14_224": 224, "fastvit_t8": 128, "focalnet_tiny_srf": 128,
    "ghostnet_050": 128, "hiera_tiny_224": 224, "hrnet_w18_small": 128, "inception_v3": 192,
    "levit_128s": 224, "maxvit_pico_rw_256": 256, "mixer_s32_224": 224,
    "mobilenetv3_small_050": 128, "mobilevit_xxs": 128, "nf_regnet_b0": 128, "pvt_v2_b0": 128,
    "regnetx_002": 128, "repvgg_a0": 128, "resnest14d": 128, "resnet18": 128, "rexnet_100": 128,
    "skresnet18": 128, "swin_tiny_patch4_window7_224": 224, "twins_svt_small": 128,
    "vgg11_bn": 128, "vit_tiny_patch16_224": 224, "volo_d1_224": 224, "xception41": 128,
    "xcit_nano_12_p8_224": 224,
}  # fmt: skip
# Fewer layers of the same kind, for time.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "beit_base_patch16_224": {"depth": 2}, "cait_xxs24_224": {"depth": 4},
    "vit_tiny_patch16_224": {"depth": 4}, "deit_tiny_distilled_patch16_224": {"depth": 4},
    "eva02_tiny_patch14_224": {"depth": 4}, "xcit_nano_12_p8_224": {"depth": 4},
}  # fmt: skip
FEW: dict[str, dict[str, Any]] = {
    "smoothgrad": {"samples": 2}, "integrated_gradients": {"steps": 4}, "rise": {"masks": 8},
}  # fmt: skip
# Of `eigencam` the first component of a changed image may be another one.
UNPLACED = {"rise", "scorecam", "eigencam"}
OF_A_LAYER = {"gradcam", "gradcampp", "layercam", "scorecam", "eigencam"}
EVERY_CLASS = {"cam", "gradcam", "gradcampp", "layercam", "scorecam", "occlusion", "rise"}
CLASSES = 6
RIGHT, REFUSED, LEFT_OUT = "right", "refused", "left out: too many passes"
LONG = 5.0  # seconds of processor time that `scorecam` may take


def moved_from(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Where each place of maps (5, K, h, w) of `probes` reacts from: down and across, [-1, 1]."""
    moved = torch.linalg.vector_norm(maps[1:] - maps[:1], dim=1)
    moved = nn.functional.avg_pool2d(moved[None], max(1, maps.shape[-1] // 14))[0]
    whole = moved.sum(dim=0)
    shares = torch.where(whole > 0, moved / whole.where(whole > 0, 1.0), 0.25)
    upper_left, upper_right, lower_left, lower_right = shares
    down = lower_left + lower_right - upper_left - upper_right
    across = upper_right + lower_right - upper_left - lower_left
    return down, across


def alike(found: Tensor, along: int) -> float:
    """Correlation of ``found`` (h, w) with the number of its row (0) or column (1)."""
    own = found if along == 0 else found.T
    own = own - own.mean()
    place = torch.arange(len(own), dtype=own.dtype)[:, None].expand_as(own)
    place = place - place.mean()
    return float((own * place).sum() / (own.norm() * place.norm()).clamp_min(1e-12))


def lies(maps: Tensor) -> tuple[str, float]:
    """How maps (5, K, h, w) lie, in words, and the lower correlation of the two axes."""
    down, across = moved_from(maps.double())
    own, turned = [alike(down, 0), alike(across, 1)], [alike(down, 1), alike(across, 0)]
    if min(own) > max(abs(number) for number in turned):
        return RIGHT, min(own)
    mirrored = min(own) < 0 and max(map(abs, own)) > max(map(abs, turned))
    return ("mirrored" if mirrored else "turned, or of no place"), min(own)


def looked(view: str, net: nn.Module, images: Tensor) -> tuple[str, float | None]:
    """What came of a view: "right", "refused", or what is wrong; and the correlation."""
    given = images[:1] if view in UNPLACED else images
    # A rectified map of one class has few places that are not 0.
    targets = torch.arange(CLASSES).expand(len(given), -1) if view in EVERY_CLASS else 0
    try:
        few = FEW.get(view, {})
        if view == "occlusion":
            few = {"window": images.shape[-1] // 3, "stride": images.shape[-1] // 3}
        maps = explain.VIEWS[view](net, given, targets, **few)
    except LookcloserError as error:
        return f"{REFUSED}: {error}", None
    except Exception as error:  # what is looked for
        return f"{type(error).__name__}: {str(error)[:200]}", None
    maps = maps if view in EVERY_CLASS else maps[:, None]
    if maps.ndim != 4 or len(maps) != len(given) or not bool(maps.isfinite().all()):
        return f"{tuple(maps.shape)}, or not finite", None
    if view in OF_A_LAYER:  # it lies as the layer does; what is left of it is rectified
        features, _ = features_of(net, given)
        same = maps.shape[-2:] == features.shape[-2:]
        maps = features if same else torch.zeros(1)
    if not bool((maps != 0).any()):
        return "zero everywhere, or not of the layer", None
    return (RIGHT, None) if view in UNPLACED else lies(maps)


def width_of(net: nn.Module, image: Tensor) -> int:
    """Features of the layer that `scorecam` looks at, each of them a pass; 0 without a layer."""
    try:
        return spatial_layer(net, image, None).layout.width
    except LookcloserError:
        return 0


def tried(name: str, side: int) -> list[dict[str, Any]]:
    """A row for each view of a network."""
    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=CLASSES, **ARGUMENTS.get(name, {})).eval()
    images = probes(torch.randn(1, 3, side, side))
    for weight in net.parameters():
        if not weight.any():  # a head that begins with zeros explains nothing
            nn.init.normal_(weight, std=0.02)
    start = time.process_time()
    with torch.inference_mode():
        net(images[:1])
    forward = time.process_time() - start
    rows = []
    for view in explain.VIEWS:
        start = time.process_time()
        if view == "scorecam" and forward * width_of(net, images[:1]) > LONG:
            said, place = LEFT_OUT, None
        else:
            said, place = looked(view, net, images)
        row = {"network": name, "side": side, "view": view, "came": said}
        row["place"] = place and round(place, 2)
        rows.append(row)
        print(f"{time.process_time() - start:5.1f} s ", *row.values(), sep="\t", flush=True)
    return rows


def kept(path: Path) -> list[dict[str, Any]]:
    """The rows of an earlier run."""
    if not path.is_file():
        return []
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")).get("each", [])
    return rows


def by_view(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each view what came, counted, and the lowest correlation of the maps that lie right."""
    table = []
    for view in explain.VIEWS:
        own = [row for row in rows if row["view"] == view]
        counts = Counter(row["came"].split(":")[0] for row in own)
        places = [row["place"] for row in own if row["came"] == RIGHT and row["place"] is not None]
        others = sum(counts.values()) - counts[RIGHT] - counts[REFUSED]
        others -= counts["left out"]
        table.append(
            {"view": view, "right": counts[RIGHT], "refused": counts[REFUSED],
             "left out": counts["left out"], "other": others,
             "lowest place": min(places, default=None)}
        )  # fmt: skip
    return table


def main() -> None:
    parser = arguments("views", __doc__)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    given = parser.parse_args()
    rows = [row for row in kept(given.json) if row["network"] not in given.networks]
    for name in given.networks:
        rows += tried(name, NETWORKS[name])
    report(given.json, machine(), {"By view": by_view(rows), "each": rows})


if __name__ == "__main__":
    main()
