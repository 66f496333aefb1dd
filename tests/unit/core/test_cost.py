"""The cost model against numbers worked by hand."""

import pytest

from core.cost import predict, violated_limit, weighted_objective
from core.graph import Layer, ModelGraph, Tensor
from core.plan import Normalization
from core.problem import LayerTime, Limits, Link, NoiseModel, NoiseTerm, Objective, Problem, Server

GRAPH = ModelGraph(
    "m",
    (Layer("a", weight_bytes=100, quantizable=True), Layer("b", weight_bytes=40), Layer("c", weight_bytes=8)),
    (
        Tensor("x", 1000, None, ("a",)),
        Tensor("t", 4000, "a", ("b", "c")),
        Tensor("u", 400, "b", ("c",)),
        Tensor("y", 200, "c", (None,)),
    ),
)


def problem(**changes: object) -> Problem:
    values: dict[str, object] = {
        "model": GRAPH,
        "servers": (Server("device", 2.0, 0.5, 3.0), Server("edge", 10.0, 0.0, 1.0, 60)),
        "links": (Link("device", "edge", 1e4, 0.01), Link("edge", "device", 2e4, 0.02)),
        "execution": {
            "device": {"a": LayerTime(0.4, 0.1), "b": LayerTime(0.2), "c": LayerTime(0.1)},
            "edge": {"a": LayerTime(0.04), "b": LayerTime(0.02), "c": LayerTime(0.01)},
        },
        "noise": NoiseModel(0.01, (NoiseTerm(("a",), 0.2),)),
    }
    return Problem(**{**values, **changes})  # type: ignore[arg-type]


def test_all_on_the_device_costs_its_computing() -> None:
    prediction = predict(problem(), {"a": "device", "b": "device", "c": "device"}, ())
    assert prediction is not None
    assert prediction.latency_seconds == pytest.approx(0.7)
    assert prediction.energy_joules == pytest.approx(1.4)
    assert prediction.device_energy_joules == pytest.approx(1.4)
    assert prediction.noise == 0
    assert prediction.memory_bytes == {"device": 148, "edge": 0}


def test_a_tensor_is_sent_once_to_a_server_however_many_consumers_it_has_there() -> None:
    prediction = predict(problem(), {"a": "device", "b": "edge", "c": "edge"}, ())
    assert prediction is not None
    there, back = 4000 / 1e4 + 0.01, 200 / 2e4 + 0.02
    assert prediction.latency_seconds == pytest.approx(0.4 + 0.02 + 0.01 + there + back)
    assert prediction.device_energy_joules == pytest.approx(0.4 * 2 + there * 3)
    assert prediction.energy_joules == pytest.approx(0.4 * 2 + there * 3 + 0.03 * 10 + back * 1)


def test_int8_shrinks_weights_and_what_its_layer_sends() -> None:
    prediction = predict(problem(), {"a": "device", "b": "edge", "c": "device"}, ("a",))
    assert prediction is not None
    assert prediction.latency_seconds == pytest.approx(0.1 + 0.02 + 0.1 + (1000 / 1e4 + 0.01) + (400 / 2e4 + 0.02))
    assert prediction.noise == pytest.approx(0.21)
    assert prediction.memory_bytes == {"device": 33, "edge": 40}


def test_a_listed_self_link_costs_and_a_missing_link_forbids() -> None:
    self_link = problem(links=(Link("device", "device", 1e4, 0.0),))
    prediction = predict(self_link, {"a": "device", "b": "device", "c": "device"}, ())
    assert prediction is not None
    sent = (1000 + 4000 + 400 + 200) / 1e4
    assert prediction.latency_seconds == pytest.approx(0.7 + sent)
    assert prediction.energy_joules == pytest.approx(1.4 + 0.5 * sent)
    assert predict(self_link, {"a": "device", "b": "edge", "c": "device"}, ()) is None


def test_the_first_broken_limit_is_named_with_both_values() -> None:
    placement = {"a": "edge", "b": "device", "c": "device"}
    prediction = predict(problem(), placement, ("a",))
    assert prediction is not None
    assert violated_limit(problem(), prediction) is None
    noisy = violated_limit(problem(limits=Limits(noise=0.1)), prediction)
    assert noisy is not None
    assert "0.21" in noisy
    assert "0.1" in noisy
    energy = violated_limit(problem(limits=Limits(device_energy_joules=0.5)), prediction)
    assert energy is not None
    assert "device energy" in energy
    full = predict(problem(), placement, ())
    assert full is not None
    assert "edge" in (violated_limit(problem(), full) or "")


def test_ranges_of_zero_count_as_zero() -> None:
    prediction = predict(problem(), {"a": "device", "b": "device", "c": "device"}, ())
    assert prediction is not None
    goal = problem(objective=Objective(0.5, 0.5))
    assert weighted_objective(goal, Normalization(0.7, 0.7, 0.4, 2.4), prediction) == pytest.approx(0.25)
