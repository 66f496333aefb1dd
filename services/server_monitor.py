"""The ServerMonitor over gRPC: its server's state, and its links to others."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager

from core.errors import PartitaError, ServerUnavailableError
from core.problem import Link
from core.profiles import ServerState
from core.progress import Progress
from partita.v1 import server_monitor_pb2, server_monitor_pb2_grpc, types_pb2
from profilers.server_monitor import read_state
from services.convert import from_link, from_state
from services.link_probe import measure_link
from services.membership import membership
from services.runtime.channels import Channels
from services.runtime.errors import Context
from services.runtime.events import Step, events
from services.runtime.server import Binding, Service
from services.runtime.settings import Settings
from services.runtime.shaping import LinkShaper

logger = logging.getLogger(__name__)


class ServerMonitorServicer(server_monitor_pb2_grpc.ServerMonitorServicer):
    """Converts and calls; one measurement of links at a time, as two would disturb each other."""

    def __init__(
        self, server: str, read: Callable[[], Awaitable[ServerState]], channels: Channels, shaper: LinkShaper
    ) -> None:
        self._server = server
        self._read = read
        self._channels = channels
        self._shaper = shaper
        self._turn = asyncio.Lock()

    async def GetState(
        self, request: server_monitor_pb2.GetStateRequest, context: Context
    ) -> server_monitor_pb2.GetStateResponse:
        return server_monitor_pb2.GetStateResponse(state=from_state(await self._read()))

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

    async def Probe(
        self, request_iterator: AsyncIterator[server_monitor_pb2.ProbeRequest], context: Context
    ) -> server_monitor_pb2.ProbeResponse:
        byte_count = 0
        async for request in request_iterator:
            byte_count += len(request.chunk.data)
        return server_monitor_pb2.ProbeResponse(byte_count=byte_count)

    async def _measure(self, targets: Mapping[str, str], progress: Progress) -> list[Link]:
        links: list[Link] = []
        failures: list[str] = []
        async with self._turn:
            for index, (target, address) in enumerate(targets.items()):
                progress(index / len(targets), f"measuring the link to {target}")
                stub = server_monitor_pb2_grpc.ServerMonitorStub(self._channels.to(address))
                try:
                    links.append(await measure_link(stub, self._shaper, self._server, target))
                except PartitaError as error:
                    logger.warning(
                        "the link from %s to %s at %s was not measured: %s", self._server, target, address, error
                    )
                    failures.append(f"{target} at {address}: {error}")
                    progress(index / len(targets), f"skipping {target}: {error}")
        if failures and not links:
            raise ServerUnavailableError(
                f"no link from server {self._server!r} could be measured; {'; '.join(failures)}"
            )
        return links


def server_monitor_service(settings: Settings) -> Service:
    """The ServerMonitor of ``settings.server``."""

    @asynccontextmanager
    async def service(binding: Binding) -> AsyncIterator[None]:
        # Always the same thread: psutil measures the load since the last call from the same one.
        with ThreadPoolExecutor(1) as executor:

            async def read() -> ServerState:
                return await asyncio.get_running_loop().run_in_executor(
                    executor,
                    read_state,
                    settings.server,
                    settings.runtime,
                    settings.memory_bytes or None,
                    settings.power,
                )

            async with Channels() as channels:
                servicer = ServerMonitorServicer(settings.server, read, channels, binding.shaper(settings.links))
                server_monitor_pb2_grpc.add_ServerMonitorServicer_to_server(servicer, binding.server)
                binding.names.append(server_monitor_pb2.DESCRIPTOR.services_by_name["ServerMonitor"].full_name)
                async with membership(settings, "server_monitor", binding, channels, read):
                    yield

    return service
