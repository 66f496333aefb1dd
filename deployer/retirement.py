"""The end of versions that are not in force: their requests end, then their servers let go, whatever crashes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from core.deployment import DeploymentVersion
from core.errors import PartitaError
from deployer.ports import Nodes
from deployer.records import Records

logger = logging.getLogger(__name__)


class Retirement:
    """Frees servers of versions that ``Records.leftovers`` names, until none of them holds any.

    Args:
        records: what is left over.
        nodes: the servers.
        lock: of a deployment's name; held while which version is in force may change.
    """

    def __init__(self, records: Records, nodes: Nodes, lock: Callable[[str], asyncio.Lock]) -> None:
        self._records = records
        self._nodes = nodes
        self._lock = lock
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}

    def start(self, version: DeploymentVersion) -> asyncio.Task[None]:
        """Retire a version in the background, unless that is under way."""
        key = version.deployment, version.version
        if key not in self._tasks:
            task = self._tasks[key] = asyncio.create_task(self._retire(version))
            task.add_done_callback(lambda _: self._tasks.pop(key, None))
        return self._tasks[key]

    def start_all(self) -> None:
        """Retire whatever is left over; a deployment that is changing right now must wait."""
        for version in self._records.leftovers():
            if not self._lock(version.deployment).locked():
                self.start(version)

    async def _retire(self, version: DeploymentVersion) -> None:
        """Try once; what could not be reached is tried again by ``start_all``."""
        releases = [partial(self._release, server=server) for server in version.addresses]
        steps: list[Callable[[DeploymentVersion], Awaitable[None]]] = [self._end_requests, *releases]
        freed = True
        for step in steps:
            try:
                await step(version)
            except PartitaError as error:
                freed = False
                logger.info("version %d of %s is not gone yet: %s", version.version, version.deployment, error)
        if freed:
            self._records.let_go(version)

    async def _release(self, version: DeploymentVersion, server: str) -> None:
        inferencer = self._nodes.inferencer(server, version.addresses[server])
        await inferencer.release(version.deployment, version.version)

    async def _end_requests(self, version: DeploymentVersion) -> None:
        front_end = self._nodes.front_end(version.device, version.front_end_address)
        async with self._lock(version.deployment):
            in_force = self._records.in_force(version.deployment)
            # Else the version in force has taken its place there, or soon will.
            if in_force is None or in_force.device != version.device:
                await front_end.deactivate(version.deployment)
        await front_end.drain(version.deployment, version.version)

    async def close(self) -> None:
        """Stop; a new Deployer over the same records goes on."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
