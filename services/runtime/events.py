"""Streams of progress that end in a result, on both sides of a call."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from core.progress import Progress

T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """Fraction done, 0 to 1, and what is being done."""

    fraction: float
    message: str


async def events(work: Callable[[Progress], Awaitable[T]]) -> AsyncIterator[Step | T]:
    """Run ``work`` and yield its progress as it comes, then its result. Closing the iterator cancels it.

    A reader that is slow sees only the newest step: progress never queues up.
    """
    newest: Step | None = None
    changed = asyncio.Event()

    def progress(fraction: float, message: str) -> None:
        nonlocal newest
        newest = Step(fraction, message)
        changed.set()

    async def run() -> T:
        try:
            return await work(progress)
        finally:
            changed.set()

    task = asyncio.create_task(run())
    try:
        while not task.done():
            await changed.wait()
            changed.clear()
            if newest is not None:
                step, newest = newest, None
                yield step
        yield task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
