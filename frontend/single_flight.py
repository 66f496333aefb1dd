"""Work that is asked for twice under one name is done once."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    callers: int = 0


class SingleFlight(Generic[T]):
    """Work under way, by name."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def run(self, name: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Begin ``work``, or join what is under way under this name; all callers get its result or its error.

        When its last caller is cancelled, the work is cancelled, and has ended when this returns.
        """
        flight = self._flights.get(name)
        if flight is None:
            flight = self._flights[name] = _Flight(asyncio.create_task(work()))
            flight.task.add_done_callback(lambda _: self._ended(name, flight))
        flight.callers += 1
        try:
            await asyncio.wait([flight.task])
        finally:
            flight.callers -= 1
            if not flight.callers and not flight.task.done():
                self._forget(name, flight)
                flight.task.cancel()
                await asyncio.wait([flight.task])
        return flight.task.result()

    def _ended(self, name: Hashable, flight: _Flight[T]) -> None:
        self._forget(name, flight)
        # Where its last caller left at this very moment nobody asks for its error, which is no fault.
        if not flight.task.cancelled():
            flight.task.exception()

    def _forget(self, name: Hashable, flight: _Flight[T]) -> None:
        if self._flights.get(name) is flight:
            del self._flights[name]

    def __len__(self) -> int:
        """How much is under way."""
        return len(self._flights)
