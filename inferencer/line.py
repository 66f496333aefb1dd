"""The requests that wait for one component on a server, and how many of them are computed at once."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from core.buffers import Memory
from core.errors import ServerUnavailableError
from core.tensors import Array
from inferencer.session import Session


@dataclass(frozen=True)
class Ran:
    """What a request got from its turn; times are of ``time.perf_counter``.

    Attributes:
        outputs: output name → array.
        together: for how many requests the component ran at once.
    """

    started: float
    ended: float
    outputs: dict[str, Array]
    together: int


@dataclass(eq=False)
class _Place:
    inputs: Mapping[str, Array]
    memory: Memory | None
    alone: bool
    done: Future[Ran] = field(default_factory=Future)


class Line:
    """One component's session, which requests use in the order in which they came.

    Nothing waits for others to come: what has come while the server was busy runs together.
    """

    def __init__(self, server: str, executor: Executor, session: Session, most: int = 1) -> None:
        """Begin with nobody waiting.

        Args:
            server: name of the server, for errors.
            executor: runs one thing at a time; shared by all components of a server.
            session: the component.
            most: for how many requests it may run at once.
        """
        self._server = server
        self._executor = executor
        self._session = session
        self.most = most
        self._waiting: deque[_Place] = deque()

    async def run(self, inputs: dict[str, Array], memory: Memory | None = None, alone: bool = False) -> Ran:
        """Run the component for one request when its turn comes; not together with others if ``alone``.

        Where this is cancelled, ``inputs`` are emptied.

        Args:
            inputs: input name → array.
            memory: where large outputs are to be made; those of requests that run together are made anywhere.
            alone: see above.

        Raises:
            Exception: as the runtime raised it for these inputs.
            ServerUnavailableError: the server stops, and the turn does not come.
        """
        place = _Place(inputs, memory, alone)
        self._waiting.append(place)
        try:
            turn = self._executor.submit(self._next)
        except RuntimeError as error:
            place.done.cancel()
            inputs.clear()
            raise self._unavailable() from error
        turn.add_done_callback(lambda turn: turn.cancelled() and place.done.cancel())
        try:
            return await asyncio.wrap_future(place.done)
        except asyncio.CancelledError:
            # What is still in line stays there until its turn, without its inputs now.
            place.done.cancel()
            inputs.clear()
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise self._unavailable() from None

    def _unavailable(self) -> ServerUnavailableError:
        return ServerUnavailableError(f"server {self._server!r} is stopping; send the request elsewhere")

    def _next(self) -> None:
        """Run for those whose turn it is; nobody may be left, as each comes with a turn of its own."""
        taken: list[tuple[_Place, Mapping[str, Array]]] = []
        while self._waiting and len(taken) < self.most:
            if taken and (taken[0][0].alone or self._waiting[0].alone):
                break
            place = self._waiting.popleft()
            # Taken first: who is cancelled from here on leaves them to the run.
            inputs = dict(place.inputs)
            if place.done.set_running_or_notify_cancel():
                taken.append((place, inputs))
        if taken:
            self._answer(taken)

    def _answer(self, taken: list[tuple[_Place, Mapping[str, Array]]]) -> None:
        started = time.perf_counter()
        try:
            results = self._session.run_together([inputs for _, inputs in taken], taken[0][0].memory)
        except Exception as error:  # noqa: BLE001 - whatever it is, the request gets it
            if len(taken) == 1:
                taken[0][0].done.set_exception(error)
            else:
                # One request's inputs must not cost the others their answers.
                for one in taken:
                    self._answer([one])
            return
        ended = time.perf_counter()
        for (place, _), outputs in zip(taken, results, strict=True):
            place.done.set_result(Ran(started, ended, outputs, len(taken)))
