"""The figures of the benchmarks: curves of a cost against a size, on logarithmic axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IMAGES = Path(__file__).parents[1] / "docs" / "images"
# Okabe and Ito's colors, apart for every color vision; markers tell the curves apart in gray.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
MARKERS = "osD^vP"


@dataclass(frozen=True)
class Panel:
    """One diagram.

    Attributes:
        title: Above it.
        x: What the horizontal axis shows, with its unit.
        y: What the vertical axis shows, with its unit.
        curves: Name -> points (x, y).
        linear: Whether the vertical axis starts at 0; else it is logarithmic, as the other is.
        guides: Name -> points (x, y) of lines to compare with, drawn thin.
    """

    title: str
    x: str
    y: str
    curves: Mapping[str, Sequence[tuple[float, float]]]
    linear: bool = False
    guides: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)


def draw(path: Path, panels: Sequence[Panel]) -> Path:
    """Write the panels side by side, 800 pixels wide for two; returns ``path``."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(4 * len(panels), 3.7), layout="constrained", squeeze=False
    )
    for place, panel in zip(axes[0], panels, strict=True):
        _fill(place, panel)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=200)
    pyplot.close(figure)
    return path


def power(points: Sequence[tuple[float, float]], exponent: float) -> list[tuple[float, float]]:
    """The law ``y ~ x**exponent`` through the last of some points, over all of their x."""
    last_x, last_y = points[-1]
    return [(x, last_y * (x / last_x) ** exponent) for x, _ in points]


def _fill(axes: Axes, panel: Panel) -> None:
    from matplotlib.ticker import LogLocator

    for (name, points), color, marker in zip(panel.curves.items(), COLORS, MARKERS, strict=False):
        axes.plot(*zip(*points, strict=True), color=color, marker=marker, ms=4.5, label=name)
    for name, points in panel.guides.items():
        axes.plot(*zip(*points, strict=True), color="0.45", lw=1, ls=(0, (4, 3)), label=name)
    axes.set_xscale("log", base=2)
    ticks = sorted({x for points in panel.curves.values() for x, _ in points})
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks], fontsize=8)
    if panel.linear:
        axes.set_ylim(bottom=0)
    else:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.minorticks_off()
    axes.set(xlabel=panel.x, ylabel=panel.y)
    axes.set_title(panel.title, fontsize=10, loc="left")
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
