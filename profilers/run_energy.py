"""Energy of running a model, by the machine's own meters."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from core.profiles import RunEnergy, RuntimeSettings
from core.progress import Progress, no_progress
from core.tensors import TensorSpec
from inferencer.session import Session
from profilers.energy_counters import POWERCAP, EnergyMeter, find_meter
from profilers.random_inputs import random_inputs

IDLE_SECONDS = 0.5
"""How long the machine is watched before the runs."""

RUNNING_SECONDS, LEAST_RUNS = 2.0, 3
"""Runs go on for at least this long, and are at least so many: counters move in steps."""


def measure_run_energy(
    model: bytes,
    inputs: Sequence[TensorSpec],
    runtime: RuntimeSettings,
    root: Path = POWERCAP,
    progress: Progress = no_progress,
) -> RunEnergy | None:
    """Measure what one run of a whole float model takes here.

    Args:
        model: an admitted model's bytes.
        inputs: what it takes.
        runtime: how this server runs models.
        root: where the processors' counters are.
        progress: told what is being done.

    Returns:
        ``None`` where the machine has no meter that can be read, or only stands for a slower one.
    """
    meter = None if runtime.slowdown != 1 else find_meter(runtime.provider, root)
    if meter is None:
        return None
    progress(0.0, "measuring the energy of a run")
    session = Session(model, runtime)
    values = random_inputs(inputs, 1, 0)[0]
    session.run(values)
    return integrate(lambda: session.run(values), meter)


def integrate(
    run: Callable[[], object],
    meter: EnergyMeter,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> RunEnergy | None:
    """Energy of one run, as the mean of many.

    Args:
        run: what is done.
        meter: reads the joules so far; it is read after every run, for those that integrate watts.
        clock: seconds that never go back.
        sleep: waits for seconds.

    Returns:
        ``None`` where the meter stands still.
    """
    start, before = clock(), meter.joules()
    sleep(IDLE_SECONDS)
    idle_watts = (meter.joules() - before) / (clock() - start)
    start, before, runs = clock(), meter.joules(), 0
    while runs < LEAST_RUNS or clock() - start < RUNNING_SECONDS:
        run()
        runs += 1
        joules = meter.joules() - before
    seconds = clock() - start
    if joules <= 0:
        return None
    return RunEnergy(joules / runs, joules / seconds, "measured", meter.name, idle_watts)
