"""One server with two deployments of a model, with micro-batches and without, in turns under the same load."""

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.pipeline.cut import halved
from bench.pipeline.load import Load, load
from bench.prediction.deployed import connected
from bench.prediction.models import BenchModel
from core.progress import Progress, no_progress
from partita.cluster import EmbeddedServer, embedded_cluster

MICRO_BATCH = 8

IN_FLIGHT = 24
"""As many as the admission limit lets go with micro-batches, and a line behind them."""


@dataclass(frozen=True)
class BatchingResult:
    """A model's loads, by turns, with requests computed alone and together."""

    model: str
    alone: Sequence[Load]
    together: Sequence[Load]


async def run(
    models: Sequence[BenchModel], turns: int, seconds: float, progress: Progress = no_progress
) -> list[BatchingResult]:
    """Measure every model.

    Args:
        turns: how often the two deployments take turns.
        seconds: of steady state in each measurement.

    Raises:
        PartitaError: a model is not installed, or the cluster fails.
    """
    results: list[BatchingResult] = []
    count = len(models) * turns * 2
    servers = (EmbeddedServer("device", "device"),)
    async with embedded_cluster(servers) as cluster, connected(cluster.address) as nodes:
        for model in models:
            halves = await asyncio.to_thread(halved, model)
            division, blobs = await asyncio.to_thread(halves.divided, "device", "device", "device")
            async with (
                nodes.deployed(division, blobs, "device") as alone,
                nodes.deployed(division, blobs, "device", MICRO_BATCH) as together,
            ):
                loads: tuple[list[Load], list[Load]] = ([], [])
                for turn in range(2 * turns):
                    done = len(results) * turns * 2 + turn
                    progress(done / count, f"{model.name}: {'together' if turn % 2 else 'alone'}")
                    running = together if turn % 2 else alone
                    loads[turn % 2].append(await load(running, halves.inputs, IN_FLIGHT, seconds, {}))
            results.append(BatchingResult(model.name, *loads))
    progress(1.0, "done")
    return results


def summary(results: Sequence[BatchingResult]) -> dict[str, Any]:
    """Figures by model, medians over the turns, as JSON has them."""
    return {"micro_batch": MICRO_BATCH, "in_flight": IN_FLIGHT, "models": [_figures(result) for result in results]}


def _figures(result: BatchingResult) -> dict[str, Any]:
    gains = [b.answers_per_second / a.answers_per_second for a, b in zip(result.alone, result.together, strict=True)]
    return {
        "model": result.model,
        "alone_per_second": statistics.median(one.answers_per_second for one in result.alone),
        "together_per_second": statistics.median(one.answers_per_second for one in result.together),
        "gain": statistics.median(gains),
        "requests_at_once": statistics.median(one.together for one in result.together),
        "alone_latency_seconds": statistics.median(one.latency_seconds for one in result.alone),
        "together_latency_seconds": statistics.median(one.latency_seconds for one in result.together),
    }
