"""The lab as a picture: its servers, and what was asked of its links and measured."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch

from partita import units
from partita.pictures import DPI, INK, PALETTE

SIDE, WIDER, RADIUS, BOW = 5.0, 1.5, 0.17, 0.16
"""Inches of the picture's height; of a server's circle and of a link's bow, where servers are 1 from the middle."""


def draw_lab(links: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw what ``partita lab check --json`` printed.

    Args:
        links: its ``links``, each with ``source``, ``target``, ``asked`` and ``measured``.
        path: of the PNG file.

    Raises:
        OSError: the file cannot be written.
    """
    names = list(dict.fromkeys(link["source"] for link in links))
    turns = [math.pi / 2 - 2 * math.pi * index / len(names) for index in range(len(names))]
    places = {name: (WIDER * math.cos(turn), math.sin(turn)) for name, turn in zip(names, turns, strict=True)}
    figure = Figure(figsize=(SIDE * 1.6, SIDE), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-1.76, 1.76), ylim=(-0.9, 1.3), aspect="equal")
    axes.set_axis_off()
    for link in links:
        start, end = places[link["source"]], places[link["target"]]
        color = PALETTE[names.index(link["source"])]
        axes.add_patch(
            FancyArrowPatch(
                start,
                end,
                connectionstyle=f"arc3,rad={BOW}",
                arrowstyle="-|>",
                color=color,
                shrinkA=34,
                shrinkB=34,
                mutation_scale=14,
            )
        )
        x = (start[0] + end[0]) / 2 + BOW / 2 * (end[1] - start[1])
        y = (start[1] + end[1]) / 2 + BOW / 2 * (start[0] - end[0])
        axes.text(x, y, _told(link), size=7.5, color=color, ha="center", va="center", bbox=_WHITE)
    for index, (name, place) in enumerate(places.items()):
        axes.add_patch(Circle(place, RADIUS, color=PALETTE[index]))
        axes.text(place[0], place[1], name, size=9, color="white", weight="bold", ha="center", va="center")
    axes.text(-1.7, 1.15, "asked, and measured", size=8.5, color=INK)
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=DPI, format="png")


def _told(link: Mapping[str, Any]) -> str:
    asked, measured = link["asked"], link["measured"]
    return "\n".join(
        (
            f"{units.rate(asked['bytes_per_second'])}, {units.seconds(asked['delay_seconds'])}",
            f"{units.rate(measured['bytes_per_second'])}, {units.seconds(measured['delay_seconds'])}",
        )
    )


_WHITE = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"}
