"""Measures the links of one server anew, all the time, in the background and within a budget."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from core.errors import DeadlineExceededError, PartitaError
from core.profiles import MeasuredLink
from profilers.link_history import PROBE_BYTES, LinkHistory
from services.clients.registry import RegistryClient
from services.link_probe import Send
from services.transport.sender import PROBE_TIMEOUT_SECONDS

logger = logging.getLogger(__name__)

LEAST_REST_SECONDS = 2.0
"""Rest after a transfer, however short it was."""

RETRY_SECONDS = 5.0
"""Pause after a failed attempt to reach the Registry."""

REPORT_EVERY = 2 + len(PROBE_BYTES)
"""So many transfers of a link, which are one of each size, make a report."""


class LinkWatch:
    """Sends single transfers to the other servers in turn and reports the links as they are found.

    A transfer that took s seconds is followed by a rest of s · (1 / budget − 1), whatever the next target is, so that
    all of them together take no more than ``budget`` of the time of this server's links.

    Args:
        server: name of this server.
        connect: makes a way to send to a server's monitor from its name and address.
        report: makes links known.
        turn: held while sending: measurements side by side would disturb each other.
        budget: largest share of the time, above 0.

    Attributes:
        addresses: server → address of its monitor; who is measured.
        histories: server → what is known of the link to it.
    """

    def __init__(
        self,
        server: str,
        connect: Callable[[str, str], Send],
        report: Callable[[Sequence[MeasuredLink]], Awaitable[None]],
        turn: asyncio.Lock,
        budget: float,
    ) -> None:
        self._server = server
        self._connect = connect
        self._report = report
        self._turn = turn
        self._budget = budget
        self._count = 0
        self._turns: dict[str, int] = {}
        self._sent: dict[str, int] = {}
        self.addresses: dict[str, str] = {}
        self.histories: dict[str, LinkHistory] = {}

    async def follow(self, registry: RegistryClient) -> None:
        """Keep ``addresses`` as the Registry tells them; never returns."""
        while True:
            try:
                async for cluster in registry.watch():
                    self.addresses = {
                        server.name: server.services["server_monitor"]
                        for server in cluster.servers
                        if server.name != self._server and "server_monitor" in server.services
                    }
            except PartitaError as error:
                logger.debug("the Registry cannot be watched, trying on: %s", error)
            await asyncio.sleep(RETRY_SECONDS)

    async def run(self) -> None:
        """Measure and rest; never returns."""
        rest_seconds = LEAST_REST_SECONDS
        while True:
            await asyncio.sleep(rest_seconds)
            try:
                rest_seconds = await self.step()
            except Exception:
                logger.exception("measuring links failed, trying on")

    async def step(self) -> float:
        """Make one transfer to the server whose turn it is; returns the seconds to rest."""
        if not self.addresses:
            return LEAST_REST_SECONDS
        # Whose turn was longest ago.
        target = min(self.addresses, key=lambda name: self._turns.get(name, 0))
        self._turns[target] = self._count = self._count + 1
        self._sent[target] = self._sent.get(target, 0) + 1
        history = self.histories.setdefault(target, LinkHistory(self._server, target))
        try:
            async with self._turn:
                byte_count = history.next_byte_count()
                seconds = await self._connect(target, self.addresses[target])(byte_count)
        except DeadlineExceededError:
            return self._rest(PROBE_TIMEOUT_SECONDS)
        except PartitaError as error:
            logger.debug("the link to %s was not measured: %s", target, error)
            return LEAST_REST_SECONDS
        history.add(byte_count, seconds, time.time())
        if history.complete and self._sent[target] % REPORT_EVERY == 0:
            try:
                await self._report([history.estimate()])
            except PartitaError as error:
                logger.debug("the link to %s was not reported: %s", target, error)
        return self._rest(seconds)

    def _rest(self, seconds: float) -> float:
        return max(LEAST_REST_SECONDS, seconds * (1 / self._budget - 1))
