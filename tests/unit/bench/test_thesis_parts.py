from pathlib import Path

import numpy as np
import pytest

from bench.thesis.layer_sums import corrected_seconds, int8_sets
from bench.thesis.measured import Watts, compute_seconds, difference, energy
from bench.thesis.models import file_model, packaged_model, picture_inputs
from bench.thesis.plans import least_device_joules, noise_scale, planned
from bench.thesis.scalability import on_servers, static_problem
from bench.thesis.testbed import choose, emulated
from core.deployment import FRONT_END, Component, ComponentRun, Division
from core.documents import dumps
from core.objective import SolverOptions
from core.problem import LayerTime
from core.tensors import TensorSpec
from lab.topology_file import load_topology
from optimizer.plan import make_plan
from partita.results import InferReport
from tests.unit.bench.thesis_results import case
from tests.unit.optimizer.builders import chain

THREE = {"device": [1.0, 4.0, 1.0], "edge": [0.5] * 3, "cloud": [0.1] * 3}


def division(*places: str) -> Division:
    """A row of components, one on each of ``places``."""
    last = len(places) - 1
    components = tuple(
        Component(index, place, "blob", (), (), {f"t{index}": (FRONT_END if index == last else index + 1,)})
        for index, place in enumerate(places)
    )
    return Division("model", (), (), {"x": (0,)}, components, "whole")


WATTS = {"device": Watts(2.0, 10.0), "edge": Watts(3.0, 100.0)}


def test_energy_is_watts_times_seconds_and_sending_is_paid_by_who_sends() -> None:
    runs = [ComponentRun(0, "device", 0.0, 1.0, 0.5), ComponentRun(1, "edge", 0.0, 2.0, 0.25, start_seconds=1.5)]
    found = energy(runs, division("device", "edge"), "device", WATTS)
    assert found.device_joules == pytest.approx(2 * 1 + 10 * 0.5)
    assert found.joules == pytest.approx(found.device_joules + 3 * 2 + 100 * 0.25)


def test_the_device_pays_for_sending_the_inputs() -> None:
    runs = [ComponentRun(0, "edge", 0.0, 2.0, 0.25, start_seconds=0.4)]
    found = energy(runs, division("edge"), "device", WATTS)
    assert found.device_joules == pytest.approx(10 * 0.4)
    assert found.joules == pytest.approx(4 + 6 + 25)


def test_nothing_is_sent_on_the_device_alone() -> None:
    runs = [ComponentRun(0, "device", 0.0, 1.0, 0.5), ComponentRun(1, "device", 0.0, 1.0, 0.5, start_seconds=1.5)]
    found = energy(runs, division("device", "device"), "device", WATTS)
    assert found.joules == found.device_joules == pytest.approx(4)


def test_a_servers_components_are_added_up_before_the_median() -> None:
    reports = [
        InferReport("r", 1, 1.0, (ComponentRun(0, "edge", 0, 1.0, 0), ComponentRun(1, "edge", 0, extra, 0)))
        for extra in (1.0, 2.0, 9.0)
    ]
    assert compute_seconds(reports) == {"edge": 3.0}


def test_the_noise_of_an_answer_is_a_mean_over_all_outputs() -> None:
    expected = {"a": np.zeros(3, np.float32), "b": np.zeros(1, np.uint8)}
    assert difference(expected, {"a": np.ones(3, np.float32), "b": np.array([5], np.uint8)}) == 2.0


@pytest.mark.parametrize(("noise", "scale"), [(0.7, 1.0), (0.06, 1.0), (0.05, 0.1), (0.001, 0.002)])
def test_noise_limits_are_scaled_where_the_thesis_forbids_nothing(noise: float, scale: float) -> None:
    assert noise_scale(noise, (0.0, 0.05, 0.5)) == pytest.approx(scale)


def test_the_least_energy_of_the_device_is_what_no_limit_can_be_below() -> None:
    problem = chain(THREE, tensor_bytes=30, watts=2.0)
    # Alone it computes for 6 s; sending the input takes 0.3 s.
    assert least_device_joules(problem) == pytest.approx(0.6)


