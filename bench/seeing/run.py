"""Two servers in this process, and requests through both with and without metrics and traces, in turns."""

import asyncio
import os
import statistics
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.request import urlopen

from bench.pipeline.cut import halved
from bench.prediction.deployed import Running, connected
from bench.prediction.models import BenchModel, transformer
from bench.seeing.results import SEND_EVERY_SECONDS, ModelResult, Turn
from bench.seeing.switch import KINDS, Seen, Switch, send_traces, shut_down_traces, trace_sink
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
from services.runtime.trace_sampler import TRACES_PER_SECOND
from services.runtime.tracing import configure_tracing

WARM_UP = 10
"""Requests that do not count."""

LEAST_ROUNDS = 25
"""Fewest requests of each kind."""

READS = 20
"""How often reading the metrics is timed."""

SERVERS = ("device", "edge")


def standard_models() -> list[BenchModel]:
    """What ``bench pipeline`` runs, and a model that is as small as any worth dividing: seeing costs it most."""
    return [BenchModel("transformer", partial(transformer, blocks=16), {}), *quick_models()]


def quick_models() -> list[BenchModel]:
    """A small one, for a try."""
    return [BenchModel("small transformer", partial(transformer, blocks=1), {})]


async def run(models: Sequence[BenchModel], seconds: float, progress: Progress = no_progress) -> list[ModelResult]:
    """Measure every model.

    Args:
        seconds: of requests to each model.

    Raises:
        FailedPreconditionError: what sends traces is not installed.
        PartitaError: a model cannot be cut.
    """
    with trace_sink() as endpoint, tempfile.TemporaryDirectory(prefix="partita-") as directory:
        # Every request is traced when its turn comes, and traces are sent when we say so: in no other's turn.
        wishes = {"OTEL_TRACES_SAMPLER": "always_on", "OTEL_BSP_SCHEDULE_DELAY": str(10**9)}
        with patch.dict(os.environ, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **wishes):
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
                        results.append(await turns.take(model.name, seconds, step))
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

    async def take(self, name: str, seconds: float, progress: Progress) -> ModelResult:
        """Request after request for about so many seconds; what is seen changes from one to the next."""
        for _ in range(WARM_UP):
            await self._running.request(self._inputs)
        found: dict[Seen, list[Turn]] = {seen: [] for seen in KINDS}
        sending: list[float] = []
        begun, index = time.perf_counter(), 0
        while index < LEAST_ROUNDS or time.perf_counter() - begun < seconds:
            # Each is first as often as last.
            for seen in KINDS if index % 2 else reversed(KINDS):
                self._switch.turn(seen)
                found[seen].append(await self._turn())
            index += 1
            if index % round(SEND_EVERY_SECONDS * TRACES_PER_SECOND) == 0:
                sending.append(await _processor_seconds(send_traces))
                progress(min(1.0, (time.perf_counter() - begun) / seconds), f"{name}: {index} requests of each kind")
        reading = [await _processor_seconds(self._read) for _ in range(READS)]
        return ModelResult(name, found, statistics.median(reading), statistics.median(sending))

    def _read(self) -> None:
        with urlopen(f"http://{self._metrics}/metrics") as response:
            response.read()

    async def _turn(self) -> Turn:
        begun, computed = time.process_time(), _computing_seconds()
        await self._running.request(self._inputs)
        spent = time.process_time() - begun
        return Turn(spent, spent - (_computing_seconds() - computed))


def _computing_seconds() -> float:
    """Processor time so far of the threads that run components (proc(5): the first field of ``schedstat``)."""
    threads = [thread.native_id for thread in threading.enumerate() if thread.name.startswith("component")]
    return sum(int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[0]) for thread in threads) * 1e-9


async def _processor_seconds(work: Callable[[], None]) -> float:
    begun = time.process_time()
    await asyncio.to_thread(work)
    return time.process_time() - begun
