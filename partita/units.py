"""Quantities in words that people read."""

from collections.abc import Sequence


def seconds(value: float | None) -> str:
    """A duration with three digits, for example ``41.2 ms``; a dash where there is none."""
    if value is None:
        return "–"
    return _scaled(value, ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")))


def byte_count(value: float | None) -> str:
    """A size with three digits in powers of ten, for example ``4.92 MB``; a dash where there is none."""
    if value is None:
        return "–"
    return _scaled(value, ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")))


def rate(bytes_per_second: float) -> str:
    """A throughput, for example ``20.0 MB/s``."""
    return f"{byte_count(bytes_per_second)}/s"


def joules(value: float | None) -> str:
    """An energy with three digits, for example ``1.20 J``; a dash where there is none."""
    return "–" if value is None else _scaled(value, ((1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ")))


def age(seconds_ago: float) -> str:
    """How long ago something was, in its largest unit, for example ``5 min``."""
    steps = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))
    size, name = next((step for step in steps if seconds_ago >= step[0]), (1.0, "s"))
    return f"{max(0.0, seconds_ago) // size:.0f} {name}"


def gap(value: float | None) -> str:
    """Distance to the proven bound; what is left of rounding counts as zero."""
    return "unknown" if value is None else f"{value if value > 1e-9 else 0:.3g}"


def _scaled(value: float, units: Sequence[tuple[float, str]]) -> str:
    """The value in the largest of ``units`` (size, name; largest first) that is not larger than it."""
    if value == 0:
        return next(f"0 {name}" for size, name in units if size == 1.0)
    size, name = next((unit for unit in units if abs(value) >= unit[0]), units[-1])
    scaled = value / size
    decimals = 0 if name == "B" else max(0, 3 - len(f"{abs(scaled):.0f}"))
    return f"{scaled:.{decimals}f} {name}"
