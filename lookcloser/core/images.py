"""Decoding of any image into 8-bit RGB, or a clear reason why not.

The only place where a file becomes an image (`open_image`): what Pillow would do with a file of a
data set, such as running PostScript, is decided here once.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from lookcloser.core.archives import Packed
from lookcloser.core.errors import LookcloserError, TooLargeError
from lookcloser.core.sizes import ImageSize
from lookcloser.core.storage.files import (
    HEIC_SUFFIXES,
    IMAGE_SUFFIXES,
    find_images,
    is_there,
    list_images,
    missing_path,
    own_path,
    refuse_url,
    unreadable,
    walk_images,
)
from lookcloser.core.storage.jpeg import check_scans

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "ImageSource",
    "find_images",
    "image_size",
    "is_turned",
    "list_images",
    "load_image",
    "open_image",
    "walk_images",
]


class Tensor(Protocol):
    """What is needed of a tensor of torch, which this room does not import."""

    def detach(self) -> Any:
        """The same without its gradient."""


ImageSource = str | Path | Packed | bytes | IO[bytes] | NDArray[Any] | Image.Image | Tensor

# Where Pillow itself refuses to go on (twice its MAX_IMAGE_PIXELS): 512 MiB as RGB.
MAX_PIXELS = 178_956_970

# Of an open file; the largest image allowed has half of it when it is not compressed at all.
_MAX_BYTES = 1 << 30

# Raster formats only: Pillow would hand PostScript, whatever its file name, to Ghostscript.
_RASTER = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "MPO", "JPEG2000", "AVIF")


def load_image(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """``source`` as an upright 8-bit RGB image.

    EXIF orientation is applied. Transparency is composited on white. 16-bit and 32-bit gray values
    in 0…65535 are divided by 257; others, and floats outside [0, 1], are stretched from minimum to
    maximum. Of an animation the first frame is taken. The caller's image or array is not changed.

    Args:
        source: A file, one in an archive (`Packed`), the bytes of one, a file opened for reading
            bytes (``io.BytesIO`` too, read from its beginning), a PIL image, or an array uint8 or
            float in [0, 1] of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4). A tensor of torch
            likewise, or with its channels first: (1, H, W), (3, H, W) or (4, H, W).
        max_pixels: Width × height above which the image is refused, before it is decoded.

    Raises:
        LookcloserError: If there is no such file, or it is empty, truncated, too large or no image;
            if the array has another shape, type or range. It names the file and the reason.
    """
    if _is_tensor(source):
        source = _channels_last(source)
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if isinstance(source, Image.Image):
        return _read(source, "image", max_pixels)
    if isinstance(source, bytes | bytearray | memoryview):
        return _read(io.BytesIO(source), "image given as bytes", max_pixels)
    if isinstance(source, Packed):
        return _read(_unpacked(source), str(source), max_pixels)
    if isinstance(source, str | os.PathLike):
        return _read(_file(os.fspath(source)), str(os.fspath(source)), max_pixels)
    if hasattr(source, "read"):
        content, name = _content(cast("IO[bytes]", source))
        return _read(content, name, max_pixels)
    raise LookcloserError(
        f"{type(source).__name__}: not an image",
        allowed="a path, bytes, a PIL image, a NumPy array of shape (H, W, 3) or a tensor of torch",
    )


def _is_tensor(source: object) -> TypeGuard[Tensor]:
    """Whether it is a tensor of torch, which is not imported for that."""
    return type(source).__module__.partition(".")[0] == "torch" and hasattr(source, "detach")


def _channels_last(tensor: Tensor) -> NDArray[Any]:
    """An array of it; (3, H, W), as networks take it, becomes (H, W, 3)."""
    values = tensor.detach().cpu()
    array: NDArray[Any] = (values.float() if values.is_floating_point() else values).numpy()
    is_first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
    return array.transpose(1, 2, 0) if is_first else array


def _file(source: str | Path) -> Path:
    refuse_url(source)
    path = own_path(source)
    if not is_there(path):
        raise missing_path(source, "file")
    if path.is_dir():
        raise LookcloserError(f"{source}: a folder, not an image", fix="Name one image in it")
    if not path.is_file():
        raise LookcloserError(f"{source}: not a file")
    if path.stat().st_size == 0:
        raise LookcloserError(f"{source}: the file is empty")
    return path


@contextmanager
def open_image(source: str | Path) -> Iterator[Image.Image]:
    """A file as Pillow opens it, not decoded, for its values, its header or its size.

    Of raster formats only, and of at most `MAX_PIXELS`. What Pillow raises inside of the block
    becomes a `LookcloserError` as well.

    Raises:
        LookcloserError: As `load_image`.
    """
    path = _file(source)
    with _explained(str(source)), Image.open(path, formats=_formats()) as image:
        _check_size(*image.size, str(source), MAX_PIXELS)
        yield image


def image_size(source: str | Path) -> ImageSize:
    """The size of the upright image, from the file's header.

    Raises:
        LookcloserError: As `open_image`.
    """
    with open_image(source) as image:
        width, height = image.size
        turned = _orientation(image) >= 5
        return ImageSize(height, width) if turned else ImageSize(width, height)


def is_turned(source: str | Path) -> bool:
    """Whether EXIF data turn or mirror the image; False where it cannot be read."""
    try:
        with open_image(source) as image:
            return _orientation(image) != 1
    except LookcloserError:
        return False


def _unpacked(source: Packed) -> io.BytesIO:
    content = source.read()
    if not content:
        raise LookcloserError(f"{source}: the file is empty")
    return io.BytesIO(content)


def _content(file: IO[bytes]) -> tuple[io.BytesIO, str]:
    """What is in an open file, from its beginning where it can be rewound, and its name."""
    name = getattr(file, "name", None)
    name = name if isinstance(name, str) else "image given as an open file"
    try:
        if getattr(file, "seekable", lambda: False)():
            file.seek(0)
        content: Any = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError, TypeError) as error:
        raise LookcloserError(f"{name}: cannot be read: {error}") from error
    if not isinstance(content, bytes):
        raise LookcloserError(f"{name}: opened as text", fix="Open it with mode 'rb'")
    if len(content) > _MAX_BYTES:
        raise TooLargeError(f"{name}: too large", allowed=f"At most {_MAX_BYTES:,} bytes")
    if not content:
        raise LookcloserError(f"{name}: the file is empty")
    return io.BytesIO(content), name


def _read(source: Path | io.BytesIO | Image.Image, name: str, max_pixels: int) -> Image.Image:
    with _explained(name):
        if isinstance(source, Image.Image):
            return _decode(source, name, max_pixels)
        with Image.open(source, formats=_formats()) as image:
            return _decode(image, name, max_pixels)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Whatever Pillow raises inside leaves as a `LookcloserError` that names the image."""
    try:
        yield
    except LookcloserError:
        raise
    except UnidentifiedImageError as error:
        if Path(name).suffix.lower() in HEIC_SUFFIXES and "HEIF" not in _formats():
            raise LookcloserError(
                f"{name}: HEIC is not read without pillow-heif",
                fix="`pip install 'lookcloser[heic]'`, or save it as JPEG",
            ) from error
        raise LookcloserError(
            f"{name}: not an image that can be read", allowed=f"the formats {', '.join(_formats())}"
        ) from error
    except Image.DecompressionBombError as error:
        raise TooLargeError(
            f"{name}: the image is too large: {error}", fix="Make it smaller first"
        ) from error
    except OSError as error:
        if error.errno is None:  # Pillow's own, of what is in the file
            raise LookcloserError(f"{name}: cannot be decoded: {error}") from error
        raise unreadable(name, error) from error
    except Exception as error:
        # On broken data the format plugins raise whatever their parsing runs into.
        raise LookcloserError(f"{name}: cannot be decoded: {error}") from error


