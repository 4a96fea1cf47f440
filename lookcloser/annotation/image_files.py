"""Names of files that are written: safe on every system, apart from each other, inside a folder."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from PIL import ExifTags, Image

from lookcloser.core.atomic import replacing
from lookcloser.core.files import is_image_name
from lookcloser.core.images import load_image

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
        plain = re.sub(r"[^\w.-]+", "_", stem).strip("._-") or "picture"
        if len(plain) > _LONGEST:
            digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:12]
            plain = f"{plain[: _LONGEST - 13]}_{digest}"
        free, number = plain, 2
        while free.lower() in taken:
            free, number = f"{plain}-{number}", number + 1
        taken.add(free.lower())
        chosen[name] = free
    return chosen


def place_picture(source: str, target: Path) -> None:
    """Put a picture at ``target``: a link to it, where links do not work a copy.

    A file whose EXIF data turn it is written again, upright: boxes are in upright pixels, and
    readers of detection data sets do not turn pictures. What is there already is kept.

    Raises:
        LookcloserError: If it cannot be read or written.
    """
    if target.exists():
        return
    if _is_turned(source):
        kind = Image.registered_extensions().get(target.suffix.lower(), "JPEG")
        with replacing(target) as temporary:
            load_image(source).save(temporary, kind, quality=_QUALITY)
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)  # a link whose file has gone
        target.symlink_to(Path(source).resolve())
    except OSError:
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)


def _is_turned(source: str) -> bool:
    try:
        with Image.open(source) as image:
            return bool(image.getexif().get(ExifTags.Base.Orientation, 1) != 1)
    except Exception:
        # Damaged EXIF data turn nothing; `load_image` takes the picture as it is too.
        return False
