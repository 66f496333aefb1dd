"""The sending end, a process of its own: ``python -m bench.transport.sending``, arguments as JSON on its input."""

import asyncio
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.transport.compression import tensors
from bench.transport.raw_socket import RawSocket
from core.deployment import RequestKey
from core.tensors import Array
from profilers.compression import measure_tensor
from services.runtime import direct_polling  # noqa: F401 - before gRPC is loaded
from services.runtime.shaping import LinkShaper
from services.transport.allocator import keep_message_memory
from services.transport.sender import TensorSender, Way

KEY = RequestKey("bench", 1, "0123456789abcdef0123456789abcdef.01234567")
"""Of all tensors; as long as those of requests are."""

SHARED = "shared_memory"


@dataclass(frozen=True)
class Task:
    """What to time.

    Attributes:
        raw: address of the raw socket.
        tensors: address of the receiver.
        sizes: bytes, and how often each is sent.
        shared_memory: time shared memory too.
        rest_seconds: before each transfer, so that none finds more or less room on the link than another.
        core: to run on.
        compression_rounds: how often tensors are sent as they are and compressed.
    """

    raw: str
    tensors: str
    sizes: tuple[tuple[int, int], ...]
    shared_memory: bool
    rest_seconds: float
    core: int
    compression_rounds: int


Times = dict[str, dict[int, list[float]]]
"""Way → bytes → seconds of each transfer and its reply.

``raw``, ``stream`` (a socket), ``grpc``, and ``shared_memory`` with tensors made there, as components make theirs, and
with others (``shared_memory_written``).
"""


async def measure(task: Task) -> Times:
    """Send every size every way, in turns."""
    raw = RawSocket(task.raw)
    ways = {"stream": Way.SOCKET, "grpc": Way.GRPC}
    if task.shared_memory:
        ways |= {SHARED: Way.SHARED_MEMORY, f"{SHARED}_written": Way.SHARED_MEMORY}
    senders = {name: TensorSender(LinkShaper(()), way) for name, way in ways.items()}
    times: Times = {name: {size: [] for size, _ in task.sizes} for name in ("raw", *ways)}
    try:
        for size, rounds in task.sizes:
            ordinary = np.full(size, 85, np.uint8)
            for number in range(rounds + 1):
                # The first of each size finds out what the way bears, and makes memory.
                await asyncio.sleep(task.rest_seconds)
                found = {"raw": _timed(raw, ordinary.data)}
                for name, sender in senders.items():
                    array = _made_there(sender, task.tensors, ordinary) if name == SHARED else ordinary
                    await asyncio.sleep(task.rest_seconds)
                    start = time.perf_counter()
                    await sender.to_inferencer("peer", task.tensors, KEY, "tensor", array)
                    found[name] = time.perf_counter() - start
                for name, seconds in found.items():
                    if number:
                        times[name][size].append(seconds)
    finally:
        raw.close()
        for sender in senders.values():
            await sender.close()
    return times


async def measure_compression(task: Task) -> dict[str, dict[str, Any]]:
    """Send tensors of several kinds as they are and compressed, in turns; as ``bench.transport.compression.Sent``."""
    found = {}
    sender = TensorSender(LinkShaper(()), Way.SOCKET)
    try:
        for kind, array in tensors().items() if task.compression_rounds else ():
            times: dict[bool, list[float]] = {False: [], True: []}
            for number in range(task.compression_rounds + 1):
                for compress, taken in times.items():
                    await asyncio.sleep(task.rest_seconds)
                    start = time.perf_counter()
                    await sender.to_inferencer("peer", task.tensors, KEY, "tensor", array, compress)
                    if number:
                        taken.append(time.perf_counter() - start)
            found[kind] = {
                "byte_count": array.nbytes,
                "known": asdict(measure_tensor(array)),
                "plain": times[False],
                "compressed": times[True],
            }
    finally:
        await sender.close()
    return found


def _made_there(sender: TensorSender, address: str, array: Array) -> Array:
    """The array in memory that the receiver sees too, once that is known."""
    memory = sender.memory_for("peer", address, array.nbytes)
    if memory is None:
        return array
    memory[:] = array
    return memory


def _timed(raw: RawSocket, data: memoryview) -> float:
    start = time.perf_counter()
    raw.send(data)
    return time.perf_counter() - start


def to_json(task: Task) -> str:
    """As the process reads it."""
    return json.dumps(asdict(task))


def main() -> None:
    """Measure what standard input asks for, and print the times."""
    given = json.load(sys.stdin)
    task = Task(**{**given, "sizes": tuple(map(tuple, given["sizes"]))})
    os.sched_setaffinity(0, {task.core})
    keep_message_memory()
    times, compression = asyncio.run(measure(task)), asyncio.run(measure_compression(task))
    print(json.dumps({"times": times, "compression": compression}))


if __name__ == "__main__":
    main()
