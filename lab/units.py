"""Quantities as topology files and the command line write them: a number and its unit."""

import math
import re
from collections.abc import Mapping

from core.errors import InvalidArgumentError

BANDWIDTHS = {
    f"{prefix}{unit}/s": size * part
    for prefix, size in {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}.items()
    for unit, part in {"B": 1.0, "bit": 1 / 8}.items()
}
DURATIONS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
SHARES = {"%": 0.01}
SIZES = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}


def bandwidth(text: object) -> float:
    """Bytes per second of, for example, ``5MB/s`` or ``40Mbit/s``.

    Raises:
        InvalidArgumentError: it has another form, or is not above zero.
    """
    value = _quantity(text, BANDWIDTHS, "5MB/s or 40Mbit/s")
    if value <= 0:
        raise InvalidArgumentError(f"{text!r} carries nothing; leave a link out where there is none")
    return value


def duration(text: object) -> float:
    """Seconds of, for example, ``2.5ms``.

    Raises:
        InvalidArgumentError: it has another form.
    """
    return _quantity(text, DURATIONS, "2.5ms or 0.1s")


def share(text: object) -> float:
    """The part of one of, for example, ``0.5%``.

    Raises:
        InvalidArgumentError: it has another form, or is all.
    """
    value = _quantity(text, SHARES, "0.5%")
    if value >= 1:
        raise InvalidArgumentError(f"{text!r} loses everything; leave a link out where there is none")
    return value


def size(text: object) -> int:
    """Bytes of, for example, ``512MiB``.

    Raises:
        InvalidArgumentError: it has another form.
    """
    return int(_quantity(text, SIZES, "512MiB or 4GB"))


def _quantity(text: object, units: Mapping[str, float], example: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(\S*)", str(text).strip())
    if found is None or isinstance(text, bool):
        raise InvalidArgumentError(f"{text!r} is not a number with a unit; write for example {example}")
    number, unit = float(found[1]), found[2]
    if unit not in units:
        known = ", ".join(units)
        what = f"has the unit {unit!r}, which is none of {known}" if unit else "has no unit"
        raise InvalidArgumentError(f"{text!r} {what}; write for example {example}")
    value = number * units[unit]
    if not math.isfinite(value):
        raise InvalidArgumentError(f"{text!r} is too large; write for example {example}")
    return value
