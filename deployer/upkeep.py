"""Deployments survive their servers: a process that was started anew gets again what it held, at its present address.

Nothing is remembered of what happened. What each process should hold follows from the records and from who takes part
now; every process that was not told exactly that is told, until it was. Telling a process what it holds already costs
next to nothing.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Literal

from core.cluster import Cluster, ServerRecord
from core.deployment import DeploymentVersion
from core.errors import PartitaError, ServerUnavailableError
from core.progress import no_progress
from deployer.ports import Nodes, Registry
from deployer.records import Records
from deployer.replacement import Replacement
from deployer.retirement import Retirement

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often the Registry is asked who takes part, and failed calls are made again."""

RETIRE_SECONDS = 30.0
"""How often versions that are left over are tried again while nothing changes."""

_Key = tuple[str, str, Literal["inferencer", "front_end"]]
"""Deployment, server, and which of its services."""


@dataclass(frozen=True)
class _Goal:
    """That a process knows a version."""

    instance: str
    version: DeploymentVersion


class Upkeep:
    """Keeps the processes of all active deployments as the records say.

    Args:
        records: which version of which deployment is in force.
        registry: who takes part.
        nodes: the servers.
        retirement: frees servers of what is left over.
        replacement: moves deployments off servers that are lost.
    """

    def __init__(
        self, records: Records, registry: Registry, nodes: Nodes, retirement: Retirement, replacement: Replacement
    ) -> None:
        self._records = records
        self._registry = registry
        self._nodes = nodes
        self._retirement = retirement
        self._replacement = replacement
        self._retire_at = 0.0
        self._seen: Mapping[str, ServerRecord] | None = None
        self._changing: set[str] = set()
        self._wanted: dict[_Key, _Goal] = {}
        self._met: dict[_Key, _Goal] = {}
        self._tasks: dict[_Key, tuple[_Goal, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Look and act; never returns."""
        while True:
            try:
                cluster = await self._registry.list_servers()
                self.act(cluster)
                self._replacement.act(cluster)
            except ServerUnavailableError as error:
                logger.debug("the Registry cannot be asked, trying on: %s", error)
            except Exception:
                logger.exception("deployments could not be kept up, trying on")
            await asyncio.sleep(LOOK_SECONDS)

    @asynccontextmanager
    async def standing_back(self, deployment: str) -> AsyncIterator[None]:
        """Tell no process of a deployment anything while inside, and all of them anew afterwards."""
        self._changing.add(deployment)
        try:
            dropped = [self._drop(key) for key in list(self._tasks) if key[0] == deployment]
            await asyncio.gather(*dropped, return_exceptions=True)
            yield
        finally:
            self._changing.discard(deployment)
            self._met = {key: goal for key, goal in self._met.items() if key[0] != deployment}
            self._seen = None

    def act(self, cluster: Cluster) -> None:
        """Begin to tell every process what it was not told."""
        # What monitors measure changes all the time and is of no concern.
        seen = {server.name: replace(server, state=None) for server in cluster.servers}
        if seen != self._seen or time.monotonic() > self._retire_at:
            self._retire_at = time.monotonic() + RETIRE_SECONDS
            for version in self._records.leftovers():
                if (moved := _at_present(version, seen)) != version:
                    self._records.begin_version(moved)
            self._retirement.start_all()
        if seen == self._seen and self._met == self._wanted:
            return
        self._seen = seen
        self._wanted = self._goals(seen)
        for key in [key for key in self._tasks if key not in self._wanted]:
            self._drop(key)
        # Who was away is told again, whether it forgot or not.
        self._met = {key: goal for key, goal in self._met.items() if self._wanted.get(key) == goal}
        for key, goal in self._wanted.items():
            if key in self._met or (key in self._tasks and self._tasks[key][0] == goal):
                continue
            if key in self._tasks:
                self._drop(key)
            self._tasks[key] = goal, asyncio.create_task(self._tell(key, goal))

    def _drop(self, key: _Key) -> asyncio.Task[None]:
        _, task = self._tasks.pop(key)
        task.cancel()
        return task

    def _goals(self, servers: Mapping[str, ServerRecord]) -> dict[_Key, _Goal]:
        goals: dict[_Key, _Goal] = {}
        for record in self._records.deployments():
            if record.state != "active" or record.name in self._changing:
                continue
            version = _at_present(record.version, servers)
            device = servers.get(version.device)
            public = record.public_front_end_address
            if device is not None and "front_end" in device.services:
                public = device.public_front_end_address or version.front_end_address
            moved = replace(record, version=version, public_front_end_address=public)
            if moved != record:
                logger.info("servers of %s have other addresses now", record.name)
                self._records.keep_deployment(moved)
            for server in version.addresses:
                if server in servers and (instance := servers[server].instances.get("inferencer")):
                    goals[record.name, server, "inferencer"] = _Goal(instance, version)
            if device is not None and (instance := device.instances.get("front_end")):
                goals[record.name, version.device, "front_end"] = _Goal(instance, version)
        return goals

    async def _tell(self, key: _Key, goal: _Goal) -> None:
        deployment, server, service = key
        version = goal.version
        try:
            if service == "inferencer":
                await self._nodes.inferencer(server, version.addresses[server]).prepare(version, no_progress)
            else:
                await self._nodes.front_end(server, version.front_end_address).activate(version)
            self._met[key] = goal
        except PartitaError as error:
            logger.warning("the %s of server %s did not take up %s, trying on: %s", service, server, deployment, error)
        finally:
            # Not where another has taken this one's place.
            if key in self._tasks and self._tasks[key][1] is asyncio.current_task():
                del self._tasks[key]

    async def close(self) -> None:
        """Stop telling."""
        await asyncio.gather(*map(self._drop, list(self._tasks)), return_exceptions=True)


def _at_present(version: DeploymentVersion, servers: Mapping[str, ServerRecord]) -> DeploymentVersion:
    """The version with the addresses of those that take part now; others keep theirs."""

    def address(server: str, service: str, known: str) -> str:
        return servers[server].services.get(service, known) if server in servers else known

    return replace(
        version,
        addresses={server: address(server, "inferencer", known) for server, known in version.addresses.items()},
        front_end_address=address(version.device, "front_end", version.front_end_address),
    )
