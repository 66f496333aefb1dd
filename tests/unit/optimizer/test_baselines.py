import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.cost import predict, violated_limit, weighted_objective
from core.graph import GENERATOR, RECEIVER
from core.plan import Baseline, Normalization, ParallelPrediction
from core.problem import Problem
from optimizer.baselines import SimplePlans, baseline
from optimizer.candidate import candidate
from optimizer.cuts import Cuts
from optimizer.measures import DEVICE_ENERGY, ENERGY, LATENCY, measures, memory_of
from optimizer.plan import make_plan
from optimizer.solution import Solution
from tests.unit.optimizer.builders import chain
from tests.unit.optimizer.strategies import problems


@settings(deadline=None, max_examples=60)
@given(problems(most_layers=8), st.data())
def test_cut_costs_are_those_of_the_cost_model(problem: Problem, data: st.DataObject) -> None:
    layers = problem.model.quantizable
    quantized = frozenset(data.draw(st.sets(st.sampled_from(layers)))) if layers else frozenset()
    cuts = Cuts(problem, quantized)
    names = [server.name for server in problem.servers]
    times = [time for seconds in problem.execution.values() for time in seconds.values()]
    for first, name in enumerate(names):
        others = [second for second in range(1, len(names)) if second != first]
        for seconds in filter(None, ([] if first == 0 else [0], others)):
            costs = cuts.costs(first, seconds)
            for (row, second), position in itertools.product(enumerate(seconds), range(len(cuts.order) + 1)):
                at = row, position
                placement = dict.fromkeys(cuts.order[:position], name)
                placement |= dict.fromkeys(cuts.order[position:], names[second])
                allowed = all(server in problem.allowed_servers(layer) for layer, server in placement.items())
                prediction = predict(problem, placement, quantized) if allowed else None
                assert costs.possible[at] == (prediction is not None)
                if prediction is not None:
                    values = measures(prediction)
                    assert costs.latency[at] == pytest.approx(values[LATENCY])
                    assert costs.energy[at] == pytest.approx(values[ENERGY])
                    loads = candidate(problem, Solution(placement, quantized, prediction)).parallel
                    if all(time.quantized_seconds is None or time.quantized_seconds >= 0 for time in times):
                        assert costs.busiest[at] == pytest.approx(loads.seconds_per_request)
                    assert costs.device_energy[at] == pytest.approx(values[DEVICE_ENERGY])
                    assert costs.first_memory[position] == pytest.approx(values[memory_of(name)], abs=1)
                    assert costs.second_memory[position] == pytest.approx(values[memory_of(names[second])], abs=1)


def best_objective(problem: Problem, normalization: Normalization, placements: list[dict[str, str]]) -> float | None:
    layers = problem.model.quantizable
    sets = [chosen for size in range(len(layers) + 1) for chosen in itertools.combinations(layers, size)]
    found = []
    for placement in placements:
        if all(server in problem.allowed_servers(layer) for layer, server in placement.items()):
            for chosen in sets:
                prediction = predict(problem, placement, chosen)
                if prediction is not None and violated_limit(problem, prediction, 1e-9) is None:
                    found.append(weighted_objective(problem, normalization, prediction))
    return min(found, default=None)


@settings(deadline=None, max_examples=60)
@given(problems())
def test_single_servers_equal_brute_force(problem: Problem) -> None:
    plan = make_plan(problem)
    if plan.status != "optimal":
        assert not plan.baselines
        return
    assert plan.normalization is not None
    assert plan.objective is not None
    everywhere = [dict.fromkeys(problem.model.by_name, server.name) for server in problem.servers]
    for name, placements in (("device_only", everywhere[:1]), ("best_single_server", everywhere)):
        expected = best_objective(problem, plan.normalization, placements)
        found = plan.baselines[name].objective
        assert (found is None) == (expected is None)
        if expected is not None:
            assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
            assert plan.objective <= expected + 1e-6


@settings(deadline=None, max_examples=60)
@given(problems(most_layers=7, most_quantizable=0))
def test_best_cut_equals_brute_force(problem: Problem) -> None:
    plan = make_plan(problem)
    if plan.status != "optimal":
        return
    assert plan.normalization is not None
    order = [layer for layer in problem.model.topological_order if layer not in (GENERATOR, RECEIVER)]
    names = [server.name for server in problem.servers]
    placements = [
        dict.fromkeys(order[:position], first) | dict.fromkeys(order[position:], second)
        for first, second in itertools.permutations(names, 2)
        for position in range(1, len(order))
    ]
    expected = best_objective(problem, plan.normalization, placements)
    found = plan.baselines["best_single_cut"].objective
    assert (found is None) == (expected is None)
    if expected is not None:
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_in_words() -> None:
    problem = chain({"device": [4.0, 1.0], "edge": [1.0, 4.0]}, tensor_bytes=0, watts=0.0)
    plans = SimplePlans(problem).best({LATENCY: 1.0}, frozenset())
    normalization = Normalization(2.0, 8.0, 0.0, 0.0)
    assert {name: baseline(problem, normalization, plan) for name, plan in plans.items()} == {
        "device_only": Baseline(0.5, 5.0, 0.0, "all on device", ParallelPrediction(5.0, 5.0, "device")),
        "best_single_server": Baseline(0.5, 5.0, 0.0, "all on device", ParallelPrediction(5.0, 5.0, "device")),
        "best_single_cut": Baseline(
            0.0, 2.0, 0.0, "edge → device, cut after l0", ParallelPrediction(2.0, 1.0, "device")
        ),
    }
