"""Deployments outlive every process: servers are given again what they held, and the Deployer may die at any moment."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.cluster import Cluster
from core.errors import NotFoundError, ServerUnavailableError
from core.progress import no_progress
from tests.unit.deployer.system import System, in_the_background


@pytest.fixture
def system(tmp_path: Path):  # type: ignore[no-untyped-def]
    system = System(tmp_path / "state.sqlite")
    yield system
    system.store.close()


def consistent(system: System, name: str = "app") -> int:
    """That servers hold exactly what is in force; returns the version, 0 for none."""
    version = system.deployer.records.in_force(name)
    assert system.deployer.records.leftovers() == []
    if version is None:
        assert system.cluster.prepared == set()
        assert system.cluster.active == {}
        return 0
    assert system.cluster.prepared == {(server, name, version.version) for server in version.addresses}
    # Told with the addresses that are true now.
    assert list(system.cluster.versions.values()) == [version] * len(version.addresses)
    assert system.cluster.active == {version.device: version}
    return version.version


@pytest.mark.parametrize("port", ["", " moved"])
@pytest.mark.parametrize("name", ["device", "cloud"])
async def test_a_server_started_anew_takes_up_its_part(system: System, name: str, port: str) -> None:
    await system.deployer.deploy(await system.planned(), "app", no_progress)
    await system.settle()
    for _ in range(2):
        system.restart_server(name, port)
        await system.settle()
        assert consistent(system) == 1
    # Clients are told the new address.
    front_end = system.deployer.records.deployment("app").public_front_end_address
    assert front_end == (f"device:front_end{port}" if name == "device" else "device:front_end")


async def test_nothing_is_told_twice(system: System) -> None:
    await system.deployer.deploy(await system.planned(), "app", no_progress)
    await system.settle()
    calls = dict(system.cluster.calls)
    # What a monitor reports is no change.
    state = replace(system.cluster.servers[0].state, load=0.9)  # type: ignore[type-var]
    system.cluster.servers = [replace(system.cluster.servers[0], state=state), *system.cluster.servers[1:]]
    await system.settle()
    assert dict(system.cluster.calls) == calls


async def test_a_server_that_cannot_take_it_up_is_asked_until_it_does(system: System) -> None:
    await system.deployer.deploy(await system.planned(), "app", no_progress)
    await system.settle()
    system.restart_server("cloud")
    system.cluster.failing["cloud"] = ServerUnavailableError("still starting")
    await system.settle()
    assert system.cluster.prepared == {("device", "app", 1)}
    system.cluster.failing.clear()
    await system.settle()
    assert consistent(system) == 1


async def test_an_absent_server_is_waited_for(system: System) -> None:
    await system.deployer.deploy(await system.planned(), "app", no_progress)
    servers = system.cluster.servers
    system.cluster.servers = []
    await system.settle()
    system.cluster.servers = servers
    system.restart_server("cloud", " moved")
    system.restart_server("device")
    await system.settle()
    assert consistent(system) == 1


async def test_a_new_deployer_finds_what_happened_meanwhile(system: System) -> None:
    await system.deployer.deploy(await system.planned(), "app", no_progress)
    system.restart_server("device", " moved")
    system.restart()
    await system.settle()
    assert consistent(system) == 1


async def test_an_undeployed_server_that_was_away_is_freed_when_it_is_back(system: System) -> None:
    await system.deployer.deploy(await system.planned(), "app", no_progress)
    system.cluster.failing["cloud"] = ServerUnavailableError("away")
    await system.deployer.undeploy("app")
    assert system.cluster.prepared == {("cloud", "app", 1)}
    system.restart()
    system.cluster.failing.clear()
    await system.settle()
    assert consistent(system) == 0
    # Whoever had it in memory only has lost it; the version's new place is asked in vain, not the old one.
    await system.deployer.deploy(system.deployer.records.plans()[0].plan.id or "", "app", no_progress)
    system.cluster.failing["cloud"] = ServerUnavailableError("away")
    await system.deployer.undeploy("app")
    system.cluster.failing.clear()
    system.restart_server("cloud", " moved")
    await system.settle()
    assert consistent(system) == 0


class DyingNodes:
    """The servers as a Deployer sees them that dies at its ``calls``-th call: before it, or before the answer."""

    def __init__(self, system: System, calls: int, answer_lost: bool) -> None:
        self.died = asyncio.Event()
        self._cluster = system.cluster
        self._calls = calls
        self._answer_lost = answer_lost

    def inferencer(self, server: str, address: str) -> Any:
        return _DyingNode(self, self._cluster.inferencer(server, address))

    front_end = inferencer

    async def call(self, method: Any, *arguments: Any) -> Any:
        self._calls -= 1
        if self._calls < 0 or (self._calls == 0 and not self._answer_lost):
            self.died.set()
            await asyncio.Event().wait()
        result = await method(*arguments)
        if self._calls == 0:
            self.died.set()
            await asyncio.Event().wait()
        return result


class _DyingNode:
    def __init__(self, nodes: DyingNodes, node: Any) -> None:
        self._nodes = nodes
        self._node = node

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self._nodes.call(getattr(self._node, name), *arguments)


async def dies(system: System, work: Any, nodes: DyingNodes) -> bool:
    """Run ``work`` until it is done or the Deployer has died; whether it was done."""
    task = asyncio.create_task(work)
    death = asyncio.create_task(nodes.died.wait())
    await asyncio.wait([task, death], return_when=asyncio.FIRST_COMPLETED)
    done = task.done()
    # A dead process writes nothing more.
    system.store.close()
    for other in asyncio.all_tasks() - {asyncio.current_task()}:
        other.cancel()
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)
    await asyncio.gather(task, return_exceptions=True)
    return done


DEPLOY_CALLS = 8
"""More than a deploy over another version makes: prepare and release on two servers, activate, drain."""


@pytest.mark.parametrize("answer_lost", [False, True])
@pytest.mark.parametrize("calls", range(1, DEPLOY_CALLS))
async def test_a_deployer_that_dies_while_deploying_leaves_the_old_or_the_new(
    system: System, calls: int, answer_lost: bool
) -> None:
    plan_id = await system.planned()
    await system.deployer.deploy(plan_id, "app", no_progress)
    system.restart(nodes := DyingNodes(system, calls, answer_lost))  # type: ignore[arg-type]
    acknowledged = await dies(system, system.deployer.deploy(plan_id, "app", no_progress), nodes)
    system.restart()
    # Servers may be asked before the Deployer has looked around.
    assert system.cluster.active["device"].version in (1, 2)
    await system.settle()
    assert consistent(system) in ((2,) if acknowledged else (1, 2))
    # And it goes on from there.
    await system.deployer.deploy(plan_id, "app", no_progress)
    await system.settle()
    assert consistent(system) in (2, 3)


@pytest.mark.parametrize("answer_lost", [False, True])
@pytest.mark.parametrize("calls", range(1, 5))
async def test_a_deployer_that_dies_while_undeploying_leaves_all_or_nothing(
    system: System, calls: int, answer_lost: bool
) -> None:
    await system.deployer.deploy(await system.planned(), "app", no_progress)
    system.restart(nodes := DyingNodes(system, calls, answer_lost))  # type: ignore[arg-type]
    await dies(system, system.deployer.undeploy("app"), nodes)
    system.restart()
    await system.settle()
    # It was written down before anybody was called.
    assert consistent(system) == 0
    with pytest.raises(NotFoundError, match="not active"):
        await system.deployer.undeploy("app")
    await in_the_background()


async def test_a_server_restarting_in_the_middle_of_a_deploy_gets_the_new_version(system: System) -> None:
    plan_id = await system.planned()
    await system.deployer.deploy(plan_id, "app", no_progress)
    system.restart(nodes := DyingNodes(system, 3, answer_lost=True))  # type: ignore[arg-type]
    task = asyncio.create_task(system.deployer.deploy(plan_id, "app", no_progress))
    # All has been prepared, the FrontEnd was told of it, and the Deployer hangs.
    await nodes.died.wait()
    system.restart_server("cloud", " moved")
    system.deployer.upkeep.act(await system.cluster.list_servers())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for other in asyncio.all_tasks() - {asyncio.current_task()}:
        other.cancel()
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)
    system.restart()
    await system.settle()
    assert consistent(system) == 1


async def test_the_upkeep_outlives_a_registry_that_is_away(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    await system.deployer.deploy(await system.planned(), "app", no_progress)
    failures: list[Exception] = [ServerUnavailableError("away"), RuntimeError("a bug")]
    list_servers = system.cluster.list_servers

    async def fail_at_first() -> Cluster:
        if failures:
            raise failures.pop(0)
        return await list_servers()

    monkeypatch.setattr(system.cluster, "list_servers", fail_at_first)
    monkeypatch.setattr("deployer.upkeep.LOOK_SECONDS", 0)
    system.restart_server("cloud")
    running = asyncio.create_task(system.deployer.upkeep.run())
    async with asyncio.timeout(60):
        while ("cloud", "app", 1) not in system.cluster.prepared:
            await asyncio.sleep(0)
    running.cancel()
    await in_the_background()
    assert failures == []
