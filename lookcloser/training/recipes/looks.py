"""Images and their features, kept on disk while a second look is solved from them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lookcloser.core.errors import LookcloserError
from lookcloser.core.hooks import evaluating
from lookcloser.core.preprocessing import Preprocessing, input_pixels, normalized
from lookcloser.data.catalog import Sample
from lookcloser.data.dataset import EpochSampler, ImageDataset, image_loader
from lookcloser.data.targets import ClassTargets
from lookcloser.models.cam.model import CAM
from lookcloser.models.cam.twice import LooksTwice
from lookcloser.training.pace import looking

BATCH = 8  # images; a second look has several crops of each
_FEW = 16 * BATCH


class Part(NamedTuple):
    """Some images.

    Attributes:
        rows: (B,) which.
        images: (B, 3, H, W), normalized, on the model's device.
        features: (B, D, h, w) of the backbone.
    """

    rows: NDArray[np.int64]
    images: Tensor
    features: Tensor


@dataclass(frozen=True, eq=False)
class Looks:
    """What a backbone sees in whole images at the resolution of the source.

    Attributes:
        model: Whose backbone it is.
        preprocessing: Of the images.
        pixels: (N, 3, H, W).
        features: (N, D, h, w) float16.
        classes: (N,).
        num_classes: C.
    """

    model: CAM
    preprocessing: Preprocessing
    pixels: NDArray[np.uint8]
    features: NDArray[np.float16]
    classes: NDArray[np.int64]
    num_classes: int

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def labels(self) -> NDArray[np.bool_]:
        """(N, C)."""
        one_hot: NDArray[np.bool_] = np.eye(self.num_classes, dtype=np.bool_)[self.classes]
        return one_hot

    def parts(self, rows: NDArray[np.int64] | None = None) -> Iterator[Part]:
        """A few images at a time; all of them without ``rows``."""
        rows = np.arange(len(self)) if rows is None else rows
        device = next(self.model.parameters()).device
        for start in range(0, len(rows), BATCH):
            own = rows[start : start + BATCH]
            images = torch.from_numpy(normalized(self.pixels[own], self.preprocessing))
            features = torch.from_numpy(self.features[own].astype(np.float32))
            yield Part(own, images.to(device), features.to(device))


def no_room(
    model: LooksTwice, images: int, preprocessing: Preprocessing, folder: Path | None = None
) -> str | None:
    """Why the looks at some images do not fit on the disk, in words; None where they do.

    A file that is mapped into memory ends the process where the disk is full.
    """
    place = Path(tempfile.gettempdir()) if folder is None else folder
    height, width = preprocessing.size
    rows, columns = model.timm_backbone.grid(preprocessing.size)
    needed = images * (3 * height * width + 2 * model.timm_backbone.width * rows * columns)
    free = shutil.disk_usage(place).free
    if needed < free:
        return None
    there = f"{needed / 1e9:.1f} GB there, of which {free / 1e9:.1f} are free"
    return f"{place}: a second look needs {there}"


def collect_looks(
    model: CAM,
    samples: Sequence[Sample],
    names: Sequence[str],
    preprocessing: Preprocessing,
    folder: Path,
) -> Looks:
    """Run the backbone over samples of a classification.

    Args:
        model: On the device where it shall run.
        samples: The images; those that cannot be read are passed over.
        names: Class names by index.
        preprocessing: How they are made ready, at the resolution of the source.
        folder: For files that are as large as what is kept.

    Raises:
        LookcloserError: If no image can be read, and where the disk is too small.
    """
    lacking = no_room(model, len(samples), preprocessing, folder)
    if lacking is not None:
        raise LookcloserError(lacking, fix="Set TMPDIR to a folder with more room")
    grid = model.backbone.grid(preprocessing.size)
    shapes = (len(samples), 3, *preprocessing.size), (len(samples), model.backbone.width, *grid)
    pixels = open_memmap(folder / "pixels.npy", "w+", np.uint8, shapes[0])
    features = open_memmap(folder / "features.npy", "w+", np.float16, shapes[1])
    classes = np.zeros(len(samples), dtype=np.int64)

    def transform(image: Image.Image) -> Tensor:
        return torch.from_numpy(input_pixels(image, preprocessing))

    dataset = ImageDataset(samples, ClassTargets(names), transform)
    order = EpochSampler(len(samples), shuffle=False)
    device = next(model.parameters()).device
    # On a CPU, loading beside the computation takes cores from it; a few images are read sooner.
    beside = device.type == "cuda" and len(samples) > _FEW
    workers = min(os.cpu_count() or 1, 4) if beside else 0
    read = 0
    loader = image_loader(dataset, order, batch_size=BATCH, workers=workers, keep_last=True)
    with looking(len(samples)) as tell:
        for number, batch in enumerate(loader, start=1):
            tell(min(number * BATCH, len(samples)))
            if not len(batch.targets):
                continue
            rows = slice(read, read + len(batch.targets))
            read = rows.stop
            pixels[rows], classes[rows] = batch.images.numpy(), batch.targets.numpy()
            images = torch.from_numpy(normalized(pixels[rows], preprocessing)).to(device)
            with torch.inference_mode(), evaluating(model):
                found = model.backbone(images.contiguous(memory_format=torch.channels_last))
            # Beyond its range half precision would be infinite.
            limit = float(np.finfo(np.float16).max)
            features[rows] = found.float().clamp(-limit, limit).half().cpu().numpy()
    if not read:
        raise LookcloserError(
            f"None of the {len(samples)} images could be read",
            fix="`lookcloser data check DATA` lists what is broken",
        )
    values = pixels[:read], features[:read], classes[:read]
    return Looks(model, preprocessing, *values, len(names))
