"""One name, one piece of work, however many callers."""

import asyncio
import gc

import pytest

from core.errors import BusyError
from frontend.single_flight import SingleFlight


class Work:
    def __init__(self, error: Exception | None = None) -> None:
        self.begun = 0
        self.cleaned = 0
        self.go = asyncio.Event()
        self.error = error

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        try:
            await self.go.wait()
        finally:
            await asyncio.sleep(0)
            self.cleaned += 1
        if self.error is not None:
            raise self.error
        return number


async def called(flights: SingleFlight[int], work: Work, count: int) -> "list[asyncio.Task[int]]":
    tasks = [asyncio.create_task(flights.run("x", work)) for _ in range(count)]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_callers_share_work_under_way_and_later_ones_begin_anew() -> None:
    flights: SingleFlight[int] = SingleFlight()
    work = Work()
    tasks = await called(flights, work, 3)
    other = asyncio.create_task(flights.run("y", Work()))
    await asyncio.sleep(0)
    assert len(flights) == 2
    work.go.set()
    assert await asyncio.gather(*tasks) == [1, 1, 1]
    assert await flights.run("x", work) == 2
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    assert len(flights) == 0


async def test_all_callers_get_the_error() -> None:
    flights: SingleFlight[int] = SingleFlight()
    work = Work(BusyError("full"))
    tasks = await called(flights, work, 2)
    work.go.set()
    for task in tasks:
        with pytest.raises(BusyError, match="full"):
            await task
    assert len(flights) == 0


async def test_work_ends_with_its_last_caller() -> None:
    flights: SingleFlight[int] = SingleFlight()
    work = Work()
    first, second = await called(flights, work, 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert len(flights) == 1
    assert not work.cleaned
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert work.cleaned == 1
    assert len(flights) == 0


async def test_an_error_that_comes_as_the_last_caller_leaves_is_nobodys() -> None:
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    flights: SingleFlight[int] = SingleFlight()
    work = Work(BusyError("full"))

    async def failing() -> int:
        result = asyncio.create_task(work())
        work.go.set()
        return await result

    (caller,) = [asyncio.create_task(flights.run("x", failing))]
    while not work.cleaned:
        await asyncio.sleep(0)
    while len(flights):
        await asyncio.sleep(0)
    # The work has failed, and its caller does not know yet.
    caller.cancel()
    await asyncio.wait([caller])
    del caller
    gc.collect()
    assert complaints == []
