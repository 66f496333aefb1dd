"""A request's way: its turn, its inputs into the current version's plan, its answer, and another try where needed."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from core.buffers import BufferPool, Bytes
from core.deployment import DeploymentVersion, RequestKey
from core.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    NotFoundError,
    PartitaError,
    ServerUnavailableError,
)
from core.tensors import Array, TensorSpec, check_inputs
from frontend.attempts import Answer, Attempts, Inferencers
from frontend.concurrency_limit import ConcurrencyLimit
from frontend.fair_queue import FairQueue
from frontend.history import History, Report
from frontend.retries import Retries
from frontend.single_flight import SingleFlight

REPLY_SECONDS = 0.25
"""How long before its deadline, at most, a request is given up, so that the error still reaches the caller."""

ID_CHARACTERS = 200
"""Longest request id."""

ReadInputs = Callable[[], Awaitable[Mapping[str, Array]]]


@dataclass
class _State:
    """How far a request is, for the error that it may end in; ``None``: it waits for its turn."""

    asked: float
    not_done: set[str] | None = None
    failure: PartitaError | None = None
    sent: float = 0.0


class FrontEnd:
    """The deployments that this device answers for, and the requests under way."""

    def __init__(
        self,
        inferencers: Inferencers,
        request_limit: int,
        request_timeout_seconds: float,
        queue_limit: int = 64,
        retry_seconds: float = 10.0,
    ) -> None:
        """Begin without deployments.

        Args:
            inferencers: the servers.
            request_limit: most requests in flight at once, of all deployments.
            request_timeout_seconds: deadline of requests that bring none.
            queue_limit: most requests that wait for their turn, at least one.
            retry_seconds: how long a request waits for a server that is gone.
        """
        self._attempts = Attempts(inferencers)
        self._buffers = BufferPool()
        self._request_limit = request_limit
        self._request_timeout_seconds = request_timeout_seconds
        self._queue = FairQueue(request_limit, max(1, queue_limit))
        self._retries = Retries(retry_seconds)
        self._flights: SingleFlight[Answer] = SingleFlight()
        self._current: dict[str, DeploymentVersion] = {}
        self._told = asyncio.Event()
        self._told_by = time.monotonic() + retry_seconds
        self.history = History()

    def activate(self, version: DeploymentVersion) -> None:
        """Give new requests to this version; those under way finish on theirs.

        The version in force may come again, with other addresses for example.
        """
        known = self._current.get(version.deployment)
        self._current[version.deployment] = version
        self._told.set()
        if known is not None and known.version == version.version:
            return
        self._queue.open(version.deployment, ConcurrencyLimit(_depth(version), self._request_limit))
        self._attempts.give_up(version)

    def deactivate(self, deployment: str) -> None:
        """Take no more requests for a deployment."""
        self._current.pop(deployment, None)
        self._queue.close(deployment)

    async def drain(self, deployment: str, version: int) -> None:
        """Wait until no request of a version is under way."""
        await self._attempts.drain(deployment, version)

    async def known(self, deployment: str, seconds: float | None) -> DeploymentVersion:
        """The version in force; where this FrontEnd has just started, it is told of that in a moment.

        Args:
            deployment: its name.
            seconds: how long to wait at most; ``None`` for as long as a request waits for a server that is gone.

        Raises:
            NotFoundError: there is no such deployment.
        """
        if not self._told.is_set():
            left = self._told_by - time.monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(left if seconds is None else min(left, seconds)):
                    await self._told.wait()
        return self.current(deployment)

    def current(self, deployment: str) -> DeploymentVersion:
        """The version in force.

        Raises:
            NotFoundError: there is no such deployment.
        """
        version = self._current.get(deployment)
        if version is None:
            known = ", ".join(sorted(self._current)) or "none"
            raise NotFoundError(f"no deployment {deployment!r} is active on this device; active: {known}")
        return version

    def memory_for(self, version: DeploymentVersion, name: str, byte_count: int) -> Bytes:
        """Memory in which an input for this version is to be put together."""
        memory = self._attempts.memory_for(version, name, byte_count)
        return self._buffers.take(byte_count) if memory is None else memory

    @property
    def deployments(self) -> Mapping[str, DeploymentVersion]:
        """The versions in force by deployment."""
        return self._current

    async def infer(
        self, deployment: str, read: ReadInputs, seconds: float | None, request_id: str = "", alone: bool = False
    ) -> Answer:
        """Answer one request, when its turn comes.

        A request whose id is under way already joins that one: its inputs are not read, and it gets the same answer
        or error. Once that has ended, its id means nothing any more: the request runs again.

        Args:
            deployment: its name.
            read: reads the inputs, model input name → array; called once the request has a place in the queue.
            seconds: time until the deadline; ``None`` takes the default.
            request_id: names the request if its caller may send it again; else empty.
            alone: nothing of it may be computed together with other requests, whatever the deployment allows.

        Raises:
            InvalidArgumentError: the id is too long or not printable.
            InvalidTensorError: the inputs do not fit the model.
            NotFoundError: there is no such deployment.
            BusyError: too many requests wait.
            DeadlineExceededError: the answer was not complete in time; the message names the servers not done.
            ServerUnavailableError: a server that the plan needs is gone and did not come back.
        """
        if len(request_id) > ID_CHARACTERS or not request_id.isprintable():
            raise InvalidArgumentError(
                f"request id {request_id[:ID_CHARACTERS]!r}: give a printable one of at most {ID_CHARACTERS} characters"
            )
        self.current(deployment)
        name = request_id or uuid.uuid4().hex
        allowed = self._request_timeout_seconds if seconds is None else seconds
        state = _State(asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(allowed - min(REPLY_SECONDS, allowed / 10)) as limit:
                deadline = limit.when() or 0.0
                return await self._flights.run(
                    (deployment, name), lambda: self._in_turn(deployment, name, read, deadline, state, alone)
                )
        except TimeoutError:
            late = _late(deployment, allowed, state)
            self._remember_failure(deployment, name, state, late)
            raise late from None
        except PartitaError as error:
            self._remember_failure(deployment, name, state, error)
            raise

    def _remember_failure(self, deployment: str, name: str, state: _State, error: PartitaError) -> None:
        """Remember a request that failed on its way; one that was refused at the door is only told so."""
        if state.not_done is not None:
            spent = asyncio.get_running_loop().time() - state.sent
            self.history.add(Report(name, deployment, 0, state.sent - state.asked, spent, error=str(error)))

    async def _in_turn(
        self, deployment: str, name: str, read: ReadInputs, deadline: float, state: _State, alone: bool
    ) -> Answer:
        async with self._queue.place(deployment) as place:
            inputs = await read()
            check_inputs(self.current(deployment).division.inputs, inputs)
            await place.wait()
            state.sent = asyncio.get_running_loop().time()

            async def attempt() -> Answer:
                # By now there may be a newer version, perhaps because a server of the last one is gone.
                version = self.current(deployment)
                check_inputs(version.division.inputs, inputs)
                key = RequestKey(deployment, version.version, f"{name}.{uuid.uuid4().hex[:8]}")
                seconds = deadline - asyncio.get_running_loop().time()
                state.not_done = set()
                return await self._attempts.run(version, key, inputs, seconds, state.not_done, alone)

            def failed(failure: PartitaError) -> None:
                state.failure = failure
                # Where the deployment has ended there is no use in another try.
                self.current(deployment)

            answer = await self._retries.until_answered(attempt, failed)
            place.answered(max((run.together for run in answer.runs), default=1))
            key, waited = answer.key, state.sent - state.asked
            self.history.add(Report(key.request_id, deployment, key.version, waited, answer.seconds, answer.runs))
            return answer

    def expected(self, key: RequestKey, spec: TensorSpec) -> None:
        """Refuse a tensor that is not an output of an open request; see ``Attempts.expected``."""
        self._attempts.expected(key, spec)

    def deliver(self, key: RequestKey, name: str, array: Array) -> None:
        """Take a model output; see ``Attempts.deliver``."""
        self._attempts.deliver(key, name, array)

    @property
    def requests_under_way(self) -> int:
        """How many requests are open, those that wait included."""
        return len(self._flights)

    @property
    def requests_waiting(self) -> int:
        """How many requests wait for their turn."""
        return self._queue.waiting


def _depth(version: DeploymentVersion) -> float:
    """Requests that fill the pipeline by the plan's prediction; without one, a request for each server."""
    predicted = version.parallel
    if predicted is None or predicted.seconds_per_request <= 0:
        return float(len(version.addresses))
    return predicted.latency_seconds / predicted.seconds_per_request


def _late(deployment: str, allowed: float, state: _State) -> PartitaError:
    if state.failure is not None:
        return ServerUnavailableError(f"{state.failure}; no answer from {deployment!r} within {allowed:.3g} s")
    if state.not_done is None:
        return DeadlineExceededError(
            f"a request to {deployment!r} did not come to its turn within {allowed:.3g} s; "
            "allow more time, or send fewer at once"
        )
    return DeadlineExceededError(
        f"no answer from {deployment!r} within {allowed:.3g} s; "
        f"not done: {', '.join(sorted(state.not_done)) or 'none'}; allow more time or check these servers"
    )
