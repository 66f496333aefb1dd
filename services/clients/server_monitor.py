"""Calls a server's ServerMonitor."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import grpc

from core.profiles import MeasuredLink, ServerState
from core.progress import Progress
from partita.v1 import server_monitor_pb2, server_monitor_pb2_grpc
from services.convert import to_link, to_state
from services.runtime.calls import reading
from services.runtime.errors import typed_errors

CALL_TIMEOUT_SECONDS = 10.0

LINK_TIMEOUT_SECONDS = 60.0
"""How long a measurement may take per link, waiting for another measurement included."""


@dataclass(frozen=True)
class Sighting:
    """A server as it was just seen.

    Attributes:
        version: of its Partita.
        seconds: until it had answered.
        skew_seconds: how far its clock is ahead of ours, as if question and answer took equally long.
    """

    state: ServerState
    version: str
    seconds: float
    skew_seconds: float


class ServerMonitorClient:
    """One server's ServerMonitor."""

    def __init__(self, channel: grpc.aio.Channel, server: str) -> None:
        self._stub = server_monitor_pb2_grpc.ServerMonitorStub(channel)
        self._peer = f"ServerMonitor of server {server!r}"

    async def get_state(self) -> Sighting:
        """The server as it is now."""
        asked = time.time()
        with typed_errors(self._peer):
            request = server_monitor_pb2.GetStateRequest()
            response = await self._stub.GetState(request, timeout=CALL_TIMEOUT_SECONDS)
        seconds = time.time() - asked
        skew = response.clock - (asked + seconds / 2)
        return Sighting(to_state(response.state), response.version, seconds, skew)

    async def measure_links(self, targets: Mapping[str, str], progress: Progress) -> list[MeasuredLink]:
        """Measure the links to ``targets``, server → address of its monitor; takes up to 5 seconds a link.

        Returns:
            The links, without those to targets that could not be reached.

        Raises:
            ServerUnavailableError: none of the targets could be reached.
        """
        links: list[MeasuredLink] = []
        request = server_monitor_pb2.MeasureLinksRequest(targets=targets)
        timeout = LINK_TIMEOUT_SECONDS * max(1, len(targets))
        with typed_errors(self._peer), reading(self._stub.MeasureLinks(request, timeout=timeout)) as call:
            async for response in call:
                if response.HasField("progress"):
                    progress(response.progress.fraction, response.progress.message)
                else:
                    links.append(to_link(response.link))
        return links
