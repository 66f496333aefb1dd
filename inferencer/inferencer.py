"""One server's part in deployments: loads its components and runs them when their inputs are complete."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from core.buffers import Bytes
from core.concurrency import run_all
from core.deployment import Component, ComponentRun, DeploymentVersion, RequestKey, memory_towards
from core.errors import InvalidArgumentError, InvalidModelError, InvalidTensorError, NotFoundError
from core.profiles import RuntimeSettings
from core.progress import Progress
from core.tensors import Array, TensorSpec
from inferencer.line import Line
from inferencer.ports import BlobSource, Outlet
from inferencer.requests import Request, RequestTable
from inferencer.session import Session
from inferencer.together import session_for_many

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Loaded:
    """A deployment version's components on this server, ready to run."""

    version: DeploymentVersion
    components: tuple[Component, ...]
    lines: Mapping[int, Line]
    specs: Mapping[str, TensorSpec]
    consumers: Mapping[str, int]


class Inferencer:
    """Components of one server, and the requests that pass through them.

    Components run one at a time, in the order in which their inputs became complete; where the version allows it, what
    waits for the same component runs together.
    """

    def __init__(self, server: str, runtime: RuntimeSettings, blobs: BlobSource, outlet: Outlet) -> None:
        self._server = server
        self._runtime = runtime
        self._blobs = blobs
        self._outlet = outlet
        self._loaded: dict[tuple[str, int], _Loaded] = {}
        self.requests = RequestTable()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="component")

    async def prepare(self, version: DeploymentVersion, progress: Progress) -> None:
        """Fetch, load and warm this server's components; nothing is kept where one fails.

        A version that is loaded already keeps its sessions and takes over its servers' addresses.

        Raises:
            InvalidArgumentError: the version has no component for this server.
            NotFoundError: a component is not in the pool.
            InvalidModelError: the runtime refuses a component.
        """
        division = version.division
        known = self._loaded.get((version.deployment, version.version))
        if known is not None and known.version.division == division:
            self._loaded[version.deployment, version.version] = replace(known, version=version)
            return
        components = tuple(component for component in division.components if component.server == self._server)
        if not components:
            raise InvalidArgumentError(
                f"version {version.version} of {version.deployment!r} has no component for server {self._server!r}"
            )
        lines: dict[int, Line] = {}
        for index, component in enumerate(components):
            progress(
                index / len(components), f"{self._server}: component {component.id}, {len(component.layers)} layers"
            )
            data = await self._blobs.get_blob(component.blob)
            line, told = await asyncio.to_thread(self._load, data, component, version.micro_batch)
            lines[component.id] = line
            if told:
                logger.info("component %d of %s: %s", component.id, version.deployment, told)
                progress((index + 1) / len(components), f"{self._server}: component {component.id}, {told}")
        progress(1.0, f"{self._server}: {len(components)} components ready")
        self._loaded[version.deployment, version.version] = _Loaded(
            version,
            components,
            lines,
            {spec.name: spec for component in components for spec in component.inputs},
            Counter(spec.name for component in components for spec in component.inputs),
        )

    def _load(self, data: bytes, component: Component, micro_batch: int) -> tuple[Line, str]:
        """The component ready to run, and what is to be told of its running for several requests at once."""
        session, most, told = Session(data, self._runtime), 1, ""
        session.warm(component.inputs)
        if micro_batch > 1:
            try:
                session, most = session_for_many(data, component.inputs, session, self._runtime, micro_batch)
                told = f"up to {most} requests at once"
            except InvalidModelError as error:
                told = f"one request at a time: {error}"
        return Line(self._server, self._executor, session, most), told

    def release(self, deployment: str, version: int) -> None:
        """Let go of a version's components; unknown ones are gone already."""
        self._loaded.pop((deployment, version), None)

    def expected(self, key: RequestKey, spec: TensorSpec) -> None:
        """Refuse a tensor that no component of the version takes in this form.

        Raises:
            NotFoundError: the version is not prepared here.
            InvalidTensorError: name, dtype or shape differ.
        """
        known = self._version(key).specs.get(spec.name)
        if known != spec:
            raise InvalidTensorError(
                f"server {self._server!r} takes {known or 'no such tensor'} for {key.deployment!r} "
                f"version {key.version}, not {spec}"
            )

    def receive(self, key: RequestKey, name: str, array: Array) -> Coroutine[Any, Any, None] | None:
        """Take one tensor of a request: at once, or, where that has not begun here, when what is returned is done.

        Raises:
            RequestCancelledError: the request has ended.
        """
        return self.requests.put(key, name, array)

    async def run(
        self, key: RequestKey, alone: bool = False, ran: Callable[[ComponentRun], None] = lambda _: None
    ) -> list[ComponentRun]:
        """Do this server's part in one request; returns its components' times when their outputs have arrived.

        Cancelling it, or an error in any component, frees everything that the request holds here.

        Args:
            key: of the request.
            alone: not together with other requests.
            ran: told of each component when its outputs have arrived, whatever then becomes of the request.

        Raises:
            NotFoundError: the version is not prepared here.
            PartitaError: of a component that failed or an output that could not be sent.
        """
        loaded = self._version(key)
        request = self.requests.open(key, loaded.consumers)
        began = time.perf_counter()
        tasks = [
            asyncio.create_task(self._run(loaded, key, request, component, began, alone, ran))
            for component in loaded.components
        ]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            try:
                await asyncio.gather(*tasks, return_exceptions=True)
            finally:
                self.requests.close(key)

    async def _run(
        self,
        loaded: _Loaded,
        key: RequestKey,
        request: Request,
        component: Component,
        began: float,
        alone: bool,
        ran: Callable[[ComponentRun], None],
    ) -> ComponentRun:
        inputs = {spec.name: await request.wait(spec.name) for spec in component.inputs}
        complete = time.perf_counter()
        turn = await loaded.lines[component.id].run(inputs, partial(self._memory, loaded, component), alone)
        for name in inputs:
            request.taken(name)
        del inputs
        await self._pass_on(loaded, key, request, component, turn.outputs)
        run = ComponentRun(
            component.id,
            self._server,
            queue_seconds=turn.started - complete,
            compute_seconds=turn.ended - turn.started,
            transfer_seconds=time.perf_counter() - turn.ended,
            start_seconds=complete - began,
            together=turn.together,
        )
        ran(run)
        return run

    async def _pass_on(
        self, loaded: _Loaded, key: RequestKey, request: Request, component: Component, outputs: Mapping[str, Array]
    ) -> None:
        """Hand each output to this server's own components, and once to every other place that needs it."""
        sending: list[Coroutine[Any, Any, None]] = []
        for name in component.routes:
            array = outputs[name]
            request.put(name, array)
            for target in loaded.version.output_targets(component, name):
                send = self._outlet.to_front_end if target.front_end else self._outlet.to_inferencer
                sending.append(send(target.server, target.address, key, name, array, target.compress))
        await run_all(sending)

    def _memory(self, loaded: _Loaded, component: Component, name: str, byte_count: int) -> Bytes | None:
        """Memory for an output from which it is sent without a copy, to one of its targets at least."""
        targets = loaded.version.output_targets(component, name)
        return memory_towards(targets, self._outlet.memory_for, byte_count)

    def _version(self, key: RequestKey) -> _Loaded:
        loaded = self._loaded.get((key.deployment, key.version))
        if loaded is None:
            raise NotFoundError(
                f"server {self._server!r} has no components for version {key.version} of {key.deployment!r}; "
                "after a restart the Deployer has it take them up again, else deploy the plan again"
            )
        return loaded

    def close(self) -> None:
        """Stop running components."""
        self._executor.shutdown(wait=False, cancel_futures=True)
