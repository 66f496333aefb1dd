import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.cost import Numbers
from optimizer.exact import layout as module
from optimizer.exact.elimination import Elimination
from optimizer.exact.network import Network

WEIGHTINGS = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Up to six variables of up to three states, in small tables of two measures, some of them forbidding."""
    network = Network(("one", "other"))
    count = draw(st.integers(1, 6))
    for _ in range(count):
        network.variable(draw(st.integers(1, 3)))
    for _ in range(draw(st.integers(0, 7))):
        scope = draw(st.lists(st.integers(0, count - 1), min_size=0, max_size=3, unique=True))
        shape = tuple(network.sizes[variable] for variable in scope)
        random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        network.add(scope, random.integers(0, 8, (2, *shape)).astype(float), random.random(shape) < 0.08)
    return network


def all_costs(network: Network) -> dict[tuple[int, ...], Numbers]:
    """Every assignment and its measures, infinite where it is forbidden."""
    costs = {}
    for states in itertools.product(*map(range, network.sizes)):
        total = np.zeros(2)
        for table in network.tables:
            at = tuple(states[variable] for variable in table.scope)
            total = total + table.values[(slice(None), *at)]
            if table.forbidden is not None and table.forbidden[at]:
                total = total + np.inf
        costs[states] = total
    return costs


def weighted(cost: Numbers) -> Numbers:
    return WEIGHTINGS @ cost if np.isfinite(cost).all() else np.full(3, np.inf)


def least(costs: list[Numbers]) -> Numbers:
    return np.min([weighted(one) for one in costs], axis=0, initial=np.inf)


@settings(deadline=None, max_examples=150)
@given(networks())
def test_equals_trying_everything(network: Network) -> None:
    costs = all_costs(network)
    elimination = Elimination(network)
    assert elimination.exact
    eliminated = elimination.run(WEIGHTINGS)
    assert eliminated.values.tolist() == least(list(costs.values())).tolist()
    for states in costs:
        assert elimination.measure(np.array(states)).tolist() == costs[states].tolist()
    if np.isfinite(eliminated.values).all():
        for weighting, value, states in zip(WEIGHTINGS, eliminated.values, elimination.best(eliminated), strict=True):
            assert weighting @ costs[tuple(states.tolist())] == value


@settings(deadline=None, max_examples=100)
@given(networks())
def test_any_other_assignment_costs_the_margin_more(network: Network) -> None:
    elimination = Elimination(network)
    used = sorted({variable for table in network.tables for variable in table.scope})
    costs = {tuple(np.array(states)[used]): weighted(cost) for states, cost in all_costs(network).items()}
    for number, one in enumerate(elimination.remembered.each(elimination, list(WEIGHTINGS))):
        if np.isfinite(one.value):
            others = [cost[number] for states, cost in costs.items() if states != tuple(one.states[used])]
            second = min(others, default=np.inf)
            assert elimination.margin(one.eliminated, one.states) == second - one.value


@settings(deadline=None, max_examples=100)
@given(networks(), st.integers(0, 6))
def test_leaves_out_nothing_that_is_good_enough(network: Network, slack: int) -> None:
    elimination = Elimination(network)
    eliminated = elimination.run(WEIGHTINGS)
    if not np.isfinite(eliminated.values).all():
        return
    below = eliminated.values + slack
    excluded = elimination.excluded(eliminated, below)
    kept = elimination.kept(excluded)
    reduced = elimination.reduced(excluded, kept)
    good = [states for states, cost in all_costs(network).items() if (weighted(cost) <= below).all()]
    bound = [variable for variable in range(len(network.sizes)) if any(variable in t.scope for t in network.tables)]
    for states in good:
        assert all(states[variable] in kept[variable] for variable in bound)
    if not good or min(reduced.sizes) == 0:
        return
    # What is left has the same costs under the new numbers of its states.
    left = all_costs(reduced)
    for states in good:
        new = tuple(
            kept[variable].tolist().index(state) if variable in bound else 0 for variable, state in enumerate(states)
        )
        assert left[new].tolist() == all_costs(network)[states].tolist()


@settings(deadline=None, max_examples=100)
@given(networks())
def test_split_tables_bound_from_below(network: Network) -> None:
    exact = Elimination(network).run(WEIGHTINGS).values
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LARGEST_TABLES", (4,))
        split = Elimination(network)
    eliminated = split.run(WEIGHTINGS)
    assert (eliminated.values <= exact + 1e-9).all()
    costs = all_costs(network)
    below = exact + 2
    if np.isfinite(exact).all():
        kept = split.kept(split.excluded(eliminated, below))
        for states, cost in costs.items():
            if (weighted(cost) <= below).all():
                used = {variable for table in network.tables for variable in table.scope}
                assert all(states[variable] in kept[variable] for variable in used)


def test_says_when_tables_are_too_large() -> None:
    network = Network(("one",))
    variables = [network.variable(40) for _ in range(5)]
    for first, second in itertools.combinations(variables, 2):
        network.add((first, second), np.ones((1, 40, 40)))
    assert not Elimination(network).exact
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_ENTRIES", 1000)
        with pytest.raises(module.TooLargeError, match="table entries"):
            Elimination(network)
