"""What evaluation will say of the masks beside the images, before it runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np

from lookcloser.core.errors import LookcloserError
from lookcloser.core.sizes import ImageSize
from lookcloser.core.storage.files import walk_files
from lookcloser.core.wording import encodable, some
from lookcloser.data.catalog import Sample
from lookcloser.data.masks import IGNORED, MASKS, find_masks, mask_name, open_mask

_THREADS = 16
_CHUNK = 32


@dataclass(frozen=True)
class MaskCheck:
    """The masks of a data set.

    Attributes:
        count: Images that have one.
        unusable: (name, reason) of masks that evaluation leaves out.
        without_image: Names of files among the masks that are not of an image.
        without_object: Whether masks were looked at, and none has a pixel of an object.
    """

    count: int
    unusable: tuple[tuple[str, str], ...]
    without_image: tuple[str, ...]
    without_object: bool

    def warnings(self) -> Iterator[str]:
        """What is wrong with them, in sentences."""
        if self.unusable:
            yield (
                f"{some([name for name, _ in self.unusable], 'mask')} cannot be used "
                f"({self.unusable[0][1].rstrip('.')}): evaluation leaves the images out of PxAP."
            )
        if self.without_image:
            yield (
                f"{some(self.without_image, 'mask')} of no image: that of red/7.jpg is "
                f"{mask_name('red/7.jpg')}."
            )
        if self.without_object:
            yield (
                "No mask has a pixel of an object, so evaluation refuses them: 0 is background, "
                f"{IGNORED} is ignored, every other value is the object."
            )


def check_masks(
    root: Path, samples: Sequence[Sample], sizes: Mapping[str, ImageSize]
) -> MaskCheck | None:
    """Look at the masks of a data set; None where it has no folder of masks.

    Args:
        root: Of the data set.
        samples: Its images.
        sizes: Of the images whose masks are opened, by name.
    """
    if not (root / MASKS).is_dir():
        return None
    masks = find_masks(root, samples)
    ours = {mask_name(sample.name) for sample in samples}
    stray = (f"{MASKS}/{encodable(path)}" for path in walk_files(root / MASKS))
    of = {file: sizes.get(samples[row].name) for row, file in masks.items()}
    opened = [(file, size) for file, size in of.items() if size is not None]
    with ThreadPool(min(_THREADS, os.cpu_count() or 1)) as pool:
        found = pool.starmap(_look, opened, _CHUNK)
    usable = [one for one in found if not isinstance(one, str)]
    return MaskCheck(
        count=len(masks),
        unusable=tuple(
            (file.relative_to(root).as_posix(), reason)
            for (file, _), reason in zip(opened, found, strict=True)
            if isinstance(reason, str)
        ),
        without_image=tuple(sorted(path for path in stray if path not in ours)),
        without_object=bool(usable) and not any(usable),
    )


def _look(file: Path, size: ImageSize) -> bool | str:
    """Whether a mask has a pixel of an object, or why it cannot be used."""
    try:
        values = np.asarray(open_mask(file, size)).astype(int)
    except LookcloserError as error:
        return str(error).removeprefix(f"{file}: ")  # its name stands beside it
    return bool(((values > 0) & (values != IGNORED)).any())
