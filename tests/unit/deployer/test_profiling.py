"""Which profiles are made when, over fakes of the services that make them."""

import asyncio
from dataclasses import replace

import pytest

from core.errors import ServerUnavailableError
from core.profiles import ModelProfilerSettings, RunEnergy
from core.progress import no_progress
from deployer.fakes import INPUT, OUTPUT, FakeCluster, FakePool, server
from deployer.phases import PhaseClock
from deployer.planning import PlanWishes, build_problem
from deployer.profiling import Profiles, Profiling
from deployer.records import ModelRecord
from deployer.weighted_progress import WeightedProgress

MODEL = ModelRecord("m", "hash", 10, (INPUT,), (OUTPUT,), "", 0)
SETTINGS = ModelProfilerSettings()


class System:
    """Profiling over fakes; a new one over the same pool is what a restart leaves."""

    def __init__(self) -> None:
        self.pool = FakePool()
        self.cluster = FakeCluster([server("device", "device"), server("edge")])

    async def profiles(self, settings: ModelProfilerSettings = SETTINGS, refresh: bool = False) -> Profiles:
        profiling = Profiling(self.pool, self.cluster, self.cluster, self.cluster)
        return await profiling.profiles(MODEL, settings, self.cluster.servers, no_progress, refresh)


async def test_of_a_server_that_joins_later_only_what_is_missing_is_measured() -> None:
    system = System()
    assert (await system.profiles()).measured == 1 + 2 + 2
    system.cluster.servers = [*system.cluster.servers, server("cloud", "cloud")]
    joined = await system.profiles()
    assert joined.measured == 1 + 4
    assert dict(system.cluster.calls) == {"profile_model": 1, "profile_execution": 3, "measure_links": 2 + 3}
    assert {(link.source, link.target) for link in joined.links} == {
        (one, other) for one in joined.execution for other in joined.execution if one != other
    }
    assert {(phase.subject, phase.now) for phase in joined.phases} == {
        *(("model", False), ("device", False), ("edge", False)),
        *(("cloud", True), ("links", True)),
    }


async def test_one_that_equals_another_needs_links_alone() -> None:
    system = System()
    system.cluster.servers = [server("device", "device"), server("edge", fingerprint="same")]
    first = await system.profiles()
    system.cluster.servers = [*system.cluster.servers, server("twin", fingerprint="same")]
    second = await system.profiles()
    assert second.measured == 4
    assert second.execution["twin"] == first.execution["edge"]


async def test_one_that_is_slower_by_a_factor_needs_no_profile_of_its_own() -> None:
    system = System()
    slow = server("slow", fingerprint="same")
    assert slow.state is not None
    slow = replace(slow, state=replace(slow.state, slowdown=8.0))
    system.cluster.servers = [server("device", "device", fingerprint="same"), slow]
    found = await system.profiles()
    assert system.cluster.calls["profile_execution"] == 1
    assert found.execution["slow"] == found.execution["device"].slowed(8.0)
    assert found.execution["slow"] != found.execution["device"]


async def test_another_way_of_timing_measures_servers_anew_but_not_the_model() -> None:
    system = System()
    await system.profiles()
    alone = replace(SETTINGS, timing="layer-by-layer")
    assert (await system.profiles(alone)).measured == 2
    assert system.cluster.calls["profile_model"] == 1
    assert (await system.profiles(alone)).model.settings == alone
    assert (await system.profiles()).measured == 0


async def test_equal_servers_on_different_machines_share_one_measurement() -> None:
    system = System()
    system.cluster.servers = [server(name, "device", fingerprint="same") for name in ("one", "two", "three")]
    assert len({item.state.machine for item in system.cluster.servers if item.state}) == 3
    await system.profiles()
    assert system.cluster.calls["profile_execution"] == 1


async def test_refresh_measures_everything_anew_once() -> None:
    system = System()
    system.cluster.servers = [*system.cluster.servers, server("twin", fingerprint=_fingerprint(system, "edge"))]
    measured = (await system.profiles()).measured
    again = await system.profiles(refresh=True)
    assert again.measured == measured == 1 + 2 + 6
    assert dict(system.cluster.calls) == {"profile_model": 2, "profile_execution": 4, "measure_links": 6}
    assert len(system.cluster.links) == 6
    assert (await system.profiles()).measured == 0


