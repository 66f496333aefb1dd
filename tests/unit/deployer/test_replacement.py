"""A deployment does without a server that is lost, and returns to its plan when the server is back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import InfeasiblePlanError, ServerUnavailableError
from core.progress import no_progress
from deployer.replacement import BACK_SECONDS, LOST_SECONDS, RETRY_SECONDS, Replacement, without
from tests.unit.deployer.system import System, in_the_background


class Watched(System):
    """A system whose clock is told."""

    def __init__(self, path: Path) -> None:
        self.now = 0.0
        super().__init__(path)

    def restart(self, nodes: None = None) -> None:
        super().restart(nodes)
        self.deployer.replacement = Replacement(
            self.deployer.records, self.cluster, self.deployer._move, lambda: self.now
        )

    async def pass_by(self, seconds: float) -> None:
        """Let time pass: look at once, and at its end."""
        for passing in (0.0, seconds):
            self.now += passing
            cluster = await self.cluster.list_servers()
            self.deployer.upkeep.act(cluster)
            self.deployer.replacement.act(cluster)
            await in_the_background()

    def placed_on(self) -> set[str]:
        """Servers of the version in force, which hold it, and no others hold any."""
        version = self.deployer.records.in_force("app")
        assert version is not None
        assert self.cluster.active["device"] == version
        assert {server for server, _, number in self.cluster.prepared if number == version.version} == set(
            version.addresses
        )
        return set(version.addresses)


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Watched]:
    system = Watched(tmp_path / "state.sqlite")
    yield system
    system.store.close()


def lose(system: System, *names: str) -> list[object]:
    """Have servers die; returns what brings them back."""
    before = system.cluster.servers
    system.cluster.servers = [server for server in before if server.name not in names]
    for name in names:
        system.cluster.failing[name] = ServerUnavailableError("away")
    return list(before)


def bring_back(system: System, servers: list[object]) -> None:
    system.cluster.servers = servers  # type: ignore[assignment]
    system.cluster.failing.clear()


async def test_a_lost_server_is_replaced_until_it_is_back(system: Watched) -> None:
    plan_id = await system.planned()
    await system.deployer.deploy(plan_id, "app", no_progress, micro_batch=4)
    await system.pass_by(100.0)
    assert system.placed_on() == {"device", "cloud"}
    servers = lose(system, "cloud")
    await system.pass_by(LOST_SECONDS / 2)
    assert system.placed_on() == {"device", "cloud"}
    await system.pass_by(LOST_SECONDS)
    assert system.placed_on() == {"device", "edge"}
    version = system.deployer.records.in_force("app")
    assert version is not None
    assert (version.lost, version.micro_batch) == (("cloud",), 4)
    # Another one is lost as well.
    lose(system, "edge")
    await system.pass_by(LOST_SECONDS)
    assert system.placed_on() == {"device"}
    bring_back(system, servers)
    await system.pass_by(BACK_SECONDS / 2)
    assert system.placed_on() == {"device"}
    await system.pass_by(BACK_SECONDS)
    assert system.placed_on() == {"device", "cloud"}
    record = system.deployer.records.deployment("app")
    assert (record.version.plan, record.version.lost) == (plan_id, ())
    # What the lost servers still held is freed.
    await system.settle()
    assert system.deployer.records.leftovers() == []
    assert {number for _, _, number in system.cluster.prepared} == {record.version.version}


async def test_a_new_deployer_replaces_and_returns_too(system: Watched) -> None:
    await system.deployer.deploy(await system.planned(), "app", no_progress)
    servers = lose(system, "cloud")
    system.restart()
    await system.pass_by(LOST_SECONDS)
    assert system.placed_on() == {"device", "edge"}
    bring_back(system, servers)
    system.restart()
    await system.pass_by(BACK_SECONDS)
    assert system.placed_on() == {"device", "cloud"}


async def test_a_plan_without_a_server_is_sought_once(system: Watched) -> None:
    await system.deployer.deploy(await system.planned(), "app", no_progress)
    for _ in range(2):
        servers = lose(system, "cloud")
        await system.pass_by(LOST_SECONDS)
        assert system.placed_on() == {"device", "edge"}
        bring_back(system, servers)
        await system.pass_by(BACK_SECONDS)
    assert system.cluster.calls["optimize"] == 2


async def test_where_a_rule_allows_no_other_server_it_is_waited_for(system: Watched) -> None:
    await system.deployer.deploy(await system.planned(layer_rules=(("b", ("cloud",)),)), "app", no_progress)
    servers = lose(system, "cloud")
    await system.pass_by(LOST_SECONDS)
    await system.pass_by(RETRY_SECONDS)
    assert system.deployer.records.in_force("app") == system.cluster.active["device"]
    bring_back(system, servers)
    await system.pass_by(BACK_SECONDS)
    version = system.deployer.records.in_force("app")
    assert version is not None
    assert version.version == 1


async def test_a_device_or_a_whole_registry_that_is_away_moves_nothing(system: Watched) -> None:
    await system.deployer.deploy(await system.planned(), "app", no_progress)
    servers = lose(system, "device", "edge", "cloud")
    await system.pass_by(100.0)
    # One after the other registers again.
    system.cluster.servers = servers[:1]  # type: ignore[assignment]
    system.cluster.failing.clear()
    await system.pass_by(LOST_SECONDS / 2)
    bring_back(system, servers)
    await system.pass_by(100.0)
    version = system.deployer.records.in_force("app")
    assert version is not None
    assert version.version == 1


async def test_what_a_user_did_meanwhile_stands(system: Watched) -> None:
    plan_id = await system.planned()
    await system.deployer.deploy(plan_id, "app", no_progress)
    lose(system, "cloud")
    cluster = await system.cluster.list_servers()
    system.deployer.replacement.act(cluster)
    system.now += LOST_SECONDS
    undeploying = system.deployer.undeploy("app")
    system.deployer.replacement.act(cluster)
    await undeploying
    await in_the_background()
    assert system.deployer.records.in_force("app") is None
    assert system.cluster.active == {}


async def test_a_problem_without_servers_keeps_its_rules(system: Watched) -> None:
    plan_id = await system.planned(layer_rules=(("b", ("edge", "cloud")),))
    problem = without(system.deployer.records.plan(plan_id).problem, ["cloud"])
    assert [server.name for server in problem.servers] == ["device", "edge"]
    assert problem.model.by_name["b"].servers == ("edge",)
    assert {(link.source, link.target) for link in problem.links} == {("device", "edge"), ("edge", "device")}
    with pytest.raises(InfeasiblePlanError, match="'b' runs on edge only"):
        without(problem, ["edge"])
