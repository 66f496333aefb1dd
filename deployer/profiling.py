"""Profiles of a model, of its layers on every server and of the links: stored, and never measured twice."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from core.cluster import Cluster, ServerRecord
from core.concurrency import run_all
from core.errors import ServerUnavailableError
from core.profiles import (
    ExecutionProfile,
    MeasuredLink,
    ModelProfile,
    ModelProfilerSettings,
    ProfilingPhase,
    RunEnergy,
    ServerState,
)
from core.progress import Progress
from deployer.phases import PhaseClock
from deployer.ports import ModelPool, ModelProfiler, Nodes, Registry
from deployer.profile_store import ProfileStore, execution_key, model_key
from deployer.records import ModelRecord
from deployer.weighted_progress import WeightedProgress

MODEL_SECONDS, EXECUTION_SECONDS, LINK_SECONDS = 40.0, 15.0, 1.5
"""What the profile of a model, that of a server and that of a link take, where nothing is known: sizes progress."""


@dataclass(frozen=True)
class Profiles:
    """Everything measured that planning needs.

    Attributes:
        servers: those the profiles are for, the device first.
        execution: server name → profile.
        links: between these servers.
        measured: how many of all these had to be measured now.
        phases: what measuring each of them took, now or before.
        seconds: what all that was measured now took.
    """

    model: ModelProfile
    servers: tuple[ServerRecord, ...]
    execution: Mapping[str, ExecutionProfile]
    links: tuple[MeasuredLink, ...]
    measured: int
    phases: tuple[ProfilingPhase, ...] = ()
    seconds: float = 0.0

    @property
    def energies(self) -> Mapping[str, RunEnergy]:
        """Server name → energy of a run of the whole float model: as measured there, else by the declared watts."""
        found = {}
        for server in self.servers:
            execution, watts = self.execution[server.name], _state(server).power.compute_watts
            declared = RunEnergy(watts * execution.whole_seconds, watts, "declared")
            found[server.name] = execution.energy or declared
        return found


class Profiling:
    """Finds profiles in the pool and has measured what is missing."""

    def __init__(self, pool: ModelPool, registry: Registry, profiler: ModelProfiler, nodes: Nodes) -> None:
        self._store = ProfileStore(pool)
        self._registry = registry
        self._profiler = profiler
        self._nodes = nodes
        self._locks: dict[str, asyncio.Lock] = {}

    async def profiles(
        self,
        model: ModelRecord,
        settings: ModelProfilerSettings,
        servers: Sequence[ServerRecord],
        progress: Progress,
        refresh: bool = False,
    ) -> Profiles:
        """All profiles of a model on ``servers``; what is measured is kept at once, whatever happens to the rest.

        Servers on different machines measure side by side, those that share a machine one after another:
        they would disturb each other's times. Of equal servers, but for their slow-down, one measures for all.

        Args:
            refresh: measure all of it anew.
        """
        # Two callers that miss the same profile would measure it twice.
        lock = self._locks.setdefault(model.hash, asyncio.Lock())
        async with lock:
            work = _Work(self._store, self._registry, self._profiler, self._nodes, model, settings, servers, refresh)
            profiles = await work.run(progress)
        progress(1.0, "profiles complete")
        return profiles

    async def stored_model_profile(self, model: ModelRecord, settings: ModelProfilerSettings) -> ModelProfile | None:
        """The model's profile where it was measured before."""
        return await self._store.model_profile(model_key(model, settings))


