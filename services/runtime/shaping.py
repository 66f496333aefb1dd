"""Links made slower by their sender, so that one machine can stand for several far apart.

A transfer over an emulated link takes round trip + bytes / throughput, as a real one would::

    async with shaper.round_trip("edge"):
        sent = shaper.transfer("edge")
        for message in messages:
            await sent(len(message))
            await call.write(message)
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from services.runtime.settings import EmulatedLink

MAKE_UP_SECONDS = 0.05
"""How much a transfer that fell behind its link's throughput may catch up."""


class LinkShaper:
    """Delays what this server sends, per target server; targets without an emulated link are not delayed.

    All transfers to a target share its throughput, so keep one shaper per sending process.

    Args:
        links: the emulated links of this server.
        clock: seconds that never go back.
        sleep: waits for seconds.
    """

    def __init__(
        self,
        links: Iterable[EmulatedLink],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._links = {link.target: link for link in links}
        self._clock = clock
        self._sleep = sleep
        self._next_free: dict[str, float] = {}

    def shapes(self, target: str) -> bool:
        """Whether what is sent to ``target`` is delayed."""
        return target in self._links

    def round_trip(self, target: str) -> AbstractAsyncContextManager[None]:
        """Half a round trip before what is inside, the other half after it, unless it failed."""
        link = self._links.get(target)
        return nullcontext() if link is None else self._delayed(link)

    @asynccontextmanager
    async def _delayed(self, link: EmulatedLink) -> AsyncIterator[None]:
        await self._sleep(link.rtt_seconds / 2)
        yield
        await self._sleep(link.rtt_seconds / 2)

    def transfer(self, target: str) -> Callable[[int], Awaitable[None]]:
        """One transfer's pace: what is returned waits until so many bytes more have gone over the link.

        Time on the link is reserved before the wait, so transfers side by side take turns.
        """
        ready = self._clock()

        async def sent(byte_count: int) -> None:
            nonlocal ready
            # A message waits for the one before it, not for our waking up after that, so that oversleeping does not
            # add up; a stall of the stream, on the other hand, is not made good by a burst.
            ready = await self._pace(target, byte_count, max(ready, self._clock() - MAKE_UP_SECONDS))

        return sent

    async def _pace(self, target: str, byte_count: int, ready: float) -> float:
        """Send from ``ready`` on, or when the link is free; returns when that is done, on the clock."""
        link = self._links.get(target)
        if link is None:
            return ready
        done = max(ready, self._next_free.get(target, ready)) + byte_count / link.bytes_per_second
        self._next_free[target] = done
        await self._sleep(max(0.0, done - self._clock()))
        return done
