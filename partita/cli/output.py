"""How the command line speaks: results on standard output, everything else on standard error."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from core.documents import encode
from core.progress import Progress

LINE_SECONDS = 5.0
"""Least time between two lines of progress where there is no terminal to draw a bar on."""

LEAST_SECONDS, LEAST_FRACTION = 2.0, 0.1
"""Before so much is done, nothing is said of how long it will take."""

# Where there is no terminal, nothing is cut off or wrapped.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 240)
err = Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """Write dataclasses, or plain JSON data, as JSON on standard output."""
    sys.stdout.write(json_text(value))


def write_json(value: Any, path: Path) -> None:
    """Write dataclasses, or plain JSON data, as a JSON file."""
    path.write_text(json_text(value), encoding="utf-8")


def json_text(value: Any) -> str:
    """JSON with indentation and a final newline."""
    return json.dumps(encode(value), indent=1, allow_nan=False) + "\n"


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table; columns whose heading begins with ``>`` are aligned to the right."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.startswith(">") else "left"
        made.add_column(column.removeprefix(">"), justify=justify, overflow="fold")
    return made


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Show progress on standard error: a bar on a terminal, else now and then a line."""
    if not err.is_terminal:
        yield _lines(title)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[title]}"),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.description}", style="dim"),
    )
    start = time.monotonic()
    with Bar(*columns, console=err) as bar:
        task = bar.add_task("", total=1.0, title=title, left="")

        def update(fraction: float, message: str) -> None:
            left = time_left(fraction, time.monotonic() - start)
            bar.update(task, completed=fraction, description=message, left=left)

        yield update
        bar.update(task, completed=1.0, description="", left="")


def time_left(fraction: float, seconds: float) -> str:
    """How much longer it will take, in words; empty as long as nothing can be said.

    Args:
        fraction: what is done, 0 to 1.
        seconds: how long that took.
    """
    if seconds < LEAST_SECONDS or not LEAST_FRACTION <= fraction < 1:
        return ""
    left = seconds / fraction - seconds
    return f"about {left:.0f} s left" if left < 90 else f"about {left / 60:.0f} min left"


def _lines(title: str) -> Progress:
    start = time.monotonic()
    last = float("-inf")

    def update(fraction: float, message: str) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            left = time_left(fraction, last - start)
            sys.stderr.write(f"{title}: {fraction:.0%} {message}{left and f', {left}'}\n")

    return update
