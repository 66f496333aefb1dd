"""Plans for servers that work side by side, against every placement of small problems."""

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.cost import HANDLING_SECONDS, predict, violated_limit, weighted_objective
from core.graph import GENERATOR, RECEIVER, Layer, ModelGraph, Tensor
from core.objective import Goal, Objective
from core.problem import BorderTime, LayerTime, Link, Problem, Server
from core.simulation import simulate
from optimizer.candidate import Candidate, candidate
from optimizer.components import plan_components
from optimizer.overlap.busiest import busiest_bound
from optimizer.overlap.contraction import contract
from optimizer.overlap.critical_path import critical_path_bound
from optimizer.overlap.joining import joined
from optimizer.overlap.state import Move, State
from optimizer.plan import make_plan
from optimizer.solution import Solution
from tests.unit.optimizer.builders import chain
from tests.unit.optimizer.strategies import problems

SMALL = {"most_layers": 4, "most_quantizable": 2}


def aimed(problem: Problem, goal: Goal) -> Problem:
    return replace(problem, objective=replace(problem.objective, goal=goal))


def solutions(problem: Problem) -> Iterator[Solution]:
    """Every placement and set of int8 layers within the limits."""
    layers = list(problem.model.by_name)
    names = problem.model.quantizable
    sets = [frozenset(one) for size in range(len(names) + 1) for one in itertools.combinations(names, size)]
    for servers in itertools.product(*(problem.allowed_servers(layer) for layer in layers)):
        placement = dict(zip(layers, servers, strict=True))
        for chosen in sets:
            prediction = predict(problem, placement, chosen)
            if prediction is not None and violated_limit(problem, prediction, 1e-9) is None:
                yield Solution(placement, chosen, prediction)


def candidates(problem: Problem) -> Iterator[Candidate]:
    """Every solution in components as few, and in components as many as possible."""
    alone = [[name] for name in problem.model.topological_order]
    for solution in solutions(problem):
        yield candidate(problem, solution)
        yield candidate(problem, solution, alone)


@settings(deadline=None, max_examples=40)
@given(problems(**SMALL), st.sampled_from(["latency", "throughput"]))
def test_bound_optimum_and_plan_are_in_order(problem: Problem, goal: Literal["latency", "throughput"]) -> None:
    problem = aimed(problem, goal)
    plan = make_plan(problem)
    every = list(candidates(problem)) if all(map(problem.allowed_servers, problem.model.by_name)) else []
    if not every:
        assert plan.status == "infeasible"
        assert plan.goal == goal
        return
    table, parallel = plan.normalization, plan.parallel
    assert table is not None
    assert parallel is not None
    assert plan.predicted is not None
    assert plan.objective is not None
    assert plan.lower_bound is not None
    objectives = [weighted_objective(problem, table, one.timed(goal)) for one in every]
    assert plan.lower_bound <= min(objectives) + 1e-6
    assert table.latency_min <= min(one.seconds(goal) for one in every) + 1e-9
    seconds = parallel.latency_seconds if goal == "latency" else parallel.seconds_per_request
    timed = replace(plan.predicted, latency_seconds=seconds)
    assert plan.objective == pytest.approx(weighted_objective(problem, table, timed))
    assert simulate(problem, plan.components, plan.quantized).latency_seconds == parallel.latency_seconds
    assert plan.predicted == predict(problem, plan.placement, plan.quantized)
    assert violated_limit(problem, plan.predicted) is None
    assert all(server in problem.allowed_servers(layer) for layer, server in plan.placement.items())
    start = make_plan(aimed(problem, "latency-sum"))
    assert start.predicted is not None
    begun = candidate(problem, Solution(start.placement, frozenset(start.quantized), start.predicted))
    assert plan.objective <= weighted_objective(problem, table, begun.timed(goal)) + 2e-6
    if plan.status == "optimal":
        assert plan.objective <= min(objectives) + 2e-6 * max(1.0, abs(plan.objective))
        assert plan.gap == pytest.approx(0.0, abs=2e-6)
    else:
        assert plan.notes


@settings(deadline=None, max_examples=60)
@given(problems(**SMALL))
def test_bounds_hold_for_every_placement(problem: Problem) -> None:
    if not all(map(problem.allowed_servers, problem.model.by_name)):
        return
    critical = critical_path_bound(problem)
    busiest = busiest_bound(problem, 0.5, 0.25)
    for one in candidates(problem):
        prediction = one.solution.prediction
        assert critical <= one.seconds("latency") + 1e-9
        assert busiest.value <= 0.5 * one.seconds("throughput") + 0.25 * prediction.energy_joules + 1e-9
    for solution in busiest.placements:
        assert violated_limit(problem, solution.prediction) is None


def test_the_critical_path_of_a_chain_is_its_least_sum() -> None:
    problem = chain({"device": [4.0, 1.0, 4.0], "edge": [1.0, 4.0, 1.0]}, tensor_bytes=10)
    least = min(one.solution.prediction.latency_seconds for one in candidates(problem))
    assert critical_path_bound(problem) == pytest.approx(least)
    plan = make_plan(aimed(problem, "latency"))
    assert plan.status == "optimal"
    assert plan.parallel is not None
    assert plan.parallel.latency_seconds == pytest.approx(least)


def fork(watts: float = 0.0) -> Problem:
    """Two branches of 4 s between a first and a last layer of 1 s, on two equal servers with fast links."""
    layers = ("first", "left", "right", "last")
    return Problem(
        ModelGraph(
            "fork",
            tuple(Layer(name) for name in layers),
            (
                Tensor("in", 100, None, ("first",)),
                Tensor("t", 100, "first", ("left", "right")),
                Tensor("tl", 100, "left", ("last",)),
                Tensor("tr", 100, "right", ("last",)),
                Tensor("out", 100, "last", (None,)),
            ),
        ),
        (Server("device", watts), Server("edge", watts)),
        (Link("device", "edge", 1000.0, 0.0), Link("edge", "device", 1000.0, 0.0)),
        {
            name: {layer: LayerTime(4.0 if layer in ("left", "right") else 1.0) for layer in layers}
            for name in ("device", "edge")
        },
    )