class _Work:
    """One call of ``Profiling.profiles``."""

    def __init__(
        self,
        store: ProfileStore,
        registry: Registry,
        profiler: ModelProfiler,
        nodes: Nodes,
        model: ModelRecord,
        settings: ModelProfilerSettings,
        servers: Sequence[ServerRecord],
        refresh: bool,
    ) -> None:
        self._store = store
        self._registry = registry
        self._profiler = profiler
        self._nodes = nodes
        self._record = model
        self._settings = settings
        self._servers = servers
        self._refresh = refresh
        self._model_key = model_key(model, settings)
        self._keys = {
            server.name: execution_key(model, settings, _state(server).fingerprint) for server in self._servers
        }
        self._execution: dict[str, ExecutionProfile] = {}
        self._phases: dict[str, list[ProfilingPhase]] = {}
        self._measured = 0

    async def run(self, progress: Progress) -> Profiles:
        """Find and measure."""
        start = time.perf_counter()
        stored = None if self._refresh else await self._store.model_profile(self._model_key)
        if not self._refresh:
            for key in set(self._keys.values()):
                profile = await self._store.execution_profile(key)
                if profile is not None:
                    self._execution[key] = profile
        known = {} if self._refresh else _links_between(await self._registry.list_servers(), self._servers)
        weighted = WeightedProgress(progress, await self._expected_seconds(stored is not None, known))
        if stored is None:
            stored = await self._measure_model(weighted.part("model"))
        else:
            # It may have been made for another way of timing layers.
            stored = replace(stored, settings=self._settings)
            await self._remember("model", self._model_key)
        await self._measure_execution(stored, weighted)
        links = await self._measure_links(known, weighted)
        return Profiles(
            model=stored,
            servers=tuple(self._servers),
            execution={
                server.name: self._execution[self._keys[server.name]].slowed(_state(server).slowdown)
                for server in self._servers
            },
            links=links,
            measured=self._measured,
            phases=tuple(phase for phases in self._phases.values() for phase in phases),
            seconds=time.perf_counter() - start if self._measured else 0.0,
        )

    async def _expected_seconds(
        self, model_known: bool, links: Mapping[tuple[str, str], MeasuredLink]
    ) -> dict[str, float]:
        """What is missing, and how long it will take: as long as the last time, where there was one."""

        async def before(key: str, otherwise: float) -> float:
            return sum((await self._store.phases(key)).values()) or otherwise

        expected = {} if model_known else {"model": await before(self._model_key, MODEL_SECONDS)}
        for key in set(self._keys.values()) - self._execution.keys():
            expected[key] = await before(key, EXECUTION_SECONDS)
        for server in self._servers:
            if targets := self._missing(server, links):
                expected[f"links {server.name}"] = LINK_SECONDS * len(targets)
        return expected

    async def _measure_model(self, progress: Progress) -> ModelProfile:
        clock = PhaseClock(progress)
        record = self._record
        profile = await self._profiler.profile_model(
            record.hash, record.name, record.samples_hash, self._settings, clock
        )
        await self._keep("model", self._model_key, profile, clock)
        return profile

    async def _measure_execution(self, profile: ModelProfile, weighted: WeightedProgress) -> None:
        machines: dict[str, list[ServerRecord]] = {}
        for server in self._servers:
            machines.setdefault(_state(server).machine, []).append(server)
            self._phases.setdefault(server.name, [])
        turns = {key: asyncio.Lock() for key in self._keys.values()}
        known = set(self._execution)

        async def measure(machine: Iterable[ServerRecord]) -> None:
            for server in machine:
                key = self._keys[server.name]
                async with turns[key]:
                    if key in known:
                        await self._remember(server.name, key)
                    elif key not in self._execution:
                        await self._measure_server(server, profile, weighted.part(key))

        await run_all(measure(machine) for machine in machines.values())

    async def _measure_server(self, server: ServerRecord, profile: ModelProfile, progress: Progress) -> None:
        clock = PhaseClock(lambda fraction, message: progress(fraction, f"{server.name}: {message}"))
        exec_profiler = self._nodes.exec_profiler(server.name, server.services["exec_profiler"])
        execution = await exec_profiler.profile_execution(profile, clock)
        await self._keep(server.name, self._keys[server.name], execution, clock)
        self._execution[self._keys[server.name]] = execution

    async def _keep(self, subject: str, key: str, profile: ModelProfile | ExecutionProfile, clock: PhaseClock) -> None:
        clock.stop()
        await self._store.keep(key, profile, clock.seconds)
        self._measured += 1
        self._phases[subject] = [ProfilingPhase(subject, name, value, True) for name, value in clock.seconds.items()]

    async def _remember(self, subject: str, key: str) -> None:
        times = await self._store.phases(key)
        self._phases[subject] = [ProfilingPhase(subject, name, seconds, False) for name, seconds in times.items()]

    def _missing(self, server: ServerRecord, known: Mapping[tuple[str, str], MeasuredLink]) -> dict[str, str]:
        """Servers to which the link is not known, and the addresses of their monitors."""
        return {
            other.name: other.services["server_monitor"]
            for other in self._servers
            if other.name != server.name and (server.name, other.name) not in known
        }

    async def _measure_links(
        self, known: Mapping[tuple[str, str], MeasuredLink], weighted: WeightedProgress
    ) -> tuple[MeasuredLink, ...]:
        measured: list[MeasuredLink] = []
        for server in self._servers:
            if targets := self._missing(server, known):
                progress, start = weighted.part(f"links {server.name}"), time.perf_counter()
                monitor = self._nodes.server_monitor(server.name, server.services["server_monitor"])
                measured += await monitor.measure_links(targets, progress)
                progress(1.0, f"links from {server.name} measured")
                seconds = time.perf_counter() - start
                self._phases.setdefault("links", []).append(
                    ProfilingPhase("links", f"from {server.name}", seconds, True)
                )
        if measured:
            await self._registry.report_links(measured)
        self._measured += len(measured)
        return (*known.values(), *measured)


def _links_between(cluster: Cluster, servers: Sequence[ServerRecord]) -> dict[tuple[str, str], MeasuredLink]:
    names = {server.name for server in servers}
    return {(link.source, link.target): link for link in cluster.links if link.source in names and link.target in names}


def _state(server: ServerRecord) -> ServerState:
    if server.state is None:
        raise ServerUnavailableError(f"server {server.name!r} has not reported its state yet; try again in a moment")
    return server.state
