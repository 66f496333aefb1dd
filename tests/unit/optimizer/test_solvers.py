import importlib.util

import pulp
import pytest

from core.errors import InvalidArgumentError
from core.objective import SolverOptions
from optimizer.plan import make_plan
from optimizer.rows import Rows, total
from optimizer.solvers import solve
from tests.unit.optimizer.builders import chain

HAS_CPLEX = importlib.util.find_spec("cplex") is not None
WITH_CPLEX = pytest.mark.skipif(not HAS_CPLEX, reason="cplex is not installed")
SOLVERS = ["highs", "cbc", pytest.param("cplex", marks=WITH_CPLEX)]


def knapsack(count: int = 2) -> tuple[Rows, list[pulp.LpVariable]]:
    """Values 2, 3, 4, … for items of weight 3, 4, 5, …; room for a little under half of them."""
    rows = Rows()
    items = [rows.variable(binary=True) for _ in range(count)]
    rows.at_most(((item, index + 3.0) for index, item in enumerate(items)), count * (count + 5) / 4 - 0.5)
    rows.program.setObjective(total((item, -(index + 2.0)) for index, item in enumerate(items)))
    return rows, items


@pytest.mark.parametrize("solver", SOLVERS)
def test_optimal(solver: str) -> None:
    rows, items = knapsack()
    result = solve(rows.program, solver, None, {})
    assert (result.status, result.has_values) == ("optimal", True)
    assert result.lower_bound == pytest.approx(-2.0)
    assert [round(item.varValue) for item in items] == [1, 0]


@pytest.mark.parametrize("solver", SOLVERS)
def test_infeasible(solver: str) -> None:
    rows, items = knapsack()
    rows.at_least(((item, 1.0) for item in items), 1.5)
    result = solve(rows.program, solver, None, {})
    assert (result.status, result.has_values) == ("infeasible", False)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_start_does_not_change_the_optimum(solver: str) -> None:
    rows, items = knapsack()
    assert solve(rows.program, solver, None, dict.fromkeys(items, 0.0)).lower_bound == pytest.approx(-2.0)


def test_cplex_is_optional() -> None:
    if HAS_CPLEX:
        pytest.skip("cplex is installed")
    with pytest.raises(InvalidArgumentError, match="pip install cplex"):
        make_plan(chain({"device": [1.0]}), SolverOptions("cplex", method="ilp"))
