import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.cost import violated_limit, weighted_objective
from core.errors import DeadlineExceededError
from core.objective import Goal, SolverOptions
from core.problem import Problem
from optimizer import clock as module
from optimizer.clock import Clock, Deadline, OutOfTimeError
from optimizer.exact.floor import floor_of
from optimizer.measures import DEVICE_ENERGY, ENERGY, LATENCY, caps, measures, memory_of
from optimizer.pareto import make_front
from optimizer.plan import make_plan
from tests.unit.optimizer.brute_force import predictions, within
from tests.unit.optimizer.strategies import problems


def after(count: int):
    """Asks to stop from the given time on that somebody looks."""
    looks = itertools.count(1)
    return lambda: next(looks) > count


@pytest.fixture(autouse=True)
def _look_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ASKED_SECONDS", -math.inf)


def test_a_stopped_clock_has_no_time_left() -> None:
    clock = Clock(None, after(2))
    deadline = Deadline(clock)
    deadline.check()
    assert clock.left == math.inf
    assert clock.left == 0
    assert clock.share(3) == 0
    with pytest.raises(OutOfTimeError):
        deadline.check()


@settings(deadline=None, max_examples=60)
@given(problems(), st.integers(0, 120), st.sampled_from(["exact", "ilp"]))
def test_a_search_stopped_anywhere_tells_the_truth(problem: Problem, looks: int, method: str) -> None:
    options = SolverOptions(method=method)  # type: ignore[arg-type]
    feasible = [one for one in predictions(problem) if within(measures(one), caps(problem))]
    try:
        plan = make_plan(problem, options, stopped=after(looks))
    except DeadlineExceededError:
        return
    if plan.status == "infeasible":
        assert not feasible
        return
    assert plan.predicted is not None
    assert plan.objective is not None
    assert violated_limit(problem, plan.predicted) is None
    assert plan.normalization is not None
    least = min(weighted_objective(problem, plan.normalization, one) for one in feasible)
    if plan.status == "optimal":
        assert plan.objective == pytest.approx(least, abs=1e-6)
    if plan.lower_bound is not None:
        assert plan.lower_bound <= least + 1e-6
        assert plan.gap == pytest.approx(plan.objective - plan.lower_bound)


@settings(deadline=None, max_examples=20)
@given(problems(), st.integers(0, 200), st.sampled_from(["latency", "throughput"]))
def test_so_do_searches_for_overlapping_servers(problem: Problem, looks: int, goal: Goal) -> None:
    problem = replace(problem, objective=replace(problem.objective, goal=goal))
    try:
        plan = make_plan(problem, stopped=after(looks))
    except DeadlineExceededError:
        return
    if plan.status != "infeasible":
        assert plan.predicted is not None
        assert violated_limit(problem, plan.predicted) is None


@settings(deadline=None, max_examples=20)
@given(problems(), st.integers(0, 150))
def test_a_front_stopped_anywhere_has_a_true_gap(problem: Problem, looks: int) -> None:
    feasible = [one for one in predictions(problem) if within(measures(one), caps(problem))]
    try:
        front = make_front(problem, 5, stopped=after(looks))
    except DeadlineExceededError:
        return
    if front.status == "infeasible":
        assert not feasible
        return
    assert front.normalization is not None
    if front.gap is None:
        return
    for weight in (0.2, 0.5, 0.8):
        halved = replace(problem, objective=replace(problem.objective, latency_weight=weight, energy_weight=1 - weight))
        values = [weighted_objective(halved, front.normalization, one) for one in feasible]
        known = [weighted_objective(halved, front.normalization, one.predicted) for one in front.points]
        assert min(known) <= min(values) + front.gap + 1e-6


@settings(deadline=None, max_examples=60)
@given(problems(), st.lists(st.floats(0, 3), min_size=4, max_size=4))
def test_nothing_is_below_the_floor(problem: Problem, weights: list[float]) -> None:
    names = (LATENCY, ENERGY, DEVICE_ENERGY, memory_of(problem.device))
    if not all(problem.allowed_servers(layer) for layer in problem.model.by_name):
        return
    goal = dict(zip(names, weights, strict=True))
    floor = floor_of(problem, goal)
    for one in predictions(problem):
        values = measures(one)
        assert sum(weight * values[name] for name, weight in goal.items()) >= floor - 1e-9 * abs(floor) - 1e-9
