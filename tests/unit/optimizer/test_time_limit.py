from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings

from core.errors import DeadlineExceededError
from core.objective import Objective, SolverOptions
from core.problem import Problem
from optimizer.clock import Clock
from optimizer.integer_program import IntegerProgram
from optimizer.measures import LATENCY, Weights
from optimizer.plan import make_plan
from optimizer.search import Search
from optimizer.solution import Method, Outcome, Solution
from optimizer.weighted import minimize_weighted
from tests.unit.optimizer.brute_force import optimum
from tests.unit.optimizer.builders import chain
from tests.unit.optimizer.strategies import problems


@dataclass
class Stopping:
    """A method whose time is up after some solves: from then on it has no solution, only a bound."""

    method: Method
    solves: int
    bounds: list[float] = field(default_factory=list)

    def minimize(
        self, goal: Weights, caps: Weights, seconds: float | None = None, start: Solution | None = None
    ) -> Outcome:
        found = self.method.minimize(goal, caps, seconds, start)
        self.solves -= 1
        if self.solves >= 0:
            return found
        return Outcome("stopped", None, found.lower_bound - 0.5)


@settings(deadline=None, max_examples=40)
@given(problems())
def test_a_stopped_search_tells_the_truth(problem: Problem) -> None:
    expected = optimum(problem)
    if expected is None:
        return
    for solves in (1, 2, 4):
        search = Search(problem, Stopping(IntegerProgram(problem), solves), Clock(None))
        found = minimize_weighted(problem, search, lambda fraction, message: None)
        assert found is not None
        assert found.lower_bound <= found.objective
        assert found.normalization.latency_min == pytest.approx(expected.normalization.latency_min)
        if found.proven:
            assert found.objective == pytest.approx(expected.objective, abs=1e-6)
        elif solves == 4:
            assert found.lower_bound <= expected.objective + 1e-6


def test_nothing_found_in_time() -> None:
    problem = chain({"device": [1.0]})
    search = Search(problem, Stopping(IntegerProgram(problem), 0), Clock(None))
    with pytest.raises(DeadlineExceededError, match="raise the time limit"):
        search.minimize({LATENCY: 1.0}, {}, 1)


@pytest.mark.parametrize("solver", ["highs", "cbc"])
def test_known_plans_survive_a_tiny_time_limit(solver: str) -> None:
    seconds = {name: [(index * step) % 7 + 1.0 for index in range(120)] for name, step in (("device", 3), ("edge", 5))}
    problem = chain(seconds)
    problem = Problem(problem.model, problem.servers, problem.links, problem.execution, objective=Objective(0.5, 0.5))
    plan = make_plan(problem, SolverOptions(solver, time_limit_seconds=1e-6, method="ilp"))  # type: ignore[arg-type]
    assert plan.status in ("feasible", "optimal")
    assert plan.objective is not None
    assert plan.gap is None or plan.gap >= 0
    assert plan.predicted is not None
    assert plan.predicted.latency_seconds <= sum(seconds["device"]) + 2
