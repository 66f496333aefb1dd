"""Sends a request's inputs into the current version's plan and waits for its outputs."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Protocol

from core.concurrency import root_cause
from core.deployment import FRONT_END, ComponentRun, DeploymentVersion, RequestKey
from core.errors import (
    BusyError,
    DeadlineExceededError,
    InvalidTensorError,
    NotFoundError,
    RequestCancelledError,
)
from core.tensors import Array, TensorSpec, check_inputs


class Inferencers(Protocol):
    """The servers that take part in requests."""

    def run(self, server: str, address: str, key: RequestKey) -> AsyncGenerator[ComponentRun]:
        """Have a server do its part in a request; closing the iterator ends it there."""

    async def to_inferencer(self, server: str, address: str, key: RequestKey, name: str, array: Array) -> None:
        """Send a model input to a server; returns when it has arrived."""


@dataclass(frozen=True)
class Answer:
    """A request's outputs and what happened to it.

    Attributes:
        outputs: model output name → array.
        seconds: from the first input's sending to the last output's arrival.
        runs: one entry per component.
    """

    key: RequestKey
    outputs: Mapping[str, Array]
    seconds: float
    runs: tuple[ComponentRun, ...]


class FrontEnd:
    """The deployments that this device answers for, and the requests under way."""

    def __init__(self, inferencers: Inferencers, request_limit: int, request_timeout_seconds: float) -> None:
        self._inferencers = inferencers
        self._request_limit = request_limit
        self._request_timeout_seconds = request_timeout_seconds
        self._current: dict[str, DeploymentVersion] = {}
        self._under_way: Counter[tuple[str, int]] = Counter()
        self._outputs: dict[RequestKey, dict[str, asyncio.Future[Array]]] = {}
        self._specs: dict[RequestKey, tuple[TensorSpec, ...]] = {}
        self._ended = asyncio.Condition()

    def activate(self, version: DeploymentVersion) -> None:
        """Give new requests to this version; those under way finish on theirs."""
        self._current[version.deployment] = version

    def deactivate(self, deployment: str) -> None:
        """Take no more requests for a deployment."""
        self._current.pop(deployment, None)

    async def drain(self, deployment: str, version: int) -> None:
        """Wait until no request of a version is under way."""
        async with self._ended:
            await self._ended.wait_for(lambda: not self._under_way[deployment, version])

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

    async def infer(self, version: DeploymentVersion, inputs: Mapping[str, Array], seconds: float | None) -> Answer:
        """Run one request through a version's plan.

        Args:
            version: from ``current``.
            inputs: model input name → array.
            seconds: time until the deadline; ``None`` takes the default.

        Raises:
            InvalidTensorError: the inputs do not fit the model.
            BusyError: too many requests are under way.
            DeadlineExceededError: the answer was not complete in time; the message names the servers not done.
            ServerUnavailableError: a server that the plan needs cannot be reached.
        """
        check_inputs(version.division.inputs, inputs)
        if len(self._outputs) >= self._request_limit:
            raise BusyError(f"{len(self._outputs)} requests are under way, the limit; try again when some have ended")
        key = RequestKey(version.deployment, version.version, uuid.uuid4().hex)
        loop = asyncio.get_running_loop()
        self._outputs[key] = {spec.name: loop.create_future() for spec in version.division.outputs}
        self._specs[key] = version.division.outputs
        self._under_way[key.deployment, key.version] += 1
        waiting_for = set(version.addresses)
        allowed = self._request_timeout_seconds if seconds is None else seconds
        try:
            async with asyncio.timeout(allowed):
                return await self._run(version, key, inputs, waiting_for)
        except TimeoutError:
            raise DeadlineExceededError(
                f"no answer from {version.deployment!r} within {allowed:.3g} s; "
                f"not done: {', '.join(sorted(waiting_for)) or 'none'}; allow more time or check these servers"
            ) from None
        except BaseExceptionGroup as group:
            raise root_cause(group) from group
        finally:
            del self._outputs[key], self._specs[key]
            self._under_way[key.deployment, key.version] -= 1
            async with self._ended:
                self._ended.notify_all()

    async def _run(
        self, version: DeploymentVersion, key: RequestKey, inputs: Mapping[str, Array], waiting_for: set[str]
    ) -> Answer:
        runs: list[ComponentRun] = []
        start = time.perf_counter()
        servers = {component.id: component.server for component in version.division.components}

        async def take_part(server: str, address: str) -> None:
            runs.extend([run async for run in self._inferencers.run(server, address, key)])
            waiting_for.discard(server)

        async def collect() -> tuple[dict[str, Array], float]:
            outputs = {name: await future for name, future in self._outputs[key].items()}
            return outputs, time.perf_counter() - start

        async with asyncio.TaskGroup() as group:
            for server, address in version.addresses.items():
                group.create_task(take_part(server, address))
            for name, targets in version.division.input_routes.items():
                if FRONT_END in targets:
                    self.deliver(key, name, inputs[name])
                for server in dict.fromkeys(servers[target] for target in targets if target != FRONT_END):
                    address = version.addresses[server]
                    group.create_task(self._inferencers.to_inferencer(server, address, key, name, inputs[name]))
            collected = group.create_task(collect())
        outputs, seconds = collected.result()
        return Answer(key, outputs, seconds, tuple(sorted(runs, key=lambda run: run.component)))

    def expected(self, key: RequestKey, spec: TensorSpec) -> None:
        """Refuse a tensor that is not an output of an open request.

        Raises:
            RequestCancelledError: the request has ended.
            InvalidTensorError: name, dtype or shape differ from the model's outputs.
        """
        if key not in self._specs:
            raise RequestCancelledError(f"request {key.request_id} has ended")
        if spec not in self._specs[key]:
            raise InvalidTensorError(f"{spec} is not an output of {key.deployment!r}: {list(self._specs[key])}")

    def deliver(self, key: RequestKey, name: str, array: Array) -> None:
        """Take a model output; one that came before is ignored.

        Raises:
            RequestCancelledError: the request has ended.
        """
        if key not in self._outputs:
            raise RequestCancelledError(f"request {key.request_id} has ended")
        future = self._outputs[key][name]
        if not future.done():
            future.set_result(array)

    @property
    def requests_under_way(self) -> int:
        """How many requests are open."""
        return len(self._outputs)
