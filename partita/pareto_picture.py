"""A front as a picture: latency against energy, the knee and simpler plans marked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from core.errors import InvalidArgumentError
from core.front import Front
from partita import units
from partita.pictures import DPI, INK, PALETTE

WIDTH, HEIGHT = 7.6, 4.9
FAINT = "#555555"
FRONT_COLOR, KNEE_COLOR = PALETTE[0], PALETTE[5]
BASELINES = {
    "device_only": ("device only", "s", 14.0),
    "best_single_server": ("best single server", "D", 13.0),
    "best_single_cut": ("best single cut", "^", 19.0),
}
"""Name in the document → label, marker and its size."""

FAR = 1.2
"""A simpler plan farther from the front than so many times its extent is only in the legend."""

Pair = tuple[float, float]


def draw_front(front: Front, path: Path | str | BinaryIO) -> None:
    """Draw a front as a PNG file, by its path or open.

    Where the front is complete, what lies below its line is shaded: no plan within the limits is there.

    Raises:
        InvalidArgumentError: the front is infeasible.
        OSError: the file cannot be written.
    """
    if not front.points:
        raise InvalidArgumentError(f"the front for {front.model!r} is {front.status}: there are no points to draw")
    figure = Figure(figsize=(WIDTH, HEIGHT), facecolor="white")
    axes = figure.add_axes((0.105, 0.125, 0.865, 0.72))
    seconds = _Unit("latency, all computing and sending added up", ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")))
    joules = _Unit("energy", ((1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ")))
    seconds.fit(max(point.predicted.latency_seconds for point in front.points))
    joules.fit(max(point.predicted.energy_joules for point in front.points))
    points = [
        (point.predicted.latency_seconds / seconds.size, point.predicted.energy_joules / joules.size)
        for point in front.points
    ]
    simpler = {
        name: (one.latency_seconds / seconds.size, one.energy_joules / joules.size)
        for name, one in front.baselines.items()
        if one.latency_seconds is not None and one.energy_joules is not None
    }
    _frame(axes, points, list(simpler.values()))
    _draw_line(axes, points, complete=front.status == "complete")
    _draw_simpler(axes, front, simpler)
    _draw_points(axes, front, points)
    axes.set_xlabel(seconds.label, size=8.5, color=INK)
    axes.set_ylabel(joules.label, size=8.5, color=INK)
    _title(figure, front)
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=DPI, format="png")


class _Unit:
    """What an axis shows and in which unit."""

    def __init__(self, quantity: str, known: Sequence[tuple[float, str]]) -> None:
        self._quantity, self._known = quantity, known
        self.size, self._name = known[0]

    def fit(self, largest: float) -> None:
        """Choose the largest unit that is not larger than a value."""
        self.size, self._name = next((one for one in self._known if abs(largest) >= one[0]), self._known[0])

    @property
    def label(self) -> str:
        return f"{self._quantity} ({self._name})"


def _frame(axes: Axes, points: Sequence[Pair], simpler: Sequence[Pair]) -> None:
    """Limits that show the front large, and simpler plans where they are not far off."""
    for axis, set_limits in ((0, axes.set_xlim), (1, axes.set_ylim)):
        low, high = min(one[axis] for one in points), max(one[axis] for one in points)
        extent = high - low or 0.2 * abs(high) or 1.0
        near = [one[axis] for one in simpler if high < one[axis] <= high + FAR * extent]
        set_limits(low - 0.14 * extent, max([high + 0.3 * extent, *(one + 0.1 * extent for one in near)]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#bbbbbb")
    axes.tick_params(colors=FAINT, labelsize=8, length=3)
    axes.grid(color="#eeeeee", linewidth=0.8)
    axes.set_axisbelow(True)


def _draw_line(axes: Axes, points: Sequence[Pair], complete: bool) -> None:
    xs, ys = [one[0] for one in points], [one[1] for one in points]
    if complete:
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        edge_xs = [left, xs[0], *xs, right]
        edge_ys = [top, top, *ys, ys[-1]]
        axes.fill_between(edge_xs, edge_ys, bottom, color="#f1f1f1", linewidth=0, zorder=1)
        axes.text(
            0.012, 0.022, "no plan is possible here", transform=axes.transAxes, size=7.5, color="#8a8a8a", zorder=2
        )
    if len(points) > 2:
        axes.plot([xs[0], xs[-1]], [ys[0], ys[-1]], color="#b5b5b5", linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    axes.plot(xs, ys, color=FRONT_COLOR, linewidth=1.8, zorder=3, solid_joinstyle="round")


def _draw_points(axes: Axes, front: Front, points: Sequence[Pair]) -> None:
    for index, (x, y) in enumerate(points):
        knee = index == front.knee
        color, size = (KNEE_COLOR, 9.5) if knee else (FRONT_COLOR, 6.5)
        axes.plot(x, y, "o", color=color, markersize=size, markeredgecolor="white", markeredgewidth=1, zorder=5)
    labels = {0: "fastest", len(points) - 1: "thriftiest"} if len(points) > 1 else {0: "fastest and thriftiest"}
    if front.knee is not None:
        labels[front.knee] = "knee"
    for index, name in labels.items():
        knee, predicted = index == front.knee, front.points[index].predicted
        axes.annotate(
            f"{name}\n{_worth(predicted.latency_seconds, predicted.energy_joules)}",
            points[index],
            xytext=(10, 6),
            textcoords="offset points",
            size=8,
            weight="bold" if knee else "normal",
            color=KNEE_COLOR if knee else INK,
            va="bottom",
            bbox={"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
            linespacing=1.3,
            zorder=6,
        )


def _worth(latency_seconds: float | None, energy_joules: float | None) -> str:
    return f"{units.seconds(latency_seconds)}, {units.joules(energy_joules)}"


def _draw_simpler(axes: Axes, front: Front, places: Mapping[str, Pair]) -> None:
    """Simpler plans as hollow marks around their place; the legend tells their values."""
    (_, right), (_, top) = axes.get_xlim(), axes.get_ylim()
    for name, (x, y) in places.items():
        label, marker, size = BASELINES.get(name, (name.replace("_", " "), "v", 13.0))
        worth = _worth(front.baselines[name].latency_seconds, front.baselines[name].energy_joules)
        outside = x > right or y > top
        axes.plot(
            [] if outside else [x],
            [] if outside else [y],
            marker,
            markerfacecolor="none",
            markeredgecolor=FAINT,
            markeredgewidth=1.3,
            markersize=size,
            zorder=4,
            label=f"{label}: {worth}" + (" (far off)" if outside else ""),
        )
    if places:
        axes.legend(
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            ncols=3,
            frameon=False,
            fontsize=7.5,
            labelcolor=FAINT,
            markerscale=0.55,
            handletextpad=0.2,
            columnspacing=1.4,
            borderaxespad=0.3,
        )


def _title(figure: Figure, front: Front) -> None:
    count = f"{len(front.points)} points" if len(front.points) != 1 else "1 point"
    facts = {
        "complete": ["supported front of latency against energy", "complete", count, "proven optimal"],
        "truncated": [
            "supported front of latency against energy",
            f"{count}, there are more",
            "proven optimal",
        ],
        "stopped": ["front of latency against energy", count, "stopped early"],
    }[front.status]
    figure.text(0.02, 0.955, front.model, size=11, weight="bold", color=INK, va="center")
    figure.text(0.02, 0.91, " · ".join(facts), size=8, color=FAINT, va="center")
