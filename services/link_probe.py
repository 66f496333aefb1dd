"""Measures one link: tiny round trips, then transfers of growing size, on the very way that tensors take."""

import time
from collections.abc import Awaitable, Callable

import numpy as np

from core.tensors import Array
from profilers.link_history import KEPT, PROBE_BYTES, TINY_BYTES, LinkHistory
from services.transfers import TensorSender

ROUND_TRIPS = 9
"""Tiny transfers whose times give the round trip."""

LEAST_ROUNDS, MOST_ROUNDS = 3, KEPT
"""How often each size is sent, in turns, so that a busy moment does not meet one size alone."""

ENOUGH_SECONDS = 1.0
"""After so long there are no more rounds than the least."""

BUDGET_SECONDS = 4.5
"""What a link's transfers may take together: none is begun that would presumably exceed it."""

Send = Callable[[int], Awaitable[float]]
"""Sends so many bytes and returns the seconds until the reply came."""


def probe(sender: TensorSender, target: str, address: str) -> Send:
    """A way to send to the monitor of ``target`` at ``address``.

    It raises ServerUnavailableError where the target cannot be reached, and DeadlineExceededError where it does not
    answer in time.
    """

    async def send(byte_count: int) -> float:
        tensor = _tensor(byte_count)
        start = time.perf_counter()
        await sender.to_monitor(target, address, tensor)
        return time.perf_counter() - start

    return send


def _tensor(byte_count: int) -> Array:
    # Filled: pages that were never written would all be one and the same, and quicker to read than any tensor.
    return np.full(byte_count, 85, np.uint8)


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
        Bytes and seconds: at least one round trip of ``TINY_BYTES`` and one transfer.
    """
    found: list[tuple[int, float]] = []
    spent = 0.0

    async def add(byte_count: int) -> float:
        nonlocal spent
        seconds = await send(byte_count)
        found.append((byte_count, seconds))
        spent += seconds
        return seconds

    while len(found) < ROUND_TRIPS and spent < BUDGET_SECONDS / 4:
        await add(TINY_BYTES)
    latest: dict[int, float] = {}
    for byte_count in PROBE_BYTES:
        # At most in proportion to the size before it.
        expected = min((seconds * byte_count / size for size, seconds in latest.items()), default=0.0)
        if latest and spent + expected + (LEAST_ROUNDS - 1) * (sum(latest.values()) + expected) > BUDGET_SECONDS:
            break
        latest[byte_count] = await add(byte_count)
    for done in range(1, MOST_ROUNDS):
        for byte_count, seconds in latest.items():
            if spent + seconds > BUDGET_SECONDS or (done >= LEAST_ROUNDS and spent > ENOUGH_SECONDS):
                return found
            latest[byte_count] = await add(byte_count)
    return found
