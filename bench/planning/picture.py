"""The bench as a picture: seconds of each method on each case."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bench.planning.cases import Method
from bench.planning.results import CaseResult, Results

LOOKS: dict[Method, tuple[str, str, str]] = {
    "exact": ("exact", "#0072B2", "o"),
    "ilp": ("tight integer program (HiGHS)", "#E69F00", "s"),
    "literal": ("the thesis's program (HiGHS)", "#D55E00", "D"),
}
"""Name, colour and marker of each method; the colours are Okabe and Ito's."""

INK, FAINT = "#222222", "#CCCCCC"
ROW_INCHES, MARGIN_INCHES, WIDTH_INCHES, DPI = 0.3, 1.5, 10.0, 150


def draw(results: Results, path: Path) -> None:
    """Draw one row for each case, shortest exact time on top, on a logarithmic axis of seconds, as a PNG file.

    A hollow marker with an arrow was stopped: it takes at least that long. At the right stands how many times as much
    processor time the slowest measured method takes as the exact one.

    Raises:
        OSError: the file cannot be written.
    """
    shown = [one for one in results.cases if one.timings]
    rows = sorted(shown, key=lambda one: -next(iter(one.timings.values())).seconds)
    figure = Figure(figsize=(WIDTH_INCHES, MARGIN_INCHES + ROW_INCHES * len(rows)), facecolor="white")
    axes = figure.add_subplot()
    axes.set_xscale("log")
    for height, one in enumerate(rows):
        times = [timing.seconds for timing in one.timings.values()]
        axes.plot([min(times), max(times)], [height, height], color=FAINT, linewidth=2, zorder=1)
        for method, timing in one.timings.items():
            _, color, marker = LOOKS[method]
            fill = "white" if timing.stopped else color
            axes.plot(timing.seconds, height, marker, color=color, markerfacecolor=fill, markersize=7, zorder=2)
            if timing.stopped:
                axes.annotate("→", (timing.seconds, height), (6, -4), textcoords="offset points", color=color)
        axes.text(1.01, height, _ratio(one), transform=axes.get_yaxis_transform(), va="center", fontsize=8, color=INK)
    for name, color, marker in LOOKS.values():
        axes.plot([], [], marker, color=color, markersize=7, label=name)
    axes.set_yticks(range(len(rows)), [one.case.name for one in rows], fontsize=8)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("seconds for all solves of one plan, one thread")
    axes.set_title("Planning times (layers × servers); at the right, slowest against exact", fontsize=10, loc="left")
    axes.grid(axis="x", color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1 + 0.35 / (ROW_INCHES * len(rows) + 0.5)), ncols=3, frameon=False
    )
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", dpi=DPI, bbox_inches="tight")


def _ratio(one: CaseResult) -> str:
    slowest = max(one.timings, key=lambda method: one.timings[method].processor_seconds)
    ratio = one.ratio(slowest)
    if slowest == "exact" or ratio is None:
        return ""
    return f"{'≥ ' if one.timings[slowest].stopped else ''}{ratio:,.0f} ×" if ratio >= 10 else f"{ratio:.1f} ×"
