"""Requests to a deployment, so many in flight all the time, and what they show."""

import asyncio
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.prediction.deployed import Running
from core.tensors import Array
from partita.results import InferReport

FILLING_ANSWERS = 2
"""So many answers per request in flight do not count: the pipeline fills, and the admission limit is found."""


@dataclass(frozen=True)
class Load:
    """What a deployment did under load.

    Attributes:
        in_flight: requests that callers had sent and waited for, all the time.
        answers_per_second: in steady state.
        latency_seconds: mean, as a caller sees it.
        busy_seconds: server → mean seconds that it computed for a request.
        core_seconds: core → processor seconds that all programs of the bench took there for an answer.
        together: for how many requests a component ran at once, mean.
    """

    in_flight: int
    answers_per_second: float
    latency_seconds: float
    busy_seconds: Mapping[str, float]
    core_seconds: Mapping[int, float]
    together: float = 1.0

    @property
    def busiest_core_seconds(self) -> float:
        """Of the busier core."""
        return max(self.core_seconds.values())

    @property
    def busiest_seconds(self) -> float:
        """What the busiest server computes for a request."""
        return max(self.busy_seconds.values())


async def load(
    running: Running, inputs: Mapping[str, Array], in_flight: int, seconds: float, processes: Mapping[int, int]
) -> Load:
    """Keep ``in_flight`` requests in flight, and count answers for ``seconds`` in steady state.

    Args:
        processes: ids of those whose processor time is counted → the core that each is pinned to.
    """
    reports: list[tuple[float, float, InferReport]] = []
    filled = asyncio.Event()
    stopping = False

    async def caller() -> None:
        while not stopping:
            begun = time.perf_counter()
            report = await running.request(inputs)
            now = time.perf_counter()
            reports.append((now, now - begun, report))
            if len(reports) >= FILLING_ANSWERS * in_flight:
                filled.set()

    async with asyncio.TaskGroup() as callers:
        for _ in range(in_flight):
            callers.create_task(caller())
        await filled.wait()
        first, begun = len(reports) - 1, _processor_seconds(processes)
        await asyncio.sleep(seconds)
        last, ended = len(reports) - 1, _processor_seconds(processes)
        stopping = True
    # From answer to answer, so that what is under way at either end does not count.
    counted = reports[first + 1 : last + 1]
    rate = len(counted) / (reports[last][0] - reports[first][0]) if counted else 0.0
    latency = sum(taken for _, taken, _ in counted) / max(1, len(counted))
    seen = [report for _, _, report in counted or reports]
    together = statistics.fmean(run.together for report in seen for run in report.runs)
    spent = {core: (ended[core] - begun[core]) / max(1, len(counted)) for core in begun}
    return Load(in_flight, rate, latency, _busy(seen), spent, together)


def _processor_seconds(processes: Mapping[int, int]) -> dict[int, float]:
    """Processor seconds of the processes on each core so far (proc(5): fields 14 and 15 of ``stat``)."""
    seconds = dict.fromkeys(processes.values(), 0.0)
    for process, core in processes.items():
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        seconds[core] += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def _busy(reports: Sequence[InferReport]) -> dict[str, float]:
    seconds: dict[str, float] = {}
    for report in reports:
        for run in report.runs:
            seconds[run.server] = seconds.get(run.server, 0.0) + run.compute_seconds / len(reports)
    return seconds
