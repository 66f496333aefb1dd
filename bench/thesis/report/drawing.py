"""How all pictures of the report look."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#666666")
"""Okabe and Ito's, which colour-blind people can tell apart."""

SETS = {"device": "#666666", "device+edge": "#E69F00", "device+edge+cloud": "#0072B2"}
"""Set of servers → its colour."""

SERVERS = {"device": "#0072B2", "edge": "#E69F00", "cloud": "#009E73"}
"""Server → its colour, as in pictures of plans."""

MARKERS = "osD^v*P"

FAINT = "#BBBBBB"

DPI = 110


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure, in inches."""
    return Figure(figsize=(width, height), facecolor="white", layout="constrained")


def finish(axes: Axes, title: str, x: str, y: str, legend: bool = True) -> None:
    """Name axes, and leave out the lines above and at the right."""
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(frameon=False, fontsize=8)