@functools.cache
def _formats() -> tuple[str, ...]:
    """The raster formats that this build of Pillow knows; naming an unknown one is a KeyError."""
    Image.init()
    names: tuple[str, ...] = _RASTER
    if importlib.util.find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener()
        names = (*names, "HEIF")
    return tuple(name for name in names if name in Image.OPEN)


def _check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    if width == 0 or height == 0:
        raise LookcloserError(f"{name}: size {width}×{height}, there are no pixels")
    if width * height > max_pixels:
        raise TooLargeError(
            f"{name}: size {width}×{height} is too large",
            allowed=f"at most {max_pixels:,} pixels, this has {width * height:,}",
            fix="Make it smaller first",
        )


def _decode(image: Image.Image, name: str, max_pixels: int) -> Image.Image:
    _check_size(*image.size, name, max_pixels)
    check_scans(image, name)
    image.load()
    return _rgb(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image) if _orientation(image) != 1 else image
    except Exception:
        # It can be read but not be written back without its orientation: the pixels are sound.
        return image


def _orientation(image: Image.Image) -> int:
    """EXIF's number, 1 for upright, from 5 on with width and height exchanged."""
    try:
        number = image.getexif().get(ExifTags.Base.Orientation, 1)
        return int(number) if number in range(1, 9) else 1
    except Exception:
        # A damaged EXIF block says nothing about the orientation; the pixels are sound.
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        image = Image.fromarray(_eight_bit(np.asarray(image)))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("RGB")


def _eight_bit(gray: NDArray[Any]) -> NDArray[np.uint8]:
    """Gray values of more than 8 bits as uint8; see `load_image` for the rule."""
    values = np.asarray(gray, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("gray values are not finite")
    low, high = values.min(), values.max()
    top = 1.0 if np.issubdtype(gray.dtype, np.floating) else 65535.0
    if low >= 0 and high <= top:
        low, high = 0.0, top
    scaled: NDArray[np.uint8] = np.rint((values - low) * (255.0 / (high - low or 1.0))).astype("u1")
    return scaled


def _from_array(array: NDArray[Any], max_pixels: int) -> Image.Image:
    shape = array.shape
    if len(shape) == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        first = len(shape) == 3 and shape[0] in (1, 3, 4)
        raise LookcloserError(
            f"array of shape {shape}: not an image",
            allowed="(H, W), (H, W, 1), (H, W, 3), (H, W, 4)",
            fix="Channels seem to come first: `array.transpose(1, 2, 0)`"
            if first
            else "Give several images as a list: `list(images)`"
            if len(shape) == 4
            else None,
        )
    _check_size(array.shape[1], array.shape[0], f"array of shape {shape}", max_pixels)
    if np.issubdtype(array.dtype, np.floating):
        # Written so that a NaN fails too.
        if not (array.min() >= 0 and array.max() <= 1):
            raise LookcloserError(
                f"array with values from {array.min():g} to {array.max():g}: not an image",
                allowed="floats in [0, 1], or uint8 in 0…255",
            )
        array = np.rint(array * 255.0).astype(np.uint8)
    if array.dtype != np.uint8:
        raise LookcloserError(
            f"array of type {array.dtype}: not an image", allowed="uint8, or float in [0, 1]"
        )
    gray = array.shape[2] == 1
    return _rgb(Image.fromarray(np.ascontiguousarray(array[:, :, 0] if gray else array)))
