"""The bench as a picture: answers per second by requests in flight."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.pipeline.results import ModelResult

TWO, ONE, BOUND = "#0072B2", "#E69F00", "#777777"
"""Colours; the first two are Okabe and Ito's."""

INCHES, DPI = (5.0, 4.2), 150


def draw(results: Sequence[ModelResult], path: Path) -> None:
    """Draw a chart for each model, side by side, as a PNG file.

    Raises:
        OSError: the file cannot be written.
    """
    width, height = INCHES
    figure = Figure(figsize=(width * len(results), height), facecolor="white", layout="constrained")
    for axes, one in zip(figure.subplots(1, len(results), squeeze=False)[0], results, strict=True):
        figures = one.figures()
        in_flight = [load.in_flight for load in one.curve]
        whole = figures["whole_answers_per_second"]
        bound = figures["answers_per_second"] / one.bound_ratio
        rates = [load.answers_per_second for load in one.curve]
        axes.axhline(bound, color=BOUND, linestyle="--", linewidth=1, label="bound of the busiest server")
        axes.plot(in_flight, rates, "o-", color=TWO, label=f"divided among two cores: {one.speedup:.2f} ×")
        axes.axhline(whole, color=ONE, linewidth=1.5, label="whole model on one core")
        axes.legend(loc="lower right", frameon=False, fontsize=8)
        axes.set_xlabel("requests in flight")
        axes.set_ylabel("answers per second")
        axes.set_ylim(bottom=0)
        axes.set_title(one.model, fontsize=10, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", dpi=DPI)
