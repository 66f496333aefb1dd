"""Profiles of a model, of its layers on every server and of the links: stored, and never measured twice."""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.cluster import Cluster, ServerRecord
from core.concurrency import run_all
from core.documents import dumps, loads
from core.errors import ServerUnavailableError
from core.problem import Link
from core.profiles import ExecutionProfile, ModelProfile, ModelProfilerSettings, ServerState
from core.progress import Progress, part
from deployer.ports import ModelPool, ModelProfiler, Nodes, Registry
from deployer.records import ModelRecord

MODEL_SHARE, EXECUTION_SHARE = 0.5, 0.4
"""Which part of the progress bar the profile of the model and those of the servers take; links take the rest."""


@dataclass(frozen=True)
class Profiles:
    """Everything measured that planning needs.

    Attributes:
        servers: those the profiles are for, the device first.
        execution: server name → profile.
        links: between these servers.
        measured: how many of all these had to be measured now.
    """

    model: ModelProfile
    servers: tuple[ServerRecord, ...]
    execution: Mapping[str, ExecutionProfile]
    links: tuple[Link, ...]
    measured: int


class Profiling:
    """Finds profiles in the pool and has measured what is missing."""

    def __init__(self, pool: ModelPool, registry: Registry, profiler: ModelProfiler, nodes: Nodes) -> None:
        self._pool = pool
        self._registry = registry
        self._profiler = profiler
        self._nodes = nodes
        self._locks: dict[str, asyncio.Lock] = {}

    async def profiles(
        self, model: ModelRecord, settings: ModelProfilerSettings, servers: Sequence[ServerRecord], progress: Progress
    ) -> Profiles:
        """All profiles of a model on ``servers``.

        Servers on different machines measure side by side, those that share a machine one after another:
        they would disturb each other's times.
        """
        # Two callers that miss the same profile would measure it twice.
        lock = self._locks.setdefault(model.hash, asyncio.Lock())
        async with lock:
            model_profile, new_model = await self._model(model, settings, part(progress, 0.0, MODEL_SHARE))
            execution, new_execution = await self._execution(
                model_profile, servers, part(progress, MODEL_SHARE, EXECUTION_SHARE)
            )
            start = MODEL_SHARE + EXECUTION_SHARE
            links, new_links = await self._links(servers, part(progress, start, 1 - start))
        progress(1.0, "profiles complete")
        return Profiles(model_profile, tuple(servers), execution, links, new_model + new_execution + new_links)

    async def stored_model_profile(self, model: ModelRecord, settings: ModelProfilerSettings) -> ModelProfile | None:
        """The model's profile where it was measured before."""
        text = await self._pool.get_document("model-profile", _key(model.hash, model.samples_hash, dumps(settings)))
        return None if text is None else loads(text, ModelProfile)

    async def _model(
        self, model: ModelRecord, settings: ModelProfilerSettings, progress: Progress
    ) -> tuple[ModelProfile, int]:
        stored = await self.stored_model_profile(model, settings)
        if stored is not None:
            return stored, 0
        profile = await self._profiler.profile_model(model.hash, model.name, model.samples_hash, settings, progress)
        await self._pool.put_document(
            "model-profile", _key(model.hash, model.samples_hash, dumps(settings)), dumps(profile)
        )
        return profile, 1

    async def _execution(
        self, profile: ModelProfile, servers: Sequence[ServerRecord], progress: Progress
    ) -> tuple[dict[str, ExecutionProfile], int]:
        machines: dict[str, list[ServerRecord]] = {}
        for server in servers:
            machines.setdefault(_state(server).machine, []).append(server)
        done: dict[str, ExecutionProfile] = {}
        fractions = dict.fromkeys((server.name for server in servers), 0.0)
        measured = 0

        async def measure(machine: Iterable[ServerRecord]) -> None:
            nonlocal measured
            for server in machine:

                def step(fraction: float, message: str, name: str = server.name) -> None:
                    fractions[name] = fraction
                    progress(sum(fractions.values()) / len(fractions), f"{name}: {message}")

                key = _key(profile.model, dumps(profile.settings), _state(server).fingerprint)
                text = await self._pool.get_document("execution-profile", key)
                if text is None:
                    exec_profiler = self._nodes.exec_profiler(server.name, server.services["exec_profiler"])
                    done[server.name] = await exec_profiler.profile_execution(profile, step)
                    await self._pool.put_document("execution-profile", key, dumps(done[server.name]))
                    measured += 1
                else:
                    done[server.name] = loads(text, ExecutionProfile)
                step(1.0, "layers timed")

        await run_all(measure(machine) for machine in machines.values())
        return done, measured

    async def _links(self, servers: Sequence[ServerRecord], progress: Progress) -> tuple[tuple[Link, ...], int]:
        cluster = await self._registry.list_servers()
        known = _links_between(cluster, servers)
        measured: list[Link] = []
        for index, server in enumerate(servers):
            targets = {
                other.name: other.services["server_monitor"]
                for other in servers
                if other.name != server.name and (server.name, other.name) not in known
            }
            if targets:
                monitor = self._nodes.server_monitor(server.name, server.services["server_monitor"])
                measured += await monitor.measure_links(targets, part(progress, index / len(servers), 1 / len(servers)))
        if measured:
            await self._registry.report_links(measured)
        return (*known.values(), *measured), len(measured)


def _links_between(cluster: Cluster, servers: Sequence[ServerRecord]) -> dict[tuple[str, str], Link]:
    names = {server.name for server in servers}
    return {(link.source, link.target): link for link in cluster.links if link.source in names and link.target in names}


def _state(server: ServerRecord) -> ServerState:
    if server.state is None:
        raise ServerUnavailableError(f"server {server.name!r} has not reported its state yet; try again in a moment")
    return server.state


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
