"""A Deployer over fakes of the other services."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from core.document_store import DocumentStore
from core.errors import InvalidModelError
from core.progress import Progress, no_progress
from deployer.deployer import Deployer
from deployer.fakes import FakeAdmittedModel, FakeCluster, FakePool, server
from deployer.planning import PlanWishes
from deployer.ports import Nodes, Optimizer
from deployer.profiling import Profiling
from deployer.records import Records


async def admission(data: bytes, input_shapes: Mapping[str, tuple[int, ...]], progress: Progress) -> FakeAdmittedModel:
    progress(1.0, f"checked with {len(input_shapes)} shapes")
    if data == b"bad":
        raise InvalidModelError("bad")
    return FakeAdmittedModel(data)


class System:
    """A Deployer over fakes; ``restart`` makes a new one over the same state, as after a crash."""

    def __init__(self, path: Path, optimizer: Optimizer | None = None) -> None:
        self.pool = FakePool()
        self.cluster = FakeCluster([server("device", "device"), server("edge"), server("cloud", "cloud")])
        self.optimizer = optimizer or self.cluster
        self.path = path
        self.restart()

    def restart(self, nodes: Nodes | None = None) -> None:
        if hasattr(self, "store"):
            self.store.close()
        self.store = DocumentStore(self.path)
        nodes = nodes or self.cluster
        profiling = Profiling(self.pool, self.cluster, self.cluster, self.cluster)
        self.deployer = Deployer(
            Records(self.store), admission, self.pool, self.cluster, profiling, self.optimizer, self.cluster, nodes
        )

    async def planned(self, **wishes: object) -> str:
        await self.deployer.load("m", b"model", {}, [], no_progress)
        plan = await self.deployer.plan("m", PlanWishes(**wishes), no_progress)  # type: ignore[arg-type]
        assert plan.id
        return plan.id

    def restart_server(self, name: str, port: str = "") -> None:
        """Replace a server's process by one that holds nothing, with another address where ``port`` is given."""
        found = next(item for item in self.cluster.servers if item.name == name)
        instance = f"{found.instances['inferencer']}'"
        services = {service: f"{name}:{service}{port}" for service in found.services} if port else found.services
        new = replace(found, instances=dict.fromkeys(services, instance), services=services)
        self.cluster.servers = [new if item is found else item for item in self.cluster.servers]
        self.cluster.versions = {key: told for key, told in self.cluster.versions.items() if key[0] != name}
        self.cluster.active.pop(name, None)

    async def settle(self) -> None:
        """Have the Deployer look until there is nothing left to do."""
        for _ in range(3):
            self.deployer.upkeep.act(await self.cluster.list_servers())
            await in_the_background()


async def in_the_background() -> None:
    """Wait until nothing goes on but the caller."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)
