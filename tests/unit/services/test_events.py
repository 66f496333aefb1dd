import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from core.errors import InternalError, NotFoundError
from core.progress import Progress, no_progress
from partita.v1 import optimizer_pb2, types_pb2
from services.runtime.events import Step, events, responses, result_of


async def test_progress_comes_before_the_result() -> None:
    async def work(progress: Progress) -> str:
        progress(0.25, "first")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        progress(0.5, "second")
        return "result"

    assert [event async for event in events(work)] == [Step(0.25, "first"), Step(0.5, "second"), "result"]


async def test_a_slow_reader_sees_only_the_newest_step() -> None:
    go_on = asyncio.Event()

    async def work(progress: Progress) -> str:
        progress(0.0, "begin")
        await go_on.wait()
        for index in range(1, 1000):
            progress(index / 1000, str(index))
        return "result"

    async with aclosing(events(work)) as stream:
        assert await anext(stream) == Step(0.0, "begin")
        go_on.set()
        for _ in range(5):
            await asyncio.sleep(0)
        *steps, result = [event async for event in stream]
    assert result == "result"
    assert steps in ([], [Step(0.999, "999")])


async def test_no_progress_at_all() -> None:
    async def work(progress: Progress) -> None:
        await asyncio.sleep(0)

    assert [event async for event in events(work)] == [None]


async def test_an_error_ends_the_stream_as_itself() -> None:
    async def work(progress: Progress) -> None:
        progress(0.5, "half")
        raise NotFoundError("no such model")

    async with aclosing(events(work)) as stream:
        assert await anext(stream) == Step(0.5, "half")
        with pytest.raises(NotFoundError, match="no such model"):
            await anext(stream)


async def test_closing_cancels_the_work_and_waits_for_its_end() -> None:
    ended = asyncio.Event()

    async def work(progress: Progress) -> None:
        progress(0.1, "begun")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    stream = events(work)
    await anext(stream)
    await stream.aclose()
    assert ended.is_set()


async def test_cancelling_the_reader_cancels_the_work() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work(progress: Progress) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def read() -> None:
        async for _ in responses(work, lambda step: step, lambda _: types_pb2.Progress()):
            pass

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


class Call:
    """A call that is answered by the stream of a handler."""

    def __init__(self, responses: AsyncIterator[optimizer_pb2.OptimizeResponse]) -> None:
        self._responses = responses
        self.cancelled = False

    def __aiter__(self) -> AsyncIterator[optimizer_pb2.OptimizeResponse]:
        return self._responses

    def cancel(self) -> bool:
        self.cancelled = True
        return True


async def test_the_client_gets_progress_and_result() -> None:
    async def work(progress: Progress) -> str:
        progress(0.5, "half")
        return "plan"

    steps: list[tuple[float, str]] = []
    stream = responses(
        work,
        lambda step: optimizer_pb2.OptimizeResponse(progress=step),
        lambda plan: optimizer_pb2.OptimizeResponse(plan=plan),
    )
    assert (await result_of(Call(stream), lambda *step: steps.append(step))).plan == "plan"
    assert steps == [(0.5, "half")]


async def test_a_stream_without_result_is_an_error() -> None:
    async def half() -> AsyncIterator[optimizer_pb2.OptimizeResponse]:
        yield optimizer_pb2.OptimizeResponse(progress=types_pb2.Progress(fraction=0.5, message="half"))

    with pytest.raises(InternalError, match="without a result"):
        await result_of(Call(half()), no_progress)


async def test_the_call_ends_with_its_reader() -> None:
    def stop(fraction: float, message: str) -> None:
        raise KeyError(message)

    async def half() -> AsyncIterator[optimizer_pb2.OptimizeResponse]:
        yield optimizer_pb2.OptimizeResponse(progress=types_pb2.Progress(fraction=0.5, message="half"))

    call = Call(half())
    with pytest.raises(KeyError, match="half"):
        await result_of(call, stop)
    assert call.cancelled
