from pathlib import Path

import pytest

from core.progress import no_progress
from deployer.planning import PlanWishes
from tests.unit.deployer.system import System


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path / "state")


async def plan(system: System):
    await system.deployer.load("m", b"model", {}, [], no_progress)
    made = await system.deployer.plan("m", PlanWishes(), no_progress)
    return made, system.deployer.records.plan(made.id).problem


async def test_two_servers_may_lack_a_link(system: System) -> None:
    system.cluster.unlinked = {("edge", "cloud"), ("cloud", "edge")}
    made, problem = await plan(system)
    assert [server.name for server in problem.servers] == ["device", "edge", "cloud"]
    assert {(link.source, link.target) for link in problem.links} == {
        ("device", "edge"),
        ("edge", "device"),
        ("device", "cloud"),
        ("cloud", "device"),
    }
    assert made.notes == ()


@pytest.mark.parametrize("missing", [("device", "cloud"), ("cloud", "device")])
async def test_what_the_device_cannot_lead_takes_no_part_and_the_plan_says_so(
    system: System, missing: tuple[str, str]
) -> None:
    system.cluster.unlinked = {missing}
    made, problem = await plan(system)
    assert [server.name for server in problem.servers] == ["device", "edge"]
    assert problem.execution.keys() == {"device", "edge"}
    assert {name for link in problem.links for name in (link.source, link.target)} == {"device", "edge"}
    assert len(made.notes) == 1
    assert made.notes[0].startswith("cloud takes no part")
    assert " → ".join(missing) in made.notes[0]


async def test_a_link_that_appears_is_used_by_the_next_plan(system: System) -> None:
    system.cluster.unlinked = {("device", "cloud")}
    await plan(system)
    system.cluster.unlinked.clear()
    made, problem = await plan(system)
    assert len(problem.servers) == 3
    assert made.notes == ()
