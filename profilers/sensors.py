"""Sensors of the machine: temperature of the processor, and battery."""

from collections.abc import Mapping, Sequence
from typing import Any

import psutil

_PROCESSOR_SENSORS = ("coretemp", "k10temp", "zenpower", "soc_thermal", "x86_pkg_temp", "acpitz")
"""Names under which processors report, beside any with "cpu" in it; the last is the mainboard's own of it."""

_HOTTEST_CELSIUS = 150.0
"""What is above is not believed."""


def read_temperatures() -> Mapping[str, Sequence[Any]]:
    """All temperature sensors, as psutil reads them; empty where the system has none."""
    try:
        return psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}
    except OSError:
        return {}


def processor_celsius(sensors: Mapping[str, Sequence[Any]]) -> float | None:
    """Temperature of the processor's hottest part; ``None`` where no sensor is known to be the processor's.

    Args:
        sensors: as ``psutil.sensors_temperatures`` gives them.
    """
    named = {name: [float(entry.current) for entry in entries] for name, entries in sensors.items()}
    chosen = next((name for name in named if "cpu" in name.lower()), None)
    chosen = chosen or next((name for name in _PROCESSOR_SENSORS if name in named), None)
    return max((value for value in named.get(chosen or "", ()) if 0 < value < _HOTTEST_CELSIUS), default=None)


def read_battery() -> Any:
    """The battery, as psutil reads it; ``None`` where there is none."""
    try:
        return psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    except OSError:
        return None


def battery_level(battery: Any) -> float | None:
    """Level from 0 to 1; ``None`` where there is no battery.

    Args:
        battery: as ``psutil.sensors_battery`` gives it.
    """
    return None if battery is None else min(1.0, max(0.0, float(battery.percent) / 100))
