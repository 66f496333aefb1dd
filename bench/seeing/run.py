"""Two servers in this process, and requests through both with and without metrics and traces, in turns."""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.request import urlopen

from bench.pipeline.cut import halved
from bench.prediction.deployed import Running, connected
from bench.prediction.models import BenchModel, transformer
from bench.seeing.switch import KINDS, Seen, Switch, shut_down_traces, trace_sink
from core.progress import Progress, no_progress, part
from services.clients.registry import RegistryClient
from services.front_end import front_end_service
from services.inferencer import inferencer_service
from services.model_pool import model_pool_service
from services.registry import registry_service
from services.runtime.channels import Channels
from services.runtime.metrics import serve_metrics
from services.runtime.server import serving
from services.runtime.settings import Settings
from services.runtime.tracing import configure_tracing

IN_FLIGHT = 4
"""Requests in flight."""

SERVERS = ("device", "edge")


@dataclass(frozen=True)
class ModelResult:
    """One model's measurements, taken in turns.

    Attributes:
        model: its name.
        seconds: what was seen → processor seconds of a request, of all that takes part, one entry for each round.
    """

    model: str
    seconds: Mapping[Seen, Sequence[float]]

    def cost(self, seen: Seen) -> float:
        """Share of the throughput of a busy processor that seeing so much takes, median over the rounds."""
        rounds = zip(self.seconds["nothing"], self.seconds[seen], strict=True)
        return 1 - statistics.median(without / with_it for without, with_it in rounds)

    def figures(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "request_seconds": {seen: statistics.median(self.seconds[seen]) for seen in KINDS},
            "metrics_cost": self.cost("metrics"),
            "metrics_and_traces_cost": self.cost("metrics and traces"),
        }


def standard_models() -> list[BenchModel]:
    """What ``bench pipeline`` runs, and a model that is as small as any worth dividing: seeing costs it most."""
    return [BenchModel("transformer", partial(transformer, blocks=16), {}), *quick_models()]


def quick_models() -> list[BenchModel]:
    """A small one, for a try."""
    return [BenchModel("small transformer", partial(transformer, blocks=1), {})]


def summary(results: Sequence[ModelResult]) -> dict[str, Any]:
    """The figures, the first model's as headline."""
    return {**results[0].figures(), "models": {one.model: one.figures() for one in results}}


async def run(
    models: Sequence[BenchModel], rounds: int, seconds: float, progress: Progress = no_progress
) -> list[ModelResult]:
    """Measure every model.

    Args:
        rounds: how often all that can be seen takes turns.
        seconds: roughly, of each turn.

    Raises:
        FailedPreconditionError: what sends traces is not installed.
        PartitaError: a model cannot be cut.
    """
    with trace_sink() as endpoint, tempfile.TemporaryDirectory(prefix="partita-") as directory:
        with patch.dict(os.environ, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint):
            configure_tracing("bench", ("inferencer", "front_end"))
        metrics = serve_metrics("127.0.0.1:0")
        results = []
        async with cluster_in_this_process(Path(directory)) as address, connected(address) as nodes:
            for number, model in enumerate(models):
                halves = await asyncio.to_thread(halved, model)
                division, blobs = await asyncio.to_thread(halves.divided, *SERVERS, SERVERS[0])
                step = part(progress, number / len(models), 1 / len(models))
                async with nodes.deployed(division, blobs, SERVERS[0]) as running:
                    with Switch() as switch:
                        turns = _Turns(running, halves.inputs, switch, metrics)
                        results.append(ModelResult(model.name, await turns.take(model.name, rounds, seconds, step)))
        shut_down_traces()
    return results


@asynccontextmanager
async def cluster_in_this_process(directory: Path) -> AsyncIterator[str]:
    """Control services and servers in this process; yields the address of the former."""
    async with AsyncExitStack() as stack:
        control = Settings(data_directory=directory)
        services = [registry_service(control), model_pool_service(control)]
        address = await stack.enter_async_context(serving("127.0.0.1:0", services))
        for server in SERVERS:
            settings = Settings(
                data_directory=directory / server, server=server, role=server, registry=address, model_pool=address
            )
            services = [inferencer_service(settings), front_end_service(settings)]
            await stack.enter_async_context(serving("127.0.0.1:0", services))
        async with Channels() as channels:
            registry = RegistryClient(channels.to(address))
            async for cluster in registry.watch():
                if sum(len(server.services) for server in cluster.servers) == 2 * len(SERVERS):
                    break
        yield address


class _Turns:
    """Requests to one model, with more and less seen."""

    def __init__(self, running: Running, inputs: Mapping[str, Any], switch: Switch, metrics: str) -> None:
        self._running = running
        self._inputs = inputs
        self._switch = switch
        self._metrics = metrics

    async def take(self, name: str, rounds: int, seconds: float, progress: Progress) -> dict[Seen, list[float]]:
        """Processor seconds of a request by what is seen, for each round."""
        start = time.perf_counter()
        await self._requests(2 * IN_FLIGHT)
        count = IN_FLIGHT * max(2, round(seconds * 2 / (time.perf_counter() - start)))
        found: dict[Seen, list[float]] = {seen: [] for seen in KINDS}
        for index in range(rounds):
            # Each is first as often as last.
            for seen in KINDS if index % 2 else reversed(KINDS):
                progress(index / rounds, f"{name}: seeing {seen}")
                self._switch.turn(seen)
                found[seen].append(await self._timed(seen, count))
        return found

    async def _timed(self, seen: Seen, count: int) -> float:
        begun = time.process_time()
        await self._requests(count)
        if seen != "nothing":
            # Once in a few seconds of processor time: more often than Prometheus does unless told otherwise.
            await asyncio.to_thread(_read, f"http://{self._metrics}/metrics")
        return (time.process_time() - begun) / count

    async def _requests(self, count: int) -> None:
        left = iter(range(count))

        async def caller() -> None:
            for _ in left:
                await self._running.request(self._inputs)

        async with asyncio.TaskGroup() as callers:
            for _ in range(IN_FLIGHT):
                callers.create_task(caller())


def _read(address: str) -> None:
    with urlopen(address) as response:  # noqa: S310 - our own, on loopback
        response.read()
