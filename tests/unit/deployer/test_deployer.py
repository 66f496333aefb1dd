"""Load, profile, plan, deploy and undeploy over fakes of the other services."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import (
    FailedPreconditionError,
    InfeasiblePlanError,
    InvalidArgumentError,
    InvalidModelError,
    InvalidTensorError,
    NotFoundError,
    ServerUnavailableError,
)
from core.objective import Limits
from core.profiles import ModelProfilerSettings
from core.progress import no_progress
from core.tensors import TensorSpec
from deployer.fakes import server
from tests.unit.deployer.system import System, in_the_background


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    system = System(tmp_path / "state.sqlite")
    yield system
    system.store.close()


async def test_loading_names_and_versions_by_content(system: System) -> None:
    first = await system.deployer.load("m", b"one", {}, [], no_progress)
    second = await system.deployer.load("m", b"two", {}, [], no_progress)
    again = await system.deployer.load("m", b"two", {}, [], no_progress)
    records = system.deployer.records
    assert second == again != first
    assert len(records.models()) == 2
    assert records.model("m") == second
    assert records.model(f"m@{first.hash[:8]}") == first
    with pytest.raises(NotFoundError, match="loaded models: m"):
        records.model("n")
    with pytest.raises(NotFoundError):
        records.model("m@0123456789abcdef")


@pytest.mark.parametrize("name", ["", "a b", "a@b", "../up", "a\nb", "x" * 201])
async def test_unusable_names_are_refused(system: System, name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="model name"):
        await system.deployer.load(name, b"one", {}, [], no_progress)


async def test_a_bad_model_or_sample_changes_nothing(system: System) -> None:
    with pytest.raises(InvalidModelError):
        await system.deployer.load("m", b"bad", {}, [], no_progress)
    with pytest.raises(InvalidTensorError):
        await system.deployer.load("m", b"good", {}, [{"x": np.zeros((1, 5), np.float32)}], no_progress)
    assert system.deployer.records.models() == []
    assert system.pool.blobs == {}


async def test_profiles_are_not_measured_twice(system: System) -> None:
    await system.deployer.load("m", b"model", {}, [{"x": np.zeros((1, 4), np.float32)}], no_progress)
    first = await system.deployer.profile("m", None, no_progress)
    counted = dict(system.cluster.calls)
    system.restart()
    second = await system.deployer.profile("m", None, no_progress)
    assert (first.measured, second.measured) == (1 + 3 + 6, 0)
    assert dict(system.cluster.calls) == counted
    assert second.execution == first.execution
    assert set(second.links) == set(first.links)
    other = await system.deployer.profile("m", ModelProfilerSettings(quantizable_count=3), no_progress)
    assert other.measured == 1 + 3


async def test_two_callers_share_one_measurement(system: System) -> None:
    await system.deployer.load("m", b"model", {}, [], no_progress)
    await asyncio.gather(*(system.deployer.profile("m", None, no_progress) for _ in range(2)))
    assert system.cluster.calls["profile_model"] == 1


async def test_equal_servers_share_profiles_and_one_machine_measures_one_at_a_time(system: System) -> None:
    system.cluster.servers = [
        server("device", "device", machine="box"),
        server("edge", fingerprint="same", machine="box"),
        server("cloud", "cloud", fingerprint="same", machine="box"),
    ]
    await system.deployer.load("m", b"model", {}, [], no_progress)
    await system.deployer.profile("m", None, no_progress)
    assert system.cluster.calls["profile_execution"] == 2
    assert system.cluster.busiest == 1


async def test_different_machines_measure_side_by_side(system: System) -> None:
    await system.deployer.load("m", b"model", {}, [], no_progress)
    await system.deployer.profile("m", None, no_progress)
    assert system.cluster.busiest == 3


async def test_rules_and_limits_reach_the_problem(system: System) -> None:
    plan_id = await system.planned(
        layer_rules=(("a", ("device", "edge")), ("*", ("edge", "cloud"))), memory_limit_bytes={"edge": 5}
    )
    problem = system.deployer.records.plan(plan_id).problem
    assert problem.allowed_servers("a") == ("edge",)
    assert problem.allowed_servers("b") == ("edge", "cloud")
    assert {item.name: item.memory_bytes for item in problem.servers} == {"device": 2**30, "edge": 5, "cloud": 2**30}
    assert problem.device == "device"


@pytest.mark.parametrize(
    ("wishes", "error", "message"),
    [
        ({"device": "nowhere"}, NotFoundError, "nowhere"),
        ({"servers": ("device", "nowhere")}, NotFoundError, "nowhere"),
        ({"servers": ("edge",)}, FailedPreconditionError, "name the device"),
        ({"layer_rules": (("zz*", ("edge",)),)}, InvalidArgumentError, "zz"),
        ({"layer_rules": (("a", ("nowhere",)),)}, InvalidArgumentError, "nowhere"),
        ({"memory_limit_bytes": {"nowhere": 1}}, InvalidArgumentError, "nowhere"),
    ],
)
async def test_wishes_that_do_not_fit_are_named(
    system: System, wishes: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await system.planned(**wishes)
    assert system.deployer.records.plans() == []


async def test_a_deployment_knows_what_its_models_file_says_of_itself(system: System) -> None:
    deployment = await system.deployer.deploy(await system.planned(), "", no_progress)
    system.restart()
    kept = system.deployer.records.deployment("m")
    assert deployment.metadata == kept.metadata == system.deployer.records.model("m").metadata == {"task": "detect"}


async def test_a_micro_batch_reaches_the_servers(system: System) -> None:
    await system.deployer.deploy(await system.planned(), "app", no_progress, 8)
    assert system.cluster.versions["cloud", "app", 1].micro_batch == system.cluster.active["device"].micro_batch == 8


@pytest.mark.parametrize("count", [-1, 0, 257])
async def test_a_micro_batch_out_of_range_is_refused(system: System, count: int) -> None:
    with pytest.raises(InvalidArgumentError, match=f"micro-batch of {count} requests: give 1 to 256"):
        await system.deployer.deploy(await system.planned(), "app", no_progress, count)
    assert system.cluster.prepared == set()


async def test_requests_to_a_model_without_a_first_dimension_of_one_are_not_joined(system: System) -> None:
    plan_id = await system.planned()
    record = system.deployer.records.plan(plan_id)
    model = replace(record.model, outputs=(TensorSpec("boxes", "float32", (300, 6)),))
    system.deployer.records.keep_plan(replace(record, model=model))
    with pytest.raises(InvalidArgumentError, match=r"'boxes' has the shape \[300, 6\]"):
        await system.deployer.deploy(plan_id, "app", no_progress, 2)
    await system.deployer.deploy(plan_id, "app", no_progress)


async def test_infeasible_plans_are_kept_but_not_deployed(system: System) -> None:
    plan_id = await system.planned(limits=Limits(device_energy_joules=0))
    assert system.deployer.records.plan(plan_id).plan.status == "infeasible"
    with pytest.raises(InfeasiblePlanError, match="device energy"):
        await system.deployer.deploy(plan_id, "", no_progress)
    with pytest.raises(NotFoundError, match="no plan 'x'"):
        await system.deployer.deploy("x", "", no_progress)


async def test_deploying_again_retires_the_old_version(system: System) -> None:
    plan_id = await system.planned()
    first = await system.deployer.deploy(plan_id, "app", no_progress)
    assert system.cluster.prepared == {("device", "app", 1), ("cloud", "app", 1)}
    system.restart()
    second = await system.deployer.deploy(plan_id, "app", no_progress)
    await in_the_background()
    assert (first.version.version, second.version.version) == (1, 2)
    assert system.cluster.prepared == {("device", "app", 2), ("cloud", "app", 2)}
    assert system.cluster.active["device"].version == 2
    assert system.cluster.calls["drain app 1"] == 1


async def test_a_failed_deploy_leaves_the_old_version_in_force(system: System) -> None:
    plan_id = await system.planned()
    await system.deployer.deploy(plan_id, "app", no_progress)
    system.cluster.failing["cloud"] = ServerUnavailableError("cloud is away")
    with pytest.raises(ServerUnavailableError, match="cloud is away"):
        await system.deployer.deploy(plan_id, "app", no_progress)
    await in_the_background()
    assert system.cluster.active["device"].version == 1
    assert ("device", "app", 1) in system.cluster.prepared
    assert ("device", "app", 2) not in system.cluster.prepared
    assert system.deployer.records.deployment("app").version.version == 1


async def test_a_server_that_is_gone_is_named(system: System) -> None:
    plan_id = await system.planned()
    system.cluster.servers = [item for item in system.cluster.servers if item.name != "cloud"]
    with pytest.raises(ServerUnavailableError, match="cloud"):
        await system.deployer.deploy(plan_id, "app", no_progress)


async def test_undeploying_frees_what_can_be_reached(system: System) -> None:
    plan_id = await system.planned()
    await system.deployer.deploy(plan_id, "app", no_progress)
    system.cluster.failing["cloud"] = ServerUnavailableError("cloud is away")
    await system.deployer.undeploy("app")
    assert system.cluster.active == {}
    assert system.cluster.prepared == {("cloud", "app", 1)}
    with pytest.raises(NotFoundError, match="not active"):
        await system.deployer.undeploy("app")
    with pytest.raises(NotFoundError):
        await system.deployer.undeploy("other")
