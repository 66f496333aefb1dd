"""Measures one link: tiny round trips, then transfers of growing size, over the transport that tensors take."""

import time
from collections.abc import Awaitable, Callable, Iterator

from core.problem import Link
from partita.v1 import server_monitor_pb2, server_monitor_pb2_grpc
from profilers.links import estimate_link
from services.runtime.errors import typed_errors
from services.runtime.shaping import LinkShaper
from services.runtime.streams import chunks

CALL_TIMEOUT_SECONDS = 10.0

ROUND_TRIPS = 9
"""Tiny transfers whose times give the round trip."""

PROBE_BYTES = (2**16, 2**19, 2**21)
"""Sizes whose times give the throughput."""

REPEATS = 3
"""How often each size is sent, as far as the budget goes."""

BUDGET_SECONDS = 4.5
"""What a link's transfers may take together: none is begun that would presumably exceed it."""


async def measure_link(
    stub: server_monitor_pb2_grpc.ServerMonitorStub, shaper: LinkShaper, source: str, target: str
) -> Link:
    """Measure the link from ``source``, this server, to ``target``, whose monitor ``stub`` reaches.

    Raises:
        ServerUnavailableError: the target cannot be reached.
        DeadlineExceededError: a transfer took longer than ``CALL_TIMEOUT_SECONDS``.
    """

    async def send(byte_count: int) -> float:
        start = time.perf_counter()
        with typed_errors(f"server {target!r}"):
            async with shaper.round_trip(target):
                await stub.Probe(shaper.paced(target, _requests(byte_count), _size), timeout=CALL_TIMEOUT_SECONDS)
        return time.perf_counter() - start

    # Opens the connection.
    await send(1)
    round_trips, transfers = await measurements(send)
    return estimate_link(source, target, round_trips, transfers)


async def measurements(send: Callable[[int], Awaitable[float]]) -> tuple[list[float], list[tuple[int, float]]]:
    """Choose sizes as the link turns out to be, within ``BUDGET_SECONDS``.

    Args:
        send: sends so many bytes and returns the seconds until the reply came.

    Returns:
        Seconds of round trips; bytes and seconds of transfers. At least one of each.
    """
    round_trips = [await send(1)]
    while len(round_trips) < ROUND_TRIPS and sum(round_trips) < BUDGET_SECONDS / 4:
        round_trips.append(await send(1))
    transfers = [(PROBE_BYTES[0], await send(PROBE_BYTES[0]))]
    spent_seconds = sum(round_trips) + transfers[0][1]
    for byte_count in [size for size in PROBE_BYTES for _ in range(REPEATS)][1:]:
        last_byte_count, last_seconds = transfers[-1]
        if spent_seconds + last_seconds * byte_count / last_byte_count > BUDGET_SECONDS:
            break
        transfers.append((byte_count, await send(byte_count)))
        spent_seconds += transfers[-1][1]
    return round_trips, transfers


def _requests(byte_count: int) -> Iterator[server_monitor_pb2.ProbeRequest]:
    for chunk in chunks(bytes(byte_count)):
        yield server_monitor_pb2.ProbeRequest(chunk=chunk)


def _size(request: server_monitor_pb2.ProbeRequest) -> int:
    return len(request.chunk.data)