def test_a_case_tells_what_its_plan_computes_and_where() -> None:
    problem = chain(THREE, tensor_bytes=30)
    plan = make_plan(problem, SolverOptions())
    found = planned(case("device", 1.0, 0.0), plan, problem)
    assert found.status == "optimal"
    assert sum((found.layers or {}).values()) == 3
    assert found.compute_seconds == pytest.approx(sum(THREE[server][0] for server in plan.placement.values()))
    again = planned(case("device+edge", 0.0, 0.5), plan, problem)
    assert again.signature == found.signature


def test_int8_sets_go_from_none_to_all() -> None:
    names = [f"l{index}" for index in range(8)]
    sets = int8_sets(names, 3)
    assert [len(one) for one in sets] == [0, 2, 4, 6, 8]
    assert sets == int8_sets(names, 3)
    assert int8_sets([], 3) == [()]


def test_corrected_times_add_up_by_precision_without_wire_layers() -> None:
    times = {"a": LayerTime(1.0, 0.25), "b": LayerTime(2.0), "int8-wire:t": LayerTime(0.1, 0.2)}
    assert corrected_seconds(times, ()) == 3.0
    assert corrected_seconds(times, ("a", "b")) == 2.25


@pytest.mark.parametrize("count", [2, 3, 4, 6])
def test_a_problem_is_planned_for_other_numbers_of_servers(count: int, tmp_path: Path) -> None:
    path = tmp_path / "problem.json"
    path.write_text(dumps(chain(THREE)))
    problem = static_problem(path, count)
    names = ["device", "edge", "cloud", "edge-2", "cloud-2", "edge-3"]
    assert [server.name for server in problem.servers] == names[:count]
    assert len(problem.links) == count * (count - 1)
    if count == 6:
        assert problem.execution["edge-2"]["l0"].seconds == pytest.approx(0.55)
        assert problem.execution["edge-3"]["l0"].seconds == pytest.approx(0.605)
    assert make_plan(problem, SolverOptions()).status == "optimal"


def test_missing_links_stay_missing_between_copies() -> None:
    links = (("device", "edge"), ("edge", "device"), ("device", "cloud"), ("cloud", "device"))
    found = on_servers(chain(THREE, links=links), 4)
    pairs = {(link.source, link.target) for link in found.links}
    assert ("edge-2", "cloud") not in pairs
    assert {("edge", "edge-2"), ("edge-2", "device")} <= pairs


def test_emulated_links_have_the_topologys_bandwidth_and_both_delays() -> None:
    servers = {server.name: server for server in emulated(load_topology("thesis"))}
    links = {(name, link.target): link for name, server in servers.items() for link in server.links}
    assert len(links) == 6
    assert links["device", "cloud"].bytes_per_second == 5e6
    assert links["device", "cloud"].rtt_seconds == pytest.approx(0.055)
    assert servers["device"].slowdown == 8
    assert servers["cloud"].compute_watts == 35


def test_emulated_links_are_chosen_on_request() -> None:
    assert choose("emulated") == ("emulated", "emulated links were asked for")


def test_models_bring_inputs_of_their_shapes(tmp_path: Path) -> None:
    packaged = packaged_model(quick=True)
    (item,) = packaged.inputs([], 1, 0)
    assert item["x"].shape == packaged.input_shapes["x"]
    assert item["x"].dtype == np.float32
    path = tmp_path / "my model.onnx"
    path.write_bytes(b"onnx")
    model = file_model(path, {"x": (1, 3, 32, 48)})
    assert model.name == "my-model"
    (picture,) = model.inputs([TensorSpec("x", "float32", (1, 3, 32, 48))], 1, 0)
    assert picture["x"].shape == (1, 3, 32, 48)
    assert 0 <= picture["x"].min() < picture["x"].max() <= 1
    (other,) = picture_inputs([TensorSpec("ids", "int64", (1, 7))], 1, 0)
    assert other["ids"].shape == (1, 7)