def test_branches_go_to_two_servers_for_latency_and_stay_together_for_the_sum() -> None:
    summed = make_plan(fork())
    assert summed.advice == "do not split"
    assert set(summed.placement.values()) == {"device"}
    assert summed.parallel is not None
    assert summed.parallel.latency_seconds == 10.0
    plan = make_plan(aimed(fork(), "latency"))
    assert plan.parallel is not None
    assert plan.parallel.latency_seconds == pytest.approx(1.0 + 0.1 + 4.0 + 0.1 + 1.0)
    assert plan.placement["left"] != plan.placement["right"]
    assert plan.advice == "split"
    # Neither branch may share a component with the layer before or after it: it would wait, or be waited for.
    assert len([one for one in plan.components if one.layers]) == 4


def test_throughput_halves_the_load() -> None:
    plan = make_plan(aimed(fork(), "throughput"))
    assert plan.parallel is not None
    assert plan.parallel.seconds_per_request == pytest.approx(5.0)
    assert plan.status == "optimal"
    assert plan.lower_bound == pytest.approx(plan.objective)


def test_throughput_counts_what_crossing_takes_of_processors() -> None:
    # Heavy layers of several lengths: only with many crossings are both servers exactly as busy as each other.
    times = [0.037, 0.011, 0.029, 0.013, 0.041, 0.019, 0.031, 0.017]
    problem = aimed(chain({"device": times, "edge": times}, tensor_bytes=0), "throughput")
    border = BorderTime(0.004, 0.006)
    crossing = {tensor.name: border for tensor in problem.model.tensors}
    problem = replace(problem, borders={"device": crossing, "edge": crossing})
    plan = make_plan(problem)
    assert plan.parallel is not None
    busy = {server.name: 0.0 for server in problem.servers}
    for layer, server in plan.placement.items():
        busy[server] += problem.execution[server][layer].seconds
    for tensor in problem.model.tensors:
        source = plan.placement.get(tensor.producer, "device")
        target = plan.placement.get(tensor.targets[0], "device")
        if source != target:
            busy[source] += border.leaving_seconds + HANDLING_SECONDS
            busy[target] += border.entering_seconds + HANDLING_SECONDS
    assert plan.parallel.seconds_per_request == pytest.approx(max(busy.values()))
    assert sum(times) / 2 < plan.parallel.seconds_per_request < 0.125
    assert len([one for one in plan.components if one.layers]) <= 4


def test_equal_problems_get_equal_plans() -> None:
    plans = [replace(make_plan(aimed(fork(), "latency")), solve_seconds=0.0) for _ in range(2)]
    assert plans[0] == plans[1]


def test_energy_alone_is_not_searched_for() -> None:
    problem = replace(fork(watts=1.0), objective=Objective(0.0, 1.0, "latency"))
    plan = make_plan(problem)
    assert plan.status == "optimal"
    assert plan.objective == pytest.approx(0.0)


@settings(deadline=None, max_examples=60)
@given(problems(most_layers=8, limited=0.0), st.integers(1, 8), st.randoms(use_true_random=False))
def test_states_cost_what_their_plans_cost(problem: Problem, most: int, chance: random.Random) -> None:
    every = list(itertools.islice(solutions(problem), 200))
    if not every:
        return
    start = chance.choice(every)
    contraction = contract(problem, [start], most)
    _check_contraction(problem, contraction.members)
    state = State(problem, contraction, start)
    assert state.placement == start.placement
    for _ in range(6):
        node = chance.randrange(contraction.size)
        layers = range(len(contraction.homes))
        toggles = tuple(chance.sample(layers, chance.randint(0, len(layers))))
        undo = state.apply(Move(((node, chance.choice(contraction.servers[node])),), toggles))
        prediction = predict(problem, state.placement, state.quantized)
        assert (prediction is not None) == state.within_limits
        if prediction is None or chance.random() < 0.3:
            state.apply(undo)
            continue
        made = candidate(problem, Solution(state.placement, state.quantized, prediction), contraction.members)
        assert state.joules == pytest.approx(prediction.energy_joules)
        if all(time >= 0 for time in state.seconds):
            assert state.time("throughput") == pytest.approx(made.parallel.seconds_per_request)
        _check_joined(problem, made, joined(contraction, state))


def _check_contraction(problem: Problem, members: list[list[str]]) -> None:
    assert members[0] == [GENERATOR]
    assert members[-1] == [RECEIVER]
    _check_members(problem, members)


def _check_members(problem: Problem, members: list[list[str]]) -> None:
    """Every layer is in one group, and groups come after those that feed them."""
    position = {layer: index for index, layers in enumerate(members) for layer in layers}
    assert len(position) == sum(map(len, members)) == len(problem.model.topological_order)
    assert all(position[one] <= position[other] for one, other in problem.model.digraph.edges)


def _check_joined(problem: Problem, made: Candidate, members: list[list[str]]) -> None:
    coarser = candidate(problem, made.solution, members)
    for component in coarser.components:
        assert {made.solution.placement[layer] for layer in component.layer_names} <= {component.server}
    fewest = plan_components(problem.model, made.solution.placement, problem.device)
    assert len(fewest) <= len(coarser.components) <= len(made.components)
    assert math.isfinite(coarser.parallel.latency_seconds)
