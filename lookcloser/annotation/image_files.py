"""Names of files that are written: safe on every system, apart from each other, inside a folder."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from lookcloser.core.images import is_turned, load_image
from lookcloser.core.storage.atomic import replacing
from lookcloser.core.storage.files import is_image_name

_LONGEST = 120  # characters; systems allow 255 bytes
_QUALITY = 95


def safe_names(names: Iterable[str]) -> dict[str, str]:
    """Each name with one without folders, spaces and special characters; no two are alike.

    ``train/a b/1.jpg`` becomes ``train_a_b_1``. Dots do not lead out of a folder, and names that
    differ in case alone are numbered, for systems that take them for the same.
    """
    chosen: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        stem = os.path.splitext(name)[0] if is_image_name(os.path.basename(name)) else name
        plain = re.sub(r"[^\w.-]+", "_", stem).strip("._-") or "image"
        if len(plain) > _LONGEST:
            digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:12]
            plain = f"{plain[: _LONGEST - 13]}_{digest}"
        free, number = plain, 2
        while free.lower() in taken:
            free, number = f"{plain}-{number}", number + 1
        taken.add(free.lower())
        chosen[name] = free
    return chosen


def place_image(source: str, target: Path) -> None:
    """Put a copy of an image at ``target``, so that the folder can be moved and changed.

    A file whose EXIF data turn it is written again, upright: boxes are in upright pixels, and
    readers of detection data sets do not turn images. What is there already is kept.

    Raises:
        LookcloserError: If it cannot be read or written.
    """
    if target.exists():
        return
    with replacing(target) as temporary:
        if is_turned(source):
            kind = Image.registered_extensions().get(target.suffix.lower(), "JPEG")
            load_image(source).save(temporary, kind, quality=_QUALITY)
        else:
            shutil.copyfile(source, temporary)
