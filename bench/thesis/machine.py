"""The machine that is measured on, and what else it had to do."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

IDLE_SECONDS = 1.0
"""How long the bench waits to see what others take of the machine."""


@dataclass(frozen=True)
class Machine:
    """A machine in words and numbers."""

    processor: str
    cores: int
    memory_bytes: int
    system: str
    runtime: str


def this_machine() -> Machine:
    """The machine this runs on."""
    return Machine(
        processor_name(),
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        psutil.virtual_memory().total,
        f"{platform.system()} {platform.release()}",
        f"Python {platform.python_version()}, ONNX Runtime {version('onnxruntime')}",
    )


def processor_name() -> str:
    """What the processor calls itself."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def others_load() -> float:
    """Share of the processors, 0 to 1, that is in use while the bench waits; blocks for ``IDLE_SECONDS``."""
    return float(psutil.cpu_percent(interval=IDLE_SECONDS)) / 100
