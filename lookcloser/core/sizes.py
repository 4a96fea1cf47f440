"""The two orders of a size: images are (width, height), arrays are (rows, columns).

Both are plain pairs to whoever reads or writes them, also in JSON. Being types of their own, one
given for the other is an error of the type checker. In messages they are "640×480".
"""

from __future__ import annotations

from typing import NamedTuple


class ImageSize(NamedTuple):
    """How many pixels an image has, x before y, as in Pillow and in the coordinates of boxes.

    Attributes:
        width: Pixels of a row.
        height: Pixels of a column.
    """

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}×{self.height}"

    @property
    def grid(self) -> Grid:
        """The shape (rows, columns) of this image as an array."""
        return Grid(self.height, self.width)


class Grid(NamedTuple):
    """How many places an array has, y before x, as in shapes: a network's input, or its maps.

    Attributes:
        rows: Places of a column.
        columns: Places of a row.
    """

    rows: int
    columns: int

    def __str__(self) -> str:
        return f"{self.rows}×{self.columns}"

    @property
    def image_size(self) -> ImageSize:
        """The size (width, height) of an image with a pixel at each place."""
        return ImageSize(self.columns, self.rows)
