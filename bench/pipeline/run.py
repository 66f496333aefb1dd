"""Three servers on two cores: a whole model on one of them, against the same as planned for two."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from bench.pipeline.cut import Halves, divided_by_plan
from bench.pipeline.load import Load, load
from bench.pipeline.results import ModelResult
from bench.prediction.deployed import Running, connected
from bench.prediction.models import BenchModel, inception, transformer
from core.errors import FailedPreconditionError
from core.progress import Progress, no_progress, part
from partita.cluster import EmbeddedServer, embedded_cluster
from services.runtime.settings import EmulatedLink

IN_FLIGHT = 8
"""Requests in flight where the pipeline is to be full."""

CURVE = (1, 2, 3, 4, 6, 8, 12, 16)

CURVE_TURNS = 3
"""How often the curve is measured; the median of each number counts."""

LINK_SLOWNESS = 2.0
"""The slow link takes so many times as long for a request as the slower half."""

LINK_RTT_SECONDS = 0.01


def standard_models() -> list[BenchModel]:
    """Two models that can be cut where little crosses."""
    return [BenchModel("transformer", partial(transformer, blocks=16), {}), BenchModel("GoogLeNet", inception, {})]


def quick_models() -> list[BenchModel]:
    """A small one, for a try."""
    return [BenchModel("small transformer", partial(transformer, blocks=4), {})]


async def run(
    models: Sequence[BenchModel], turns: int, seconds: float, progress: Progress = no_progress
) -> list[ModelResult]:
    """Measure every model.

    Args:
        turns: how often whole model, halves, and two whole models take turns.
        seconds: of steady state in each measurement.

    Raises:
        FailedPreconditionError: there are no two cores to pin servers to.
        PartitaError: a model is not installed, or the cluster fails.
    """
    results = []
    for number, model in enumerate(models):
        step = part(progress, number / len(models), 1 / len(models))
        halves = await asyncio.to_thread(divided_by_plan, model, part(step, 0.0, 0.2))
        results.append(await _measure(model.name, halves, turns, seconds, part(step, 0.2, 0.8)))
    return results


async def _measure(name: str, halves: Halves, turns: int, seconds: float, progress: Progress) -> ModelResult:
    """Servers ``device`` on the first core, ``edge`` and ``far`` (behind a slow link) on the second one."""
    alone = await asyncio.to_thread(halves.seconds)
    link_seconds = LINK_SLOWNESS * max(alone)
    link = EmulatedLink("far", halves.forth_bytes / link_seconds, LINK_RTT_SECONDS)
    first_core, second_core = _cores()
    servers = (
        EmbeddedServer("device", "device", links=(link,)),
        EmbeddedServer("edge", "edge"),
        EmbeddedServer("far", "cloud"),
    )
    async with embedded_cluster(servers) as cluster, connected(cluster.address) as nodes, AsyncExitStack() as stack:
        cores = {"device": first_core, "edge": second_core, "far": second_core, "control": second_core}
        processes = {cluster.processes[name].pid: core for name, core in cores.items()}
        for process, core in processes.items():
            pin(process, {core})
        # Callers need a core as well: of two servers' cores the one that has no FrontEnd.
        stack.enter_context(pinned(second_core))
        processes[os.getpid()] = second_core

        async def deployed(first: str, second: str, device: str = "device") -> Running:
            division, blobs = await asyncio.to_thread(halves.divided, first, second, device)
            return await stack.enter_async_context(nodes.deployed(division, blobs, device))

        split = await deployed("device", "edge")
        behind_link = await deployed("device", "far")
        whole = await deployed("device", "device")
        other_whole = await deployed("edge", "edge", "edge")

        count = 5 * turns + CURVE_TURNS * len(CURVE)
        done = 0

        async def taken(running: Running, in_flight: int = IN_FLIGHT) -> Load:
            nonlocal done
            done += 1
            progress(done / count, f"{name}: {in_flight} requests in flight")
            return await load(running, halves.inputs, in_flight, seconds, processes)

        one, other, two, slow, independent = [], [], [], [], []
        for _ in range(turns):
            with pinned(first_core):
                processes[os.getpid()] = first_core
                one.append(await taken(whole))
            processes[os.getpid()] = second_core
            two.append(await taken(split))
            other.append(await taken(other_whole))
            slow.append(await taken(behind_link))
            pair = await asyncio.gather(taken(whole), load(other_whole, halves.inputs, IN_FLIGHT, seconds, processes))
            independent.append(sum(item.answers_per_second for item in pair))
        curves = [[await taken(split, in_flight) for in_flight in CURVE] for _ in range(CURVE_TURNS)]
    turns_of_each = (sorted(loads, key=lambda load: load.answers_per_second) for loads in zip(*curves, strict=True))
    curve = [loads[CURVE_TURNS // 2] for loads in turns_of_each]
    crossing = halves.forth_bytes + halves.back_bytes
    return ModelResult(name, crossing, sum(alone) / max(alone), one, other, two, independent, curve, slow, link_seconds)


def _cores() -> tuple[int, int]:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise FailedPreconditionError(
            f"two cores are needed, and this process may use {cores} only; give it another one"
        )
    return cores[0], cores[1]


def pin(process: int, cores: set[int]) -> None:
    """Keep all threads of a process, and those that they will start, on some cores."""
    for thread in Path(f"/proc/{process}/task").iterdir():
        # One that ends meanwhile is gone.
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), cores)


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Keep this process on one core while inside."""
    before = os.sched_getaffinity(0)
    pin(os.getpid(), {core})
    try:
        yield
    finally:
        pin(os.getpid(), before)
