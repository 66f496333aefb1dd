"""Measures one link: tiny round trips, then transfers of growing size, on the very way that tensors take.

That way begins and ends in the threads in which components run, and caches are full of what these computed: a bare
round trip from event loop to event loop, right after another, takes a millisecond less. Half of it is the reply.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import numpy as np

from core.deployment import RequestKey
from core.tensors import Array
from partita.v1.tensor_transport_pb2 import DESTINATION_SERVER_MONITOR
from profilers.link_history import BARE_BYTES, KEPT, PROBE_BYTES, TINY_BYTES, LinkHistory
from services.transport.arrivals import Sink
from services.transport.receiver import TensorReceiver
from services.transport.sender import TensorSender

ROUND_TRIPS = 9
"""Tiny transfers whose times give the round trip."""

LEAST_ROUNDS, MOST_ROUNDS = 3, KEPT
"""How often each size is sent, in turns, so that a busy moment does not meet one size alone."""

ENOUGH_SECONDS = 2.0
"""After so long no size is sent more often than needed."""

BUDGET_SECONDS = 4.5
"""What a link's transfers and the pauses before them may take together: none is begun that would likely exceed it."""

PAUSE_SECONDS = 0.03
"""Before each transfer: what a server does first after a while is slower, and components take as long."""

COMPUTED_BYTES = 2**23
"""Written before each transfer, as components write their tensors: of what was in the caches little is left then."""

Send = Callable[[int], Awaitable[float]]
"""Sends so many bytes and returns the seconds until the reply came."""


def probe(sender: TensorSender, target: str, address: str) -> Send:
    """A way to send to the monitor of ``target`` at ``address``.

    It raises ServerUnavailableError where the target cannot be reached, and DeadlineExceededError where it does not
    answer in time.
    """

    async def send(byte_count: int) -> float:
        tensor: Array = np.empty(0, np.uint8)
        start = time.perf_counter()
        if byte_count != BARE_BYTES:
            await asyncio.sleep(PAUSE_SECONDS)
            tensor, start = await asyncio.to_thread(_made, byte_count)
        await sender.to_monitor(target, address, tensor)
        return time.perf_counter() - start

    return send


def take_probes(receiver: TensorReceiver) -> None:
    """Let ``receiver`` take probes as they are meant to be taken."""
    receiver.sinks[DESTINATION_SERVER_MONITOR] = Sink(lambda *_: None, _take)


async def _take(_key: RequestKey, _name: str, tensor: Array) -> None:
    """Take a probe as a component is begun when its last tensor has come; a bare one at once."""
    if tensor.nbytes:
        await asyncio.to_thread(lambda: None)


def _made(byte_count: int) -> tuple[Array, float]:
    """A tensor, and when it was made."""
    np.full(COMPUTED_BYTES, 85, np.uint8)
    # Filled: pages that were never written would all be one and the same, and quicker to read than any tensor.
    return np.full(byte_count, 85, np.uint8), time.perf_counter()


async def measure_link(send: Send, source: str, target: str) -> LinkHistory:
    """Measure the link from ``source``, this server, to ``target``."""
    # Opens the connection.
    await send(TINY_BYTES)
    history = LinkHistory(source, target)
    for byte_count, seconds in await measurements(send):
        history.add(byte_count, seconds, time.time())
    return history


async def measurements(send: Send) -> list[tuple[int, float]]:
    """Choose sizes as the link turns out to be, within ``BUDGET_SECONDS``.

    Returns:
        Bytes and seconds: at least one round trip of either kind and one transfer. The first round, in which a
        connection has yet to find out what the way bears, is left out where others of the same size were made.
    """
    probing = _Probing(send)
    while len(probing.found) < 2 * ROUND_TRIPS and probing.spent < BUDGET_SECONDS / 4:
        await probing.add(TINY_BYTES)
        await probing.add(BARE_BYTES)
    round_trip = statistics.median(seconds for size, seconds in probing.found if size == TINY_BYTES)
    tiny = len(probing.found)
    await probing.go_round(round_trip)
    cold, probing.found = probing.found[tiny:], probing.found[:tiny]
    for done in range(MOST_ROUNDS):
        if done >= LEAST_ROUNDS and probing.spent > ENOUGH_SECONDS:
            break
        await probing.go_round(round_trip)
    measured = {size for size, _ in probing.found}
    return [*probing.found, *(one for one in cold if one[0] not in measured)]


class _Probing:
    """Transfers so far, and what the next ones will take.

    Attributes:
        found: bytes and seconds.
        spent: seconds of all transfers, with the pauses before them.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._latest: dict[int, float] = {}
        self.found: list[tuple[int, float]] = []
        self.spent = 0.0

    async def add(self, byte_count: int) -> float:
        """Make a transfer; returns its seconds."""
        seconds = await self._send(byte_count)
        self.found.append((byte_count, seconds))
        self.spent += seconds + (0.0 if byte_count == BARE_BYTES else PAUSE_SECONDS)
        return seconds

    async def go_round(self, round_trip: float) -> None:
        """Send each size once, from the smallest to the largest that the budget has room for."""
        for index, byte_count in enumerate(PROBE_BYTES):
            expected = self._latest.get(byte_count, 0.0)
            if index and not expected:
                # Beyond the round trip at most in proportion to the size before it; and it will be sent several times.
                smaller = PROBE_BYTES[index - 1]
                growth = max(0.0, self._latest[smaller] - round_trip) * byte_count / smaller
                expected = (1 + LEAST_ROUNDS) * (round_trip + growth)
            if self._latest and self.spent + expected > BUDGET_SECONDS:
                return
            self._latest[byte_count] = await self.add(byte_count)
