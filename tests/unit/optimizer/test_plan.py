from typing import Literal

import pytest
from hypothesis import given, settings

from bench.planning.literal_program import LiteralProgram
from core.cost import predict, violated_limit
from core.documents import dumps, loads
from core.objective import SolverOptions
from core.plan import Normalization, Plan
from core.problem import Problem
from optimizer.plan import make_plan
from tests.unit.optimizer.brute_force import optimum
from tests.unit.optimizer.strategies import problems


def table(normalization: Normalization) -> tuple[float, float, float, float]:
    return (
        normalization.latency_min,
        normalization.latency_max,
        normalization.energy_min,
        normalization.energy_max,
    )


def check_promises(problem: Problem, plan: Plan) -> None:
    """What every plan must hold, however it was found."""
    assert plan.predicted is not None
    assert plan.objective is not None
    assert plan.placement.keys() == problem.model.by_name.keys()
    assert all(server in problem.allowed_servers(layer) for layer, server in plan.placement.items())
    assert set(plan.quantized) <= set(problem.model.quantizable)
    assert plan.predicted == predict(problem, plan.placement, plan.quantized)
    assert violated_limit(problem, plan.predicted) is None
    assert plan.lower_bound is None or plan.lower_bound <= plan.objective
    assert loads(dumps(plan), Plan) == plan


@settings(deadline=None, max_examples=400)
@given(problems())
def test_equals_brute_force(problem: Problem) -> None:
    expected = optimum(problem)
    plan = make_plan(problem)
    if expected is None:
        assert plan.status == "infeasible"
        assert plan.reason
        assert not plan.placement
        return
    check_promises(problem, plan)
    assert plan.status == "optimal"
    assert plan.normalization is not None
    assert table(plan.normalization) == pytest.approx(table(expected.normalization), rel=1e-6, abs=1e-9)
    assert plan.objective == pytest.approx(expected.objective, rel=1e-6, abs=1e-6)
    assert plan.gap == pytest.approx(0.0, abs=1e-6)


@settings(deadline=None, max_examples=100)
@given(problems(least_layers=5, most_layers=9, most_quantizable=5))
def test_equals_the_thesis_program(problem: Problem) -> None:
    expected = None
    if all(problem.allowed_servers(layer) for layer in problem.model.by_name):
        literal = LiteralProgram(problem)
        expected = literal.normalization()
    plan = make_plan(problem)
    if expected is None:
        assert plan.status == "infeasible"
        return
    check_promises(problem, plan)
    assert plan.normalization is not None
    assert table(plan.normalization) == pytest.approx(table(expected), rel=1e-6, abs=1e-6)
    assert plan.objective == pytest.approx(literal.objective(expected), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("solver", ["cbc", "cplex"])
@settings(deadline=None, max_examples=15)
@given(problem=problems())
def test_other_solvers_agree(problem: Problem, solver: Literal["cbc", "cplex"]) -> None:
    if solver == "cplex":
        pytest.importorskip("cplex")
    options = SolverOptions(solver, method="ilp")
    expected, plan = make_plan(problem), make_plan(problem, options)
    assert plan.status == expected.status
    if expected.reason is not None:
        # Which of several equally few missing links is named may differ.
        assert plan.reason is not None
        assert plan.reason.split(" tensor ")[0] == expected.reason.split(" tensor ")[0]
    if plan.status == "optimal":
        check_promises(problem, plan)
        assert plan.objective == pytest.approx(expected.objective, rel=1e-6, abs=1e-6)
        assert plan.gap == pytest.approx(0.0, abs=1e-6)
