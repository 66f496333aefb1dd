"""Traces: how a link's bandwidth and delay change over time."""

import csv
import math
from dataclasses import replace
from pathlib import Path

from core.errors import InvalidDocumentError, PartitaError
from lab import units
from lab.topology import Link, Shape, TracePoint

HEADER = ["seconds", "bandwidth", "delay"]


def read_trace(path: Path) -> tuple[TracePoint, ...]:
    """Read a CSV file with the header ``seconds,bandwidth,delay``.

    Seconds are plain numbers that begin at 0 and grow; bandwidth and delay carry their units (``5MB/s,20ms``).

    Raises:
        InvalidDocumentError: a line is wrong; the message begins with file and line.
        OSError: the file cannot be read.
    """
    points: list[TracePoint] = []
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        header = [name.strip() for name in next(rows, [])]
        if header != HEADER:
            raise InvalidDocumentError(f"{path}, line 1: expected {','.join(HEADER)}, got {','.join(header)!r}")
        for row in rows:
            if not row:
                continue
            try:
                points.append(_point(row, points[-1].seconds if points else None))
            except PartitaError as error:
                raise InvalidDocumentError(f"{path}, line {rows.line_num}: {error}") from None
    if not points:
        raise InvalidDocumentError(f"{path} holds no line after its header; write for example 0,5MB/s,20ms")
    return tuple(points)


def _point(row: list[str], previous_seconds: float | None) -> TracePoint:
    if len(row) != len(HEADER):
        raise InvalidDocumentError(f"expected {len(HEADER)} values, got {len(row)}; write for example 0,5MB/s,20ms")
    try:
        seconds = float(row[0])
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise InvalidDocumentError(f"seconds {row[0]!r} is not a number")
    if previous_seconds is None and seconds != 0:
        raise InvalidDocumentError(f"the first line is of second {seconds:g}; a trace begins at 0")
    if previous_seconds is not None and seconds <= previous_seconds:
        raise InvalidDocumentError(f"second {seconds:g} does not come after {previous_seconds:g}; put lines in order")
    return TracePoint(seconds, units.bandwidth(row[1]), units.duration(row[2]))


def shape_of(link: Link, point: TracePoint) -> Shape:
    """What the link becomes at a point of its trace; jitter and loss stay."""
    return replace(link.shape, bytes_per_second=point.bytes_per_second, delay_seconds=point.delay_seconds)


def changes(links: tuple[Link, ...]) -> list[tuple[float, Link, Shape]]:
    """All later points of all traces as (seconds, link, what it becomes), in order of time."""
    found = [(point.seconds, link, shape_of(link, point)) for link in links for point in link.trace[1:]]
    return sorted(found, key=lambda change: change[0])
