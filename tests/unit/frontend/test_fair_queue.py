"""Turns between deployments, bounded waiting, and that nothing leaks whatever ends a request."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BusyError, NotFoundError
from frontend.concurrency_limit import RESERVE, ConcurrencyLimit
from frontend.fair_queue import FairQueue, Place


class Requests:
    """Requests that end when a test says so; ``order`` is that of their turns."""

    def __init__(self, queue: FairQueue) -> None:
        self.queue = queue
        self.order: list[str] = []
        self.places: dict[str, Place] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def _request(self, name: str) -> None:
        async with self.queue.place(name[0]) as place:
            self.places[name] = place
            await place.wait()
            self.order.append(name)
            await self._ends[name].wait()
            place.answered()

    async def come(self, *names: str) -> None:
        for name in names:
            self._ends[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._request(name))
            await settled()

    async def end(self, *names: str) -> None:
        for name in names:
            self._ends[name].set()
            await self.tasks[name]
            await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def queue_of(most_in_flight: int, most_waiting: int, *deployments: str) -> FairQueue:
    queue = FairQueue(most_in_flight, most_waiting)
    for name in deployments:
        queue.open(name, ConcurrencyLimit(100, 100))
    return queue


async def test_deployments_take_turns() -> None:
    requests = Requests(queue_of(1, 10, "a", "b"))
    await requests.come("a1", "a2", "a3", "a4", "b1", "b2")
    for index in range(6):
        await requests.end(requests.order[index])
    assert requests.order == ["a1", "b1", "a2", "b2", "a3", "a4"]


async def test_a_deployment_keeps_to_its_own_limit() -> None:
    queue = FairQueue(100, 100)
    queue.open("a", ConcurrencyLimit(0.0, 100))
    queue.open("b", ConcurrencyLimit(0.0, 1))
    requests = Requests(queue)
    await requests.come(*(f"a{index}" for index in range(5)), "b0", "b1")
    assert requests.order == [*(f"a{index}" for index in range(RESERVE)), "b0"]
    await requests.end("b0")
    assert requests.order[-1] == "b1"
    queue.open("a", ConcurrencyLimit(100, 100))
    await settled()
    assert set(requests.order) >= {f"a{index}" for index in range(5)}
    await requests.end("b1", *(f"a{index}" for index in range(5)))


async def test_what_waits_is_bounded_and_the_longest_line_gives_way() -> None:
    requests = Requests(queue_of(1, 4, "a", "b"))
    await requests.come("a0", "a1", "a2", "a3", "a4", "a5")
    with pytest.raises(BusyError, match="1 requests are in flight and 4 wait") as caught:
        await requests.tasks["a5"]
    assert caught.value.retry_after_seconds
    await requests.come("b1", "b2")
    for name in ("a4", "a3"):
        with pytest.raises(BusyError):
            await requests.tasks[name]
    await requests.come("b3")
    with pytest.raises(BusyError):
        await requests.tasks["b3"]
    await requests.end("a0")
    while len(requests.order) < 5:
        await requests.end(requests.order[-1])
    assert sorted(requests.order) == ["a0", "a1", "a2", "b1", "b2"]
    await requests.end(requests.order[-1])


async def test_the_hint_follows_the_answer_rate() -> None:
    now = 0.0
    queue = FairQueue(1, 4, lambda: now)
    queue.open("a", ConcurrencyLimit(1, 1))
    requests = Requests(queue)
    await requests.come("a0", "a1", "a2", "a3", "a4")
    for name in ("a0", "a1", "a2", "a3"):
        now += 0.5
        await requests.end(name)
    await requests.come("a5", "a6", "a7", "a8", "a9")
    with pytest.raises(BusyError) as caught:
        await requests.tasks["a9"]
    # Half of the four that wait, and this one, at two a second.
    assert caught.value.retry_after_seconds == pytest.approx(1.5)
    await requests.end("a4", "a5", "a6", "a7", "a8")


@pytest.mark.parametrize("waiting", [True, False])
async def test_cancelled_requests_leave_their_places(waiting: bool) -> None:
    requests = Requests(queue_of(1, 1, "a"))
    await requests.come("a0", "a1")
    name = "a1" if waiting else "a0"
    requests.tasks[name].cancel()
    with pytest.raises(asyncio.CancelledError):
        await requests.tasks[name]
    await requests.come("a2")
    await requests.end("a0" if waiting else "a1", "a2")


async def test_a_turn_given_to_a_cancelled_request_passes_on() -> None:
    requests = Requests(queue_of(1, 2, "a"))
    await requests.come("a0", "a1", "a2")
    requests.tasks["a1"].cancel()
    await requests.end("a0")
    assert requests.order == ["a0", "a2"]
    await requests.end("a2")


async def test_those_that_wait_are_told_when_their_deployment_ends() -> None:
    queue = queue_of(1, 4, "a", "b")
    requests = Requests(queue)
    await requests.come("a0", "a1", "b1")
    async with AsyncExitStack() as reading:
        place = await reading.enter_async_context(queue.place("a"))
        queue.close("a")
        queue.close("a")
        with pytest.raises(NotFoundError, match="'a' has ended"):
            await requests.tasks["a1"]
        with pytest.raises(NotFoundError, match="'a' has ended"):
            await place.wait()
    await requests.end("a0")
    assert requests.order == ["a0", "b1"]
    await requests.end("b1")


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["come", "end", "cancel", "close", "open"]), st.integers(0, 30)), max_size=60
)


@given(OPERATIONS, st.integers(1, 4), st.integers(1, 5))
def test_whatever_happens_bounds_hold_and_places_come_back(
    operations: list[tuple[str, int]], most_in_flight: int, most_waiting: int
) -> None:
    async def scenario() -> None:
        queue = FairQueue(most_in_flight, most_waiting)
        limits = {"a": ConcurrencyLimit(0.0, 2), "b": ConcurrencyLimit(100, 100)}
        for name, limit in limits.items():
            queue.open(name, limit)
        requests = Requests(queue)
        for number, (operation, choice) in enumerate(operations):
            deployment = "ab"[choice % 2]
            living = [name for name, task in requests.tasks.items() if not task.done()]
            if operation == "come" and deployment in queue._lines:
                await requests.come(f"{deployment}{number}")
            elif operation == "cancel" and living:
                requests.tasks[living[choice % len(living)]].cancel()
                await settled()
            elif operation == "end" and (going := [name for name in requests.order if name in living]):
                await requests.end(going[choice % len(going)])
            elif operation == "close":
                queue.close(deployment)
            elif operation == "open":
                queue.open(deployment, limits[deployment])
            assert 0 <= queue._in_flight <= most_in_flight
            assert 0 <= queue._waiting <= most_waiting
            # Nobody waits who could go.
            for line in queue._lines.values():
                free = queue._in_flight < most_in_flight and line.in_flight < line.limit.value
                assert not (free and line.queued)
        for task in requests.tasks.values():
            task.cancel()
        outcomes = await asyncio.gather(*requests.tasks.values(), return_exceptions=True)
        for outcome in outcomes:
            assert outcome is None or isinstance(outcome, (asyncio.CancelledError, BusyError, NotFoundError))
        assert (queue._in_flight, queue._waiting) == (0, 0)
        assert all((line.in_flight, line.waiting, len(line.queued)) == (0, 0, 0) for line in queue._lines.values())

    asyncio.run(scenario())
