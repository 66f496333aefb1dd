"""The ServerMonitor over gRPC: its server's state, and its links to others."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from functools import partial

from core.errors import InvalidArgumentError, PartitaError
from core.profiles import MeasuredLink, ServerState
from core.progress import Progress
from core.version import partita_version
from partita.v1 import server_monitor_pb2, server_monitor_pb2_grpc, types_pb2
from profilers.energy_counters import DrawnWatts, find_meter
from profilers.server_monitor import read_state
from services.clients.registry import RegistryClient
from services.convert import from_link, from_state
from services.link_probe import measure_link, probe, take_probes
from services.link_watch import LinkWatch
from services.membership import membership
from services.runtime.channels import Channels
from services.runtime.events import Step, events
from services.runtime.handlers import Context
from services.runtime.server import Binding, Service
from services.runtime.settings import Settings
from services.transport.sender import TensorSender

logger = logging.getLogger(__name__)


class ServerMonitorServicer(server_monitor_pb2_grpc.ServerMonitorServicer):
    """Converts and calls; one measurement of links at a time, as two would disturb each other."""

    def __init__(
        self,
        server: str,
        read: Callable[[], Awaitable[ServerState]],
        sender: TensorSender,
        watch: LinkWatch,
        turn: asyncio.Lock,
    ) -> None:
        self._server = server
        self._read = read
        self._sender = sender
        self._watch = watch
        self._turn = turn

    async def GetState(
        self, request: server_monitor_pb2.GetStateRequest, context: Context
    ) -> server_monitor_pb2.GetStateResponse:
        state = from_state(await self._read())
        return server_monitor_pb2.GetStateResponse(state=state, clock=time.time(), version=partita_version())

    async def MeasureLinks(
        self, request: server_monitor_pb2.MeasureLinksRequest, context: Context
    ) -> AsyncGenerator[server_monitor_pb2.MeasureLinksResponse]:
        targets = dict(sorted(request.targets.items()))
        async with aclosing(events(lambda progress: self._measure(targets, progress))) as stream:
            async for event in stream:
                if isinstance(event, Step):
                    step = types_pb2.Progress(fraction=event.fraction, message=event.message)
                    yield server_monitor_pb2.MeasureLinksResponse(progress=step)
                else:
                    for link in event:
                        yield server_monitor_pb2.MeasureLinksResponse(link=from_link(link))

    async def _measure(self, targets: Mapping[str, str], progress: Progress) -> list[MeasuredLink]:
        links: list[MeasuredLink] = []
        async with self._turn:
            for index, (target, address) in enumerate(targets.items()):
                progress(index / len(targets), f"measuring the link to {target}")
                try:
                    history = await measure_link(probe(self._sender, target, address), self._server, target)
                    self._watch.histories[target] = history
                    links.append(history.estimate())
                except PartitaError as error:
                    logger.warning(
                        "the link from %s to %s at %s was not measured: %s", self._server, target, address, error
                    )
                    # Without a link nothing is sent there, which a plan can do without.
                    progress(index / len(targets), f"skipping {target}: {error}")
        return links


def server_monitor_service(settings: Settings) -> Service:
    """The ServerMonitor of ``settings.server``.

    Raises:
        InvalidArgumentError: the budget for measuring links is not a share.
    """
    if not 0 <= settings.link_budget < 1:
        raise InvalidArgumentError(
            f"link_budget {settings.link_budget:g} is not a share of a link's time; set --link-budget to 0.01, "
            "or to 0 to measure links only when asked to"
        )

    @asynccontextmanager
    async def service(binding: Binding) -> AsyncIterator[None]:
        # Always the same thread: psutil measures the load since the last call from the same one.
        with ThreadPoolExecutor(1) as executor:
            meter = find_meter(settings.provider) if settings.measure_power else None
            drawn = DrawnWatts(meter) if meter else None

            async def read() -> ServerState:
                return await asyncio.get_running_loop().run_in_executor(
                    executor,
                    read_state,
                    settings.server,
                    settings.runtime,
                    settings.memory_bytes or None,
                    settings.power,
                    drawn,
                )

            async with Channels() as channels:
                sender, turn = binding.sender(settings.links), asyncio.Lock()
                registry = RegistryClient(channels.to(settings.address_of("registry", binding.address)))
                watch = LinkWatch(
                    settings.server, partial(probe, sender), registry.report_links, turn, settings.link_budget or 1.0
                )
                servicer = ServerMonitorServicer(settings.server, read, sender, watch, turn)
                server_monitor_pb2_grpc.add_ServerMonitorServicer_to_server(servicer, binding.server)
                take_probes(binding.receiver(settings.tensor_limit_bytes))
                binding.names.append(server_monitor_pb2.DESCRIPTOR.services_by_name["ServerMonitor"].full_name)
                async with membership(settings, "server_monitor", binding, channels, read):
                    tasks = []
                    if settings.link_budget:
                        tasks = [asyncio.create_task(watch.follow(registry)), asyncio.create_task(watch.run())]
                    try:
                        yield
                    finally:
                        for task in tasks:
                            task.cancel()
                        await asyncio.gather(*tasks, return_exceptions=True)

    return service
