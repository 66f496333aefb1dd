"""Who runs with whom, and what happens to those who do not get their turn."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from core.buffers import Memory
from core.errors import ServerUnavailableError
from core.tensors import Array
from inferencer.line import Line, Ran


class Doubling:
    """Stands in for a session: doubles ``x``, when it is let, and notes who ran together."""

    def __init__(self) -> None:
        self.ran: list[list[int]] = []
        self.open = threading.Event()
        self.started = threading.Event()

    def run_together(
        self, requests: Sequence[Mapping[str, Array]], memory: Memory | None = None
    ) -> list[dict[str, Array]]:
        numbers = [int(one["x"][0]) for one in requests]
        self.ran.append(numbers)
        self.started.set()
        assert self.open.wait(30)
        if -1 in numbers:
            raise ValueError("no negative ones")
        return [{"y": 2 * one["x"]} for one in requests]


class Case:
    def __init__(self, most: int) -> None:
        self.executor = ThreadPoolExecutor(1)
        self.session = Doubling()
        self.line = Line("edge", self.executor, self.session, most)  # type: ignore[arg-type]

    async def asked(self, number: int, alone: bool = False) -> asyncio.Task[Ran]:
        task = asyncio.create_task(self.line.run({"x": np.array([number])}, alone=alone))
        await asyncio.sleep(0)
        return task

    async def busy(self) -> asyncio.Task[Ran]:
        """Request 0 runs; what comes now waits."""
        task = await self.asked(0)
        assert await asyncio.to_thread(self.session.started.wait, 30)
        return task


async def answered(case: Case, tasks: Sequence[asyncio.Task[Ran]]) -> list[tuple[int, int]]:
    case.session.open.set()
    return [(int(ran.outputs["y"][0]), ran.together) for ran in await asyncio.gather(*tasks)]


async def test_what_waits_runs_together_up_to_the_limit_in_order() -> None:
    case = Case(3)
    tasks = [await case.busy(), *[await case.asked(number) for number in range(1, 6)]]
    assert await answered(case, tasks) == [(0, 1), (2, 3), (4, 3), (6, 3), (8, 2), (10, 2)]
    assert case.session.ran == [[0], [1, 2, 3], [4, 5]]


async def test_with_a_limit_of_one_each_runs_alone() -> None:
    case = Case(1)
    tasks = [await case.busy(), *[await case.asked(number) for number in (1, 2)]]
    assert await answered(case, tasks) == [(0, 1), (2, 1), (4, 1)]


async def test_a_request_may_ask_to_be_alone() -> None:
    case = Case(8)
    tasks = [await case.busy(), await case.asked(1), await case.asked(2, alone=True), await case.asked(3)]
    tasks.append(await case.asked(4))
    await answered(case, tasks)
    assert case.session.ran == [[0], [1], [2], [3, 4]]


async def test_one_request_s_error_is_its_own() -> None:
    case = Case(8)
    tasks = [await case.busy(), *[await case.asked(number) for number in (1, -1, 2)]]
    case.session.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[2], ValueError)
    assert [int(one.outputs["y"][0]) for one in results if isinstance(one, Ran)] == [0, 2, 4]


async def test_who_is_cancelled_in_line_does_not_run_and_holds_nothing() -> None:
    case = Case(8)
    first = await case.busy()
    tasks = [await case.asked(number) for number in (1, 2, 3)]
    tasks[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    assert not case.line._waiting[1].inputs
    assert await answered(case, [first, tasks[0], tasks[2]]) == [(0, 1), (2, 2), (6, 2)]
    assert case.session.ran == [[0], [1, 3]]


async def test_who_is_cancelled_while_running_leaves_the_others_their_answers() -> None:
    case = Case(8)
    first = await case.busy()
    tasks = [await case.asked(number) for number in (1, 2)]
    case.session.started.clear()
    case.session.open.set()
    await first
    case.session.open.clear()
    tasks[0].cancel()
    case.session.open.set()
    assert (await tasks[1]).outputs["y"][0] == 4


async def test_when_a_server_stops_those_in_line_are_told() -> None:
    case = Case(8)
    first = await case.busy()
    waiting = await case.asked(1)
    case.executor.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(ServerUnavailableError, match="'edge' is stopping"):
        await waiting
    with pytest.raises(ServerUnavailableError, match="'edge' is stopping"):
        await (await case.asked(2))
    assert await answered(case, [first]) == [(0, 1)]
