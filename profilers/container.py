"""What of the machine this process may use: processor set and container limits."""

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_cores() -> float:
    """Count the processors that this process may use: its CPU set, and its container's share of time."""
    cores = float(len(usable_processors()) or os.cpu_count() or 1)
    try:
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        return min(cores, round(int(quota) / int(period), 2))
    except (OSError, ValueError):  # no container, an older kernel, or "max"
        return cores


def usable_processors() -> frozenset[int]:
    """Return the numbers of the processors in this process's CPU set; empty where the system does not tell."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()


def cgroup_number(*names: str) -> float | None:
    """Read the first of the files that exists and holds a number (cgroup version 2, then 1)."""
    for name in names:
        try:
            return float((_CGROUP / name).read_text())
        except (OSError, ValueError):
            continue
    return None
