"""Measures one link: tiny round trips, then transfers of growing size, on the very way that tensors take."""

import time
from collections.abc import Awaitable, Callable

import numpy as np

from core.tensors import Array
from profilers.link_history import PROBE_BYTES, TINY_BYTES, LinkHistory
from services.transfers import TensorSender

ROUND_TRIPS = 9
"""Tiny transfers whose times give the round trip."""

REPEATS = 3
"""How often each size is sent, as far as the budget goes."""

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
    round_trips = [await send(TINY_BYTES)]
    while len(round_trips) < ROUND_TRIPS and sum(round_trips) < BUDGET_SECONDS / 4:
        round_trips.append(await send(TINY_BYTES))
    transfers = [(PROBE_BYTES[0], await send(PROBE_BYTES[0]))]
    spent_seconds = sum(round_trips) + transfers[0][1]
    for byte_count in [size for size in PROBE_BYTES for _ in range(REPEATS)][1:]:
        last_byte_count, last_seconds = transfers[-1]
        if spent_seconds + last_seconds * byte_count / last_byte_count > BUDGET_SECONDS:
            break
        transfers.append((byte_count, await send(byte_count)))
        spent_seconds += transfers[-1][1]
    return [*((TINY_BYTES, seconds) for seconds in round_trips), *transfers]
