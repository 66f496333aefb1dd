import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.problem import Problem
from optimizer.exact import choice, network, placement_network, wide
from optimizer.exact.choice import eliminated
from optimizer.exact.elimination import Elimination
from optimizer.exact.placement_network import PlacementNetwork
from optimizer.exact.wide import WideElimination
from optimizer.measures import Weights
from tests.unit.optimizer.exact.test_method import GOALS, check
from tests.unit.optimizer.strategies import problems


@pytest.fixture(autouse=True)
def _nothing_is_laid_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement_network, "LARGEST_TENSORS", (1,))
    monkeypatch.setattr(network, "LAID_OUT", 1)
    monkeypatch.setattr(wide, "BLOCK", 4)


@settings(deadline=None, max_examples=40)
@given(problems(limited=0.6), st.sampled_from(GOALS))
def test_agrees_with_the_integer_program(problem: Problem, goal: Weights) -> None:
    check(problem, goal)


@settings(deadline=None, max_examples=25)
@given(problems(), st.sampled_from(GOALS))
def test_so_does_its_estimate(problem: Problem, goal: Weights) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "MOST_WORK", 0)
        check(problem, goal)


@settings(deadline=None, max_examples=60)
@given(problems(), st.lists(st.floats(0.125, 3), min_size=2, max_size=2), st.floats(0, 0.5))
def test_is_the_elimination_of_tables_laid_out(problem: Problem, weights: list[float], slack: float) -> None:
    if not all(problem.allowed_servers(layer) for layer in problem.model.by_name):
        return
    narrow = PlacementNetwork(problem).network
    if not narrow.sendings:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "LAID_OUT", 1_000_000)
        full = narrow.narrowed([np.arange(size) for size in narrow.sizes])
    assert not full.sendings
    one, other = eliminated(narrow), Elimination(full)
    assert isinstance(one, WideElimination)
    weightings = np.zeros((2, len(narrow.measures)))
    weightings[:, 0], weightings[:, 1] = weights, weights[::-1]
    found, expected = one.run(weightings), other.run(weightings)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-9)
    if not np.isfinite(expected.values).all():
        return
    for weighting, value, states in zip(weightings, expected.values, one.best(found), strict=True):
        measured = one.measure(states)
        np.testing.assert_allclose(measured, other.measure(states), rtol=1e-9)
        assert weighting @ measured == pytest.approx(value)
    for number, (ours, theirs) in enumerate(zip(one.best(found), other.best(expected), strict=True)):
        margin = other.margin(expected.alone(number), theirs)
        assert one.margin(found.alone(number), ours) == pytest.approx(margin, rel=1e-6, abs=1e-9)
    below = found.values * (1 + slack) + 1e-9
    kept = one.kept(one.excluded(found, below))
    left = other.kept(other.excluded(expected, below))
    # It looks at fewer weightings, but what it leaves out of one, no assignment within that has.
    assert all({*few} <= {*many} for few, many in zip(left, kept, strict=True))
