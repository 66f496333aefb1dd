"""Another try when a server was gone for a moment."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from core.errors import NotFoundError, PartitaError, RequestCancelledError, ServerUnavailableError

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.05
"""Before the second try; doubled before each one after it."""

LONGEST_PAUSE_SECONDS = 1.0
"""No pause is longer."""

GONE = (ServerUnavailableError, NotFoundError, RequestCancelledError)
"""How a server that is gone shows: it is not reached, has lost its components in a restart, or ended a call itself."""


@dataclass(frozen=True)
class Retries:
    """For how many seconds a request waits for a server that is gone; the deadline ends it sooner."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def until_answered(self, attempt: Callable[[], Awaitable[T]], failed: Callable[[PartitaError], None]) -> T:
        """Try until an attempt succeeds.

        Args:
            attempt: tries once.
            failed: told of every failure after which there is another try.

        Raises:
            ServerUnavailableError: a server did not come back in time; the message names it.
            PartitaError: of an attempt that failed for another reason.
        """
        pause = FIRST_PAUSE_SECONDS
        last_try: float | None = None
        while True:
            try:
                return await attempt()
            except GONE as error:
                now = self.clock()
                if last_try is None:
                    last_try = now + self.seconds
                if now + pause > last_try:
                    raise ServerUnavailableError(str(error)) from error
                failed(error)
            await self.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
