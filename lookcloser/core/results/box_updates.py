"""A move of a box in words, the same on the command line and in the report."""

from __future__ import annotations

_WAYS = {"t_x": ("left", "right"), "t_y": ("up", "down"), "t_l": ("smaller", "larger")}


def move_words(move: tuple[float, float, float]) -> str:
    """A region's ``move`` in words, e.g. "t_x +0.60 (right), t_y -0.80 (up), t_l +0.00".

    t_x and t_y are the middle of the box and t_l is its half-side, as in RA-CNN (Fu et al., 2017).
    """
    parts = []
    for (name, (back, forth)), value in zip(_WAYS.items(), move, strict=True):
        way = "" if abs(value) < 0.005 else f" ({forth if value > 0 else back})"
        parts.append(f"{name} {value if way else 0:+.2f}{way}")
    return ", ".join(parts)
