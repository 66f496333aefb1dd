"""What a server is, and how it is doing now."""

import hashlib
import json
import platform
from pathlib import Path

import onnxruntime as ort
import psutil

from core.profiles import Power, RuntimeSettings, ServerState
from profilers.container import cgroup_number, usable_cores, usable_processors
from profilers.energy_counters import DrawnWatts
from profilers.sensors import battery_level, processor_celsius, read_battery, read_temperatures

_INSTRUCTION_SETS = frozenset({"avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})
"""Those that decide how fast float and int8 kernels are; a virtual processor's name does not tell them."""


def fingerprint(runtime: RuntimeSettings) -> tuple[str, str]:
    """Identify what decides how fast this server runs models.

    Processor model, its architecture and vector instructions, processors that this process may use, threads, way of
    timing, execution provider and runtime version: servers of equal fingerprint share execution profiles. A slow-down
    only multiplies these.

    Returns:
        A hash (16 hexadecimal digits), and the same in words.
    """
    facts = {
        "processor": _processor(),
        "architecture": platform.machine(),
        "instructions": sorted(_INSTRUCTION_SETS.intersection(_processor_lines("flags", "Features"))),
        "cores": usable_cores(),
        "threads": runtime.threads,
        "timing": runtime.timing,
        "provider": runtime.provider,
        "runtime": ort.__version__,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    slowdown = f", {runtime.slowdown:g} times slowed down" if runtime.slowdown != 1 else ""
    return digest, (
        f"{facts['processor']} ({facts['architecture']}), {facts['cores']:g} cores, {runtime.threads} threads"
        f"{slowdown}, {runtime.provider}, ONNX Runtime {ort.__version__}"
    )


def read_state(
    name: str,
    runtime: RuntimeSettings,
    memory_bytes: int | None,
    power: Power,
    drawn: DrawnWatts | None = None,
) -> ServerState:
    """Read this server's state; limits of its container (cgroup) are respected.

    The load is that of the processors this process may use since the last call; the first call gives 0.

    Args:
        name: the server's name.
        runtime: how it runs models.
        memory_bytes: memory that may hold weights as configured; ``None`` takes all there is.
        power: watts as declared in its configuration.
        drawn: the machine's own meters; ``None`` where it has none, or they are not to be read.
    """
    memory = psutil.virtual_memory()
    total, available = memory.total, memory.available
    limit = cgroup_number("memory.max", "memory/memory.limit_in_bytes")
    used = cgroup_number("memory.current", "memory/memory.usage_in_bytes")
    if limit is not None and limit < total:
        total = int(limit)
        available = min(available, max(0, total - int(used or 0)))
    if memory_bytes is not None:
        total, available = memory_bytes, min(available, memory_bytes)
    digest, description = fingerprint(runtime)
    return ServerState(
        name=name,
        fingerprint=digest,
        description=description,
        machine=_machine(),
        memory_bytes=total,
        available_memory_bytes=available,
        load=_load(),
        power=power,
        temperature_celsius=processor_celsius(read_temperatures()),
        drawn_watts=drawn.read() if drawn else None,
        battery_level=battery_level(read_battery()),
        slowdown=runtime.slowdown,
    )


def _processor() -> str:
    return " ".join(_processor_lines("model name", "Model", "Hardware")) or platform.processor() or "unknown processor"


def _processor_lines(*keys: str) -> list[str]:
    """Return the words of the first line of /proc/cpuinfo that begins with one of ``keys``."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    return next((line.partition(":")[2].split() for line in lines if line.startswith(keys)), [])


def _machine() -> str:
    """Identity of the running kernel: containers and processes of one machine share it."""
    try:
        identity = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        identity = platform.node()
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _load() -> float:
    each = psutil.cpu_percent(percpu=True)
    mine = [each[index] for index in usable_processors() if index < len(each)] or each
    return min(1.0, max(0.0, sum(mine) / len(mine) / 100))
