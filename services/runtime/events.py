"""Streams of progress that end in a result, on both sides of a call."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from core.errors import InternalError
from core.progress import Progress
from partita.v1 import types_pb2
from services.runtime.calls import ResponseStream, reading

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Step:
    """Fraction done, 0 to 1, and what is being done."""

    fraction: float
    message: str


async def events(work: Callable[[Progress], Awaitable[T]]) -> AsyncGenerator[Step | T]:
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


async def responses(
    work: Callable[[Progress], Awaitable[T]],
    on_progress: Callable[[types_pb2.Progress], R],
    on_result: Callable[[T], R],
) -> AsyncGenerator[R]:
    """Run ``work`` and yield its progress and then its result as response messages."""
    async with aclosing(events(work)) as stream:
        async for event in stream:
            if isinstance(event, Step):
                yield on_progress(types_pb2.Progress(fraction=event.fraction, message=event.message))
            else:
                yield on_result(event)


async def result_of(call: ResponseStream[R], progress: Progress) -> R:
    """Read such a stream at the client to its end: pass its progress on and return the message that is the result.

    Raises:
        InternalError: the stream ended without one.
    """
    result: R | None = None
    event: Any
    with reading(call):
        async for event in call:
            if event.HasField("progress"):
                progress(event.progress.fraction, event.progress.message)
            else:
                result = event
    if result is None:
        raise InternalError("the call ended without a result; see the server's log")
    return result
