"""The sending end, a process of its own: ``python -m bench.transport.sending``, arguments as JSON on its input."""

import asyncio
import json
import os
import sys
import time
from dataclasses import asdict, dataclass

import numpy as np

from bench.transport.raw_socket import RawSocket
from services.runtime.shaping import LinkShaper
from services.transport.allocator import keep_message_memory
from services.transport.sender import TensorSender, Way


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
    """

    raw: str
    tensors: str
    sizes: tuple[tuple[int, int], ...]
    shared_memory: bool
    rest_seconds: float
    core: int


Times = dict[str, dict[int, list[float]]]
"""``raw``, ``stream`` and ``shared_memory`` → bytes → seconds of each transfer, its reply included."""


async def measure(task: Task) -> Times:
    """Send every size every way, in turns."""
    raw = RawSocket(task.raw)
    ways = {"stream": Way.STREAM} | ({"shared_memory": Way.SHARED_MEMORY} if task.shared_memory else {})
    senders = {name: TensorSender(LinkShaper(()), way) for name, way in ways.items()}
    times: Times = {name: {size: [] for size, _ in task.sizes} for name in ("raw", *ways)}
    try:
        for size, rounds in task.sizes:
            array = np.full(size, 85, np.uint8)
            for number in range(rounds + 1):
                # The first of each size finds out what the way bears, and makes memory.
                await asyncio.sleep(task.rest_seconds)
                found = {"raw": _timed(raw, array.data)}
                for name, sender in senders.items():
                    await asyncio.sleep(task.rest_seconds)
                    start = time.perf_counter()
                    await sender.to_monitor("peer", task.tensors, array)
                    found[name] = time.perf_counter() - start
                for name, seconds in found.items():
                    if number:
                        times[name][size].append(seconds)
    finally:
        raw.close()
        for sender in senders.values():
            await sender.close()
    return times


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
    print(json.dumps(asyncio.run(measure(task))))


if __name__ == "__main__":
    main()