def _fingerprint(system: System, name: str) -> str:
    state = next(item.state for item in system.cluster.servers if item.name == name)
    assert state is not None
    return state.fingerprint


async def test_what_shapes_the_noise_alone_times_no_layer_again() -> None:
    system = System()
    await system.profiles()
    assert (await system.profiles(replace(SETTINGS, noise_samples=7))).measured == 1
    assert (await system.profiles(replace(SETTINGS, quantizable_count=2))).measured == 1 + 2


async def test_a_profile_of_another_version_is_measured_anew() -> None:
    system = System()
    await system.profiles()
    for kind, key in system.pool.documents:
        system.pool.documents[kind, key] = '{"from": "the past"}'
    assert (await system.profiles()).measured == 1 + 2
    assert (await system.profiles()).measured == 0


async def test_a_failure_costs_only_what_failed() -> None:
    system = System()
    system.cluster.failing["edge"] = ServerUnavailableError("edge is away")
    with pytest.raises(ServerUnavailableError):
        await system.profiles()
    system.cluster.failing.clear()
    await system.profiles()
    assert system.cluster.calls["profile_model"] == 1


async def test_what_was_measured_before_a_cancel_is_kept_and_others_may_go_on() -> None:
    system = System()
    profiling = Profiling(system.pool, system.cluster, system.cluster, system.cluster)
    timing = asyncio.Event()

    def progress(fraction: float, message: str) -> None:
        if message == "device: timing":
            timing.set()

    def call() -> "asyncio.Task[Profiles]":
        return asyncio.create_task(profiling.profiles(MODEL, SETTINGS, system.cluster.servers, progress))

    first = call()
    await timing.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await call()).execution.keys() == {"device", "edge"}
    assert system.cluster.calls["profile_model"] == 1


async def test_progress_grows_to_the_end_whatever_is_measured() -> None:
    system = System()
    for refresh in (False, True):
        steps: list[float] = []
        profiling = Profiling(system.pool, system.cluster, system.cluster, system.cluster)
        await profiling.profiles(
            MODEL, SETTINGS, system.cluster.servers, lambda fraction, _, to=steps: to.append(fraction), refresh
        )
        assert steps == sorted(steps)
        assert steps[-1] == 1.0
        assert len(set(steps)) >= 5


async def test_measured_watts_come_before_declared_ones_and_both_say_what_they_are() -> None:
    system = System()
    system.cluster.energies["edge"] = RunEnergy(12.0, 6.0, "measured", "RAPL", 3.0)
    profiles = await system.profiles()
    declared = profiles.energies["device"]
    watts = profiles.servers[0].state.power.compute_watts if profiles.servers[0].state else None
    assert (declared.source, declared.watts, declared.joules) == ("declared", watts, 2.0 * (watts or 0))
    problem = build_problem(profiles, PlanWishes())
    assert [item.compute_watts for item in problem.servers] == [watts, 6.0]


def test_a_clock_sums_the_seconds_of_each_phase() -> None:
    now = 10.0
    passed: list[tuple[float, str]] = []
    clock = PhaseClock(lambda *step: passed.append(step), lambda: now)
    for seconds, message in (
        (1.0, "set 1 of 12"),
        (2.0, "set 2 of 12"),
        (3.5, "timing"),
        (0.5, "set 12 of 12"),
        (0.25, "in int8"),
    ):
        now += seconds
        clock(0.5, message)
    now += 4.0
    clock.stop()
    assert clock.seconds == {"starting": 1.0, "set … of …": 2.0 + 3.5 + 0.25, "timing": 0.5, "in int8": 4.0}
    assert [message for _, message in passed] == ["set 1 of 12", "set 2 of 12", "timing", "set 12 of 12", "in int8"]


def test_parts_count_as_much_as_they_take() -> None:
    steps: list[tuple[float, str]] = []
    weighted = WeightedProgress(lambda *step: steps.append(step), {"long": 3.0, "short": 1.0})
    weighted.part("long")(0.5, "a")
    weighted.part("short")(1.0, "b")
    weighted.part("short")(0.25, "never back")
    weighted.part("known already")(1.0, "c")
    assert [fraction for fraction, _ in steps] == pytest.approx([0.375, 0.625, 0.625, 0.625])
