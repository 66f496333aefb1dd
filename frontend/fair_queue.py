"""Who goes next: deployments take turns, each up to its own limit, and what waits is bounded."""

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from core.errors import BusyError, NotFoundError, PartitaError
from frontend.concurrency_limit import ConcurrencyLimit

HINT_SECONDS = 1.0
"""When to try again where nothing has been measured yet."""


class Place:
    """One request's place: in a deployment's line first, then in flight."""

    def __init__(self, queue: "FairQueue", line: "_Line") -> None:
        self._queue = queue
        self.line = line
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.state: Literal["waiting", "in flight", "refused"] = "waiting"
        self.begun = math.nan

    async def wait(self) -> None:
        """Join the end of the line, and wait for the turn; the request is in flight then.

        Raises:
            BusyError: the place was given to a deployment that had fewer.
            NotFoundError: the deployment ended.
        """
        if self.line.ended:
            raise _ended(self.line.deployment)
        self.line.queued.append(self)
        self._queue.move_on()
        await self.turn

    def answered(self, together: int = 1) -> None:
        """Take note that the request was answered, for the deployment's limit; see ``ConcurrencyLimit.answered``."""
        self.line.limit.answered(self.begun, self._queue.clock(), self.line.in_flight, together)


@dataclass
class _Line:
    """One deployment's requests; ``waiting`` counts those that are queued, and those that are still being read."""

    deployment: str
    limit: ConcurrencyLimit
    waiting: int = 0
    in_flight: int = 0
    ended: bool = False
    queued: deque[Place] = field(default_factory=deque)


class FairQueue:
    """Lets requests go, one deployment after the other, while their limits and the common limit allow."""

    def __init__(self, most_in_flight: int, most_waiting: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Let at most ``most_in_flight`` be in flight and ``most_waiting`` wait, of all deployments together."""
        self._most_in_flight = most_in_flight
        self._most_waiting = most_waiting
        self.clock = clock
        # In the order of their turns.
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        self._in_flight = 0
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many requests wait, those being read included."""
        return self._waiting

    def open(self, deployment: str, limit: ConcurrencyLimit) -> None:
        """Take requests of a deployment; where it takes some already, only its limit changes."""
        if deployment in self._lines:
            self._lines[deployment].limit = limit
        else:
            self._lines[deployment] = _Line(deployment, limit)
        self.move_on()

    def close(self, deployment: str) -> None:
        """Take no more requests of a deployment, and refuse those that wait."""
        line = self._lines.pop(deployment, None)
        if line is not None:
            line.ended = True
            while line.queued:
                self._refuse(line.queued.pop(), _ended(deployment))

    @asynccontextmanager
    async def place(self, deployment: str) -> AsyncIterator[Place]:
        """Hold a place until the request has ended.

        Raises:
            BusyError: too many wait, and no deployment has more than its share of them.
        """
        place = self._enter(self._lines[deployment])
        try:
            yield place
        finally:
            self._leave(place)

    def _enter(self, line: _Line) -> Place:
        if self._waiting >= self._most_waiting:
            # As stochastic fair queueing does (McKenney 1990): the longest line gives way.
            longest = max(self._lines.values(), key=lambda one: one.waiting)
            if longest.waiting <= line.waiting + 1 or not longest.queued:
                raise self._full(line)
            self._refuse(longest.queued.pop(), self._full(longest))
        place = Place(self, line)
        line.waiting += 1
        self._waiting += 1
        return place

    def _stop_waiting(self, place: Place, state: Literal["in flight", "refused"]) -> None:
        place.state = state
        place.line.waiting -= 1
        self._waiting -= 1

    def _refuse(self, place: Place, error: PartitaError) -> None:
        self._stop_waiting(place, "refused")
        if not place.turn.done():
            place.turn.set_exception(error)

    def _leave(self, place: Place) -> None:
        if place.state == "waiting":
            self._stop_waiting(place, "refused")
            if place in place.line.queued:
                place.line.queued.remove(place)
        elif place.state == "in flight":
            place.line.in_flight -= 1
            self._in_flight -= 1
            self.move_on()

    def move_on(self) -> None:
        """Let go whoever may go now."""
        while self._in_flight < self._most_in_flight:
            ready = (one for one in self._lines.values() if one.queued and one.in_flight < one.limit.value)
            line = next(ready, None)
            if line is None:
                return
            self._lines.move_to_end(line.deployment)
            place = line.queued.popleft()
            self._stop_waiting(place, "in flight")
            line.in_flight += 1
            self._in_flight += 1
            place.begun = self.clock()
            if not place.turn.done():
                place.turn.set_result(None)

    def _full(self, line: _Line) -> BusyError:
        """What to tell: come back when half of what waits in this line will have been answered."""
        rate = line.limit.answers_per_second
        seconds = (line.waiting / 2 + 1) / rate if rate else HINT_SECONDS
        return BusyError(
            f"{self._in_flight} requests are in flight and {self._waiting} wait, as many as may; "
            f"try {line.deployment!r} again in {seconds:.2g} s",
            seconds,
        )


def _ended(deployment: str) -> NotFoundError:
    return NotFoundError(f"deployment {deployment!r} has ended; see which are active")
