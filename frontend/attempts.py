"""One try at a request: inputs into a version's plan, outputs back."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.buffers import Bytes
from core.concurrency import root_cause
from core.deployment import FRONT_END, ComponentRun, DeploymentVersion, RequestKey, memory_towards
from core.errors import InvalidTensorError, RequestCancelledError, ServerUnavailableError
from core.tensors import Array, TensorSpec
from frontend.timeline import aligned

SERVER_EXTRA_SECONDS = 0.5
"""How long after the deadline a server frees a request by itself, where we can no longer tell it to."""


class Inferencers(Protocol):
    """The servers that take part in requests."""

    async def run(
        self, server: str, address: str, key: RequestKey, seconds: float, alone: bool
    ) -> Sequence[ComponentRun]:
        """Have a server do its part in a request, for at most ``seconds``; cancelled, it ends there too.

        If ``alone``, not together with other requests.
        """

    def memory_for(self, server: str, address: str, byte_count: int) -> Bytes | None:
        """Memory from which sending there takes no copy, where there is such."""

    async def to_inferencer(
        self, server: str, address: str, key: RequestKey, name: str, array: Array, compress: bool
    ) -> None:
        """Send a model input to a server; returns when it has arrived."""


@dataclass(frozen=True)
class Answer:
    """A request's outputs and what happened to it.

    Attributes:
        outputs: model output name → array.
        seconds: from the first input's sending to the last output's arrival.
        runs: one entry per component, on this clock.
    """

    key: RequestKey
    outputs: Mapping[str, Array]
    seconds: float
    runs: tuple[ComponentRun, ...]


class Attempts:
    """The attempts under way, and the outputs that they wait for."""

    def __init__(self, inferencers: Inferencers) -> None:
        self._inferencers = inferencers
        self._under_way: Counter[tuple[str, int]] = Counter()
        self._outputs: dict[RequestKey, dict[str, asyncio.Future[Array]]] = {}
        self._versions: dict[RequestKey, DeploymentVersion] = {}
        self._ended = asyncio.Condition()

    def memory_for(self, version: DeploymentVersion, name: str, byte_count: int) -> Bytes | None:
        """Memory for an input from which it is sent without a copy, to one of its servers at least."""
        return memory_towards(version.input_targets(name), self._inferencers.memory_for, byte_count)

    async def run(
        self,
        version: DeploymentVersion,
        key: RequestKey,
        inputs: Mapping[str, Array],
        seconds: float,
        waiting_for: set[str],
        alone: bool = False,
    ) -> Answer:
        """Try once; however it ends, every server is told to free what it holds.

        Args:
            key: of this attempt alone.
            seconds: time until the deadline, which is the caller's to keep.
            waiting_for: is kept to the names of the servers that are not done.
            alone: nothing of it may be computed together with other requests.

        Raises:
            PartitaError: the first that a server raised.
        """
        loop = asyncio.get_running_loop()
        self._outputs[key] = {spec.name: loop.create_future() for spec in version.division.outputs}
        self._versions[key] = version
        self._under_way[key.deployment, key.version] += 1
        waiting_for.update(version.addresses)
        try:
            return await self._exchange(version, key, inputs, seconds + SERVER_EXTRA_SECONDS, waiting_for, alone)
        except BaseExceptionGroup as group:
            raise root_cause(group) from group
        finally:
            del self._outputs[key], self._versions[key]
            self._under_way[key.deployment, key.version] -= 1
            async with self._ended:
                self._ended.notify_all()

    async def _exchange(
        self,
        version: DeploymentVersion,
        key: RequestKey,
        inputs: Mapping[str, Array],
        seconds: float,
        waiting_for: set[str],
        alone: bool,
    ) -> Answer:
        runs: list[ComponentRun] = []
        start = time.perf_counter()

        async def take_part(server: str, address: str) -> None:
            called = time.perf_counter() - start
            done = await self._inferencers.run(server, address, key, seconds, alone)
            runs.extend(aligned(called, time.perf_counter() - start, done))
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
                for target in version.input_targets(name):
                    group.create_task(
                        self._inferencers.to_inferencer(
                            target.server, target.address, key, name, inputs[name], target.compress
                        )
                    )
            collected = group.create_task(collect())
        outputs, taken = collected.result()
        return Answer(key, outputs, taken, tuple(sorted(runs, key=lambda run: run.component)))

    async def drain(self, deployment: str, version: int) -> None:
        """Wait until no attempt on a version is under way."""
        async with self._ended:
            await self._ended.wait_for(lambda: not self._under_way[deployment, version])

    def expected(self, key: RequestKey, spec: TensorSpec) -> None:
        """Refuse a tensor that is not an output of an open attempt.

        Raises:
            RequestCancelledError: the attempt has ended.
            InvalidTensorError: name, dtype or shape differ from the model's outputs.
        """
        if key not in self._versions:
            raise _over(key)
        outputs = self._versions[key].division.outputs
        if spec not in outputs:
            raise InvalidTensorError(f"{spec} is not an output of {key.deployment!r}: {list(outputs)}")

    def deliver(self, key: RequestKey, name: str, array: Array) -> None:
        """Take a model output; one that came before is ignored.

        Raises:
            RequestCancelledError: the attempt has ended.
        """
        if key not in self._outputs:
            raise _over(key)
        future = self._outputs[key][name]
        if not future.done():
            future.set_result(array)

    def give_up(self, version: DeploymentVersion) -> None:
        """Fail what waits for servers that are lost, for which reason ``version`` has come in force."""
        for key, other in self._versions.items():
            lost = other.addresses.keys() & set(version.lost)
            if key.deployment == version.deployment and key.version != version.version and lost:
                error = ServerUnavailableError(f"server {min(lost)!r} is lost")
                # Outputs are waited for one after the other: the first error is the one that is seen.
                waiting = [future for future in self._outputs[key].values() if not future.done()]
                if waiting:
                    waiting[0].set_exception(error)

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._outputs)


def _over(key: RequestKey) -> RequestCancelledError:
    return RequestCancelledError(f"request {key.request_id} has ended")
