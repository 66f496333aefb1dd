import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.cost import violated_limit
from core.graph import Layer, ModelGraph, Tensor
from core.problem import LayerTime, Link, Problem, Server
from optimizer.exact.method import ExactMethod
from optimizer.integer_program import IntegerProgram
from optimizer.measures import ENERGY, LATENCY, Weights, caps, value_of
from tests.unit.optimizer.strategies import problems

GOALS: list[Weights] = [{LATENCY: 1.0}, {ENERGY: 1.0}, {LATENCY: 0.5, ENERGY: 0.25}]


def check(problem: Problem, goal: Weights) -> None:
    """The exact method agrees with the integer program."""
    if not all(problem.allowed_servers(layer) for layer in problem.model.by_name):
        return
    limits = caps(problem)
    found, expected = (method(problem).minimize(goal, limits) for method in (ExactMethod, IntegerProgram))
    if found.solution is not None:
        assert violated_limit(problem, found.solution.prediction) is None
        value = value_of(goal, found.solution.prediction)
        if expected.solution is None or value < value_of(goal, expected.solution.prediction) - 1e-6:
            # Within the limits and better: HiGHS 1.15.1's presolve cut the optimum off, which a start brings back.
            expected = IntegerProgram(problem).minimize(goal, limits, start=found.solution)
    assert found.status == expected.status
    if found.solution is not None and expected.solution is not None:
        value = value_of(goal, found.solution.prediction)
        assert value == pytest.approx(value_of(goal, expected.solution.prediction), rel=1e-6, abs=1e-6)
        assert found.lower_bound == pytest.approx(value, rel=1e-6, abs=1e-6)


@settings(deadline=None, max_examples=200)
@given(problems(most_layers=16, most_quantizable=6, most_servers=4, limited=0.5), st.sampled_from(GOALS))
def test_agrees_with_the_integer_program(problem: Problem, goal: Weights) -> None:
    check(problem, goal)


@settings(deadline=None, max_examples=25)
@given(problems(least_layers=14, most_layers=18, most_quantizable=18, limited=0.5), st.sampled_from(GOALS))
def test_agrees_with_many_quantizable_layers(problem: Problem, goal: Weights) -> None:
    layers = tuple(dataclasses.replace(layer, quantizable=True) for layer in problem.model.layers)
    check(dataclasses.replace(problem, model=dataclasses.replace(problem.model, layers=layers)), goal)


def fan(servers: int, consumers: int) -> Problem:
    """One tensor that many layers wait for, on many servers, each of which is good for another layer."""
    names = [f"s{index}" for index in range(servers)]
    layers = ["source", *(f"l{index}" for index in range(consumers)), "end"]
    return Problem(
        ModelGraph(
            "fan",
            tuple(Layer(name) for name in layers),
            (
                Tensor("input", 8, None, ("source",)),
                Tensor("shared", 64, "source", tuple(layers[1:-1])),
                *(Tensor(f"t{name}", 8, name, ("end",)) for name in layers[1:-1]),
                Tensor("output", 8, "end", (None,)),
            ),
        ),
        tuple(Server(name, compute_watts=1.0, transmit_watts=2.0) for name in names),
        tuple(
            Link(a, b, 64.0 + (5 * i + 3 * j) % 7, 0.125)
            for i, a in enumerate(names)
            for j, b in enumerate(names)
            if a != b
        ),
        {
            name: {layer: LayerTime(1.0 + (3 * column + 5 * row) % 11) for row, layer in enumerate(layers)}
            for column, name in enumerate(names)
        },
    )


def test_a_tensor_with_many_destinations_is_estimated_and_still_solved() -> None:
    problem = fan(servers=12, consumers=5)
    method = ExactMethod(problem)
    outcome = method.minimize({LATENCY: 1.0}, {})
    expected = IntegerProgram(problem).minimize({LATENCY: 1.0}, {})
    assert method._placement.network.sendings
    assert outcome.solution is not None
    assert expected.solution is not None
    assert outcome.status == "optimal"
    assert outcome.solution.prediction.latency_seconds == pytest.approx(expected.solution.prediction.latency_seconds)


@settings(deadline=None, max_examples=30)
@given(problems(least_layers=6, most_layers=12, limited=0.8))
def test_stopped_at_once_it_still_tells_the_truth(problem: Problem) -> None:
    if not all(problem.allowed_servers(layer) for layer in problem.model.by_name):
        return
    limits = caps(problem)
    stopped = ExactMethod(problem).minimize({LATENCY: 1.0}, limits, seconds=0.0)
    whole = ExactMethod(problem).minimize({LATENCY: 1.0}, limits)
    if whole.solution is None:
        assert stopped.solution is None
        return
    assert stopped.status != "infeasible"
    least = whole.solution.prediction.latency_seconds
    assert stopped.lower_bound <= least + 1e-9
    if stopped.solution is not None:
        assert stopped.solution.prediction.latency_seconds >= least - 1e-9
    if stopped.status == "optimal":
        assert math.isclose(stopped.lower_bound, least, rel_tol=1e-9, abs_tol=1e-9)
