"""The bench as a picture: predicted against measured seconds."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from bench.prediction.results import COMPONENT_SECONDS, Errors, Method, PlacementResult, end_to_end, of_components

LOOKS: dict[Method, tuple[str, str, str]] = {
    "thesis": ("layer by layer (thesis)", "#E69F00", "s"),
    "ours": ("inside the whole model (ours)", "#0072B2", "o"),
}
"""Name, colour and marker of each method; the colours are Okabe and Ito's."""

FAINT = "#BBBBBB"
INCHES, DPI = (11.0, 5.2), 150


def draw(results: Sequence[PlacementResult], path: Path) -> None:
    """Draw end-to-end latency at the left and components at the right, with the diagonal, as a PNG file.

    Raises:
        OSError: the file cannot be written.
    """
    figure = Figure(figsize=INCHES, facecolor="white", layout="constrained")
    left, right = figure.subplots(1, 2)
    for method, (name, color, marker) in LOOKS.items():
        whole = [(one.measured.seconds, one.predicted[method].seconds) for one in results]
        parts = [
            (seconds, one.predicted[method].components[component])
            for one in results
            for component, seconds in one.measured.components.items()
            if seconds >= COMPONENT_SECONDS
        ]
        for axes, points, errors in (
            (left, whole, end_to_end(results, method)),
            (right, parts, of_components(results, method)),
        ):
            label = f"{name}: {_words(errors)}"
            axes.plot(*zip(*points, strict=True), marker, color=color, markersize=5, alpha=0.7, mew=0, label=label)
    _finish(left, "a request, end to end")
    _finish(right, "a component")
    figure.suptitle(f"{len(results)} random placements on three servers, float and int8; absolute errors", fontsize=11)
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", dpi=DPI)


def _words(errors: Errors) -> str:
    return f"median {errors.median:.1%}, 95th percentile {errors.p95:.1%}"


def _finish(axes: Axes, title: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    low, high = axes.get_xlim()
    axes.plot([low, high], [low, high], color=FAINT, linewidth=1, zorder=0)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(lambda *_: "")
    axes.set_xlabel("measured seconds")
    axes.set_ylabel("predicted seconds")
    axes.set_title(title, fontsize=10, loc="left")
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
