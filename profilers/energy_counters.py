"""Meters that a machine has itself: RAPL of processors, NVML of accelerators. None is made up where there is none."""

import importlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

POWERCAP = Path("/sys/class/powercap")
"""Where Linux shows the energy counters of Intel's and AMD's processors (RAPL)."""

LEAST_SECONDS = 0.5
"""Over a shorter time the counters' steps would count."""

_ACCELERATED = ("CUDAExecutionProvider", "TensorrtExecutionProvider")


class EnergyCounter(Protocol):
    """Counts the energy that something has drawn."""

    name: str

    def joules(self) -> float:
        """Joules since the counter was made. Read it at least every few minutes: what it reads may wrap around."""


class RaplCounter:
    """Processors and their memory: the sum of RAPL domains, which count microjoules and wrap around.

    Args:
        domains: directories with ``energy_uj`` and ``max_energy_range_uj``.

    Raises:
        OSError: a file cannot be read; mostly only root may.
        ValueError: a file does not hold a number.
    """

    name = "RAPL"

    def __init__(self, domains: Sequence[Path]) -> None:
        self._ranges = {domain: _number(domain / "max_energy_range_uj") for domain in domains}
        self._last = {domain: _number(domain / "energy_uj") for domain in domains}
        self._microjoules = 0

    def joules(self) -> float:
        """See ``EnergyCounter``."""
        for domain, last in self._last.items():
            now = _number(domain / "energy_uj")
            self._microjoules += now - last if now >= last else now - last + self._ranges[domain]
            self._last[domain] = now
        return self._microjoules / 1e6


def _number(path: Path) -> int:
    return int(path.read_text())


def rapl_counter(root: Path = POWERCAP) -> RaplCounter | None:
    """The RAPL domains of all processor packages and of memory; ``None`` where one of them cannot be read."""
    domains = []
    try:
        # Names are intel-rapl:0 and, for a part of it, intel-rapl:0:1, also on AMD; intel-rapl-mmio would count twice.
        for domain in sorted(root.glob("intel-rapl:*")):
            name = (domain / "name").read_text().strip()
            if name.startswith("package") or name == "dram":
                domains.append(domain)
        return RaplCounter(domains) if domains else None
    except (OSError, ValueError):
        return None


class WattsCounter:
    """Energy from a sensor that tells only the power of the moment: its integral by the trapezoidal rule.

    Args:
        name: of the sensor.
        read: the watts now.
        clock: seconds that never go back.
    """

    def __init__(self, name: str, read: Callable[[], float], clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._read = read
        self._clock = clock
        self._last = clock(), read()
        self._joules = 0.0

    def joules(self) -> float:
        """See ``EnergyCounter``; the more often it is called, the nearer it comes."""
        now = self._clock(), self._read()
        self._joules += (now[0] - self._last[0]) * (now[1] + self._last[1]) / 2
        self._last = now
        return self._joules


class NvmlCounter:
    """An accelerator's own energy counter.

    Args:
        nvml: the module ``pynvml``, initialised.
        handle: of the device.
    """

    name = "NVML"

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._millijoules: Callable[[], float] = lambda: float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        self._start = self._millijoules()

    def joules(self) -> float:
        """See ``EnergyCounter``."""
        return (self._millijoules() - self._start) / 1e3


def nvml_counter(nvml: Any = None, device: int = 0) -> EnergyCounter | None:
    """The counter of an NVIDIA device, or the integral of its watts where it is too old to count.

    Args:
        nvml: the module ``pynvml``; by default it is imported where it is installed.
        device: which one.

    Returns:
        ``None`` where there is no such module, driver, device or sensor.
    """
    try:
        nvml = nvml or importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByIndex(device)
        try:
            return NvmlCounter(nvml, handle)
        except nvml.NVMLError:
            return WattsCounter("NVML", lambda: float(nvml.nvmlDeviceGetPowerUsage(handle)) / 1e3)
    except nvml.NVMLError:
        return None


class EnergyMeter:
    """Several counters as one."""

    def __init__(self, counters: Sequence[EnergyCounter]) -> None:
        self._counters = counters
        self.name = " + ".join(counter.name for counter in counters)

    def joules(self) -> float:
        """See ``EnergyCounter``."""
        return sum(counter.joules() for counter in self._counters)


class DrawnWatts:
    """The power that a meter sees, as its mean between calls.

    Args:
        meter: counts joules.
        clock: seconds that never go back.
    """

    def __init__(self, meter: EnergyMeter, clock: Callable[[], float] = time.monotonic) -> None:
        self._meter = meter
        self._clock = clock
        self._last = clock(), meter.joules()
        self._watts: float | None = None

    def read(self) -> float | None:
        """Watts since the last call; where that was less than ``LEAST_SECONDS`` ago, what was said then."""
        now = self._clock(), self._meter.joules()
        if now[0] - self._last[0] >= LEAST_SECONDS:
            self._watts = (now[1] - self._last[1]) / (now[0] - self._last[0])
            self._last = now
        return self._watts


def find_meter(provider: str, root: Path = POWERCAP) -> EnergyMeter | None:
    """Everything on this machine that can be read of what draws power when ``provider`` runs models.

    Returns:
        ``None`` where there is nothing, or not all of it can be read: a processor's energy alone would pass for that
        of a run on an accelerator.
    """
    processor = rapl_counter(root)
    if provider not in _ACCELERATED:
        return EnergyMeter([processor]) if processor else None
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    accelerator = nvml_counter(device=int(first) if first.isdigit() else 0)
    if accelerator is None:
        return None
    return EnergyMeter([accelerator] if processor is None else [processor, accelerator])
