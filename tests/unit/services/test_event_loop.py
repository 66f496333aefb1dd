"""The event loop with exact timers does what any other does."""

import asyncio
import socket
from collections.abc import Coroutine

from services.runtime.event_loop import exact_event_loop


def run(work: Coroutine[None, None, list[str]]) -> list[str]:
    with asyncio.Runner(loop_factory=exact_event_loop) as runner:
        return runner.run(work)


def test_timers_come_in_order() -> None:
    async def work() -> list[str]:
        seen: list[str] = []
        loop = asyncio.get_running_loop()
        for name, seconds in (("third", 0.02), ("first", 0.0001), ("second", 0.001)):
            loop.call_later(seconds, seen.append, name)
        await asyncio.sleep(0.03)
        return seen

    assert run(work()) == ["first", "second", "third"]


def test_what_arrives_ends_a_long_wait() -> None:
    async def work() -> list[str]:
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        near.setblocking(False)
        with near, far:
            async with asyncio.timeout(60):
                loop.call_later(0.001, far.send, b"here")
                return [(await loop.sock_recv(near, 10)).decode()]

    assert run(work()) == ["here"]


def test_a_thread_wakes_a_loop_without_timers() -> None:
    async def work() -> list[str]:
        return [await asyncio.to_thread(str, 5)]

    assert run(work()) == ["5"]
