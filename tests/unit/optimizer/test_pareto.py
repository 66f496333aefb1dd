import math
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.cost import predict, violated_limit
from core.documents import dumps, loads
from core.errors import InvalidArgumentError
from core.front import Front
from core.graph import Layer, ModelGraph, Tensor
from core.objective import Limits, Objective, SolverOptions
from core.problem import LayerTime, Link, Problem, Server
from optimizer.clock import Clock
from optimizer.dichotomy import Dichotomy
from optimizer.integer_program import IntegerProgram
from optimizer.measures import Weights, caps, measures
from optimizer.pareto import make_front
from optimizer.payoff import payoff_table
from optimizer.plan import make_plan
from optimizer.search import Search
from optimizer.solution import Method, Outcome, Solution
from tests.unit.optimizer.brute_force import predictions, within
from tests.unit.optimizer.strategies import eighths, model_graphs, noise_models, problems

MOST = 50
EXACT, ILP = SolverOptions(), SolverOptions(method="ilp")


def stairs(**limits: float) -> Problem:
    """Four layers without transfers: 1 s at 8 W on ``fast``, or 2, 3, 4 and 5 s at 1 W on ``slow``.

    So going to ``slow`` saves 6 J in 1 s, 5 J in 2 s, 4 J in 3 s and 3 J in 4 s.
    """
    names = ["a", "b", "c", "d"]
    ends: list[str | None] = [None, *names, None]
    return Problem(
        model=ModelGraph(
            "stairs",
            tuple(Layer(name) for name in names),
            tuple(
                Tensor(f"t{index}", 0, *pair)
                for index, pair in enumerate((one, (other,)) for one, other in pairwise(ends))
            ),
        ),
        servers=(Server("slow", 1.0), Server("fast", 8.0)),
        links=(Link("slow", "fast", 1.0, 0.0), Link("fast", "slow", 1.0, 0.0)),
        execution={
            "slow": {name: LayerTime(index + 2.0) for index, name in enumerate(names)},
            "fast": {name: LayerTime(1.0) for name in names},
        },
        limits=Limits(**limits),
    )


STAIRS = [(4.0, 32.0), (5.0, 26.0), (7.0, 21.0), (10.0, 17.0), (14.0, 14.0)]


@st.composite
def trade_offs(draw: st.DrawFn) -> Problem:
    """Problems where speed costs energy, with few limits; all numbers are multiples of powers of two."""
    model = draw(model_graphs(3, 5, 2, 3))
    model = replace(model, layers=tuple(replace(layer, servers=None) for layer in model.layers))
    servers = (Server("device", 0.5, 0.0, 0.5), Server("edge", 2.0, 0.0, 1.0), Server("cloud", 8.0, 0.5, 0.25))
    names = [server.name for server in servers]

    def times(slowness: int) -> st.SearchStrategy[LayerTime]:
        return st.builds(LayerTime, eighths(4 * slowness, 8 * slowness), st.none() | eighths(slowness, 6 * slowness))

    memory = draw(st.none() | st.integers(2, 12).map(lambda number: number * 64))
    return Problem(
        model=model,
        servers=(*servers[:2], replace(servers[2], memory_bytes=memory)),
        links=tuple(Link(one, other, 1024.0, draw(eighths(0, 2))) for one in names for other in names if one != other),
        execution={
            name: {layer.name: draw(times(slowness)) for layer in model.layers}
            for name, slowness in zip(names, (8, 4, 1), strict=True)
        },
        noise=draw(st.none() | noise_models(model.quantizable)),
        limits=Limits(noise=draw(st.none() | eighths(0, 8)), device_energy_joules=draw(st.none() | eighths(1, 80))),
    )


def values(front: Front) -> list[tuple[float, float]]:
    return [(point.predicted.latency_seconds, point.predicted.energy_joules) for point in front.points]


def corners(problem: Problem) -> list[tuple[float, float]]:
    """The front by trying everything: for every pair of plans, is one better at the weights that make them equal?"""
    found = {
        (one.latency_seconds, one.energy_joules) for one in predictions(problem) if within(measures(one), caps(problem))
    }
    best = sorted(
        one for one in found if not any(other != one and other[0] <= one[0] and other[1] <= one[1] for other in found)
    )

    def between(one: tuple[float, float]) -> bool:
        """Whether the point is on or above a line between two others."""
        return any(
            (right[0] - left[0]) * (one[1] - left[1]) >= (right[1] - left[1]) * (one[0] - left[0]) - 1e-12
            for left in best
            for right in best
            if left[0] < one[0] < right[0]
        )

    return [one for one in best if not between(one)]


@settings(max_examples=25, deadline=None)
@given(problems(most_layers=4, most_quantizable=2) | trade_offs())
def test_the_front_is_that_of_trying_everything(problem: Problem) -> None:
    expected = corners(problem)
    for options in (EXACT, ILP):
        front = make_front(problem, MOST, options)
        assert front.status == ("complete" if expected else "infeasible")
        assert values(front) == [pytest.approx(one, abs=1e-6) for one in expected]
        for point in front.points:
            assert predict(problem, point.placement, point.quantized) == point.predicted
            assert violated_limit(problem, point.predicted) is None


@settings(max_examples=15, deadline=None)
@given(trade_offs())
def test_a_plan_with_a_points_weights_is_the_point(problem: Problem) -> None:
    front = make_front(problem, MOST)
    for point in front.points:
        weight = (point.latency_weight_from + point.latency_weight_to) / 2
        plan = make_plan(replace(problem, objective=Objective(weight, 1 - weight)))
        assert plan.normalization == front.normalization
        assert plan.predicted is not None
        assert plan.predicted.latency_seconds == pytest.approx(point.predicted.latency_seconds)
        assert plan.predicted.energy_joules == pytest.approx(point.predicted.energy_joules)


def least(front: Front, points: list[tuple[float, float]], weight: float) -> float:
    """Least normalised objective among points, at a weight of latency."""
    table = front.normalization
    assert table is not None
    width = table.latency_max - table.latency_min or 1.0
    height = table.energy_max - table.energy_min or 1.0
    return min(
        weight * (latency - table.latency_min) / width + (1 - weight) * (energy - table.energy_min) / height
        for latency, energy in points
    )


@settings(max_examples=12, deadline=None)
@given(trade_offs(), st.integers(2, 4), st.sampled_from([EXACT, ILP]))
def test_a_truncated_front_states_what_it_leaves_out(problem: Problem, most: int, options: SolverOptions) -> None:
    expected = corners(problem)
    front = make_front(problem, most, options)
    if not expected:
        return
    assert front.status == ("complete" if len(expected) <= most else "truncated")
    assert len(front.points) <= most
    assert front.gap is not None
    for weight in (step / 64 for step in range(65)):
        known, best = least(front, values(front), weight), least(front, expected, weight)
        assert known <= best + front.gap + 1e-6


@pytest.mark.parametrize("options", [EXACT, ILP])
def test_a_hand_worked_front_with_its_knee_and_weights(options: SolverOptions) -> None:
    front = make_front(stairs(), MOST, options)
    assert values(front) == STAIRS
    # Of the distances 0.233, 0.311, 0.233 from the line between the ends, for ranges of 10 s and 18 J.
    assert front.knee == 2
    assert front.status == "complete"
    assert front.gap == pytest.approx(0, abs=1e-6)
    limits = [
        1.0,
        *((joules / 18) / (joules / 18 + seconds / 10) for joules, seconds in [(6, 1), (5, 2), (4, 3), (3, 4)]),
        0.0,
    ]
    assert [(one.latency_weight_to, one.latency_weight_from) for one in front.points] == [
        pytest.approx(pair) for pair in pairwise(limits)
    ]
    assert front.baselines["device_only"].latency_seconds == 14.0
    assert front.points[0].parallel is not None
    assert front.points[0].parallel.latency_seconds == 4.0


@pytest.mark.parametrize(
    ("most", "kept", "knee", "status"),
    [
        (2, [0, 4], None, "truncated"),
        (3, [0, 2, 4], 1, "truncated"),
        (5, [0, 1, 2, 3, 4], 2, "complete"),
    ],
)
def test_the_points_that_matter_most_come_first(most: int, kept: list[int], knee: int | None, status: str) -> None:
    front = make_front(stairs(), most)
    assert values(front) == [STAIRS[index] for index in kept]
    assert (front.knee, front.status) == (knee, status)


def test_plans_on_the_line_between_two_others_are_no_points() -> None:
    # Every layer saves 6 J in 1 s, wherever the others are.
    problem = stairs()
    alike = {name: LayerTime(2.0) for name in ("a", "b", "c", "d")}
    front = make_front(replace(problem, execution={**problem.execution, "slow": alike}), MOST)
    assert values(front) == [(4.0, 32.0), (8.0, 8.0)]
    assert front.knee is None


def test_one_plan_that_is_both_fastest_and_thriftiest_is_the_front() -> None:
    problem = stairs()
    front = make_front(replace(problem, servers=(Server("slow", 1.0), Server("fast", 1.0))), MOST)
    assert values(front) == [(4.0, 4.0)]
    assert (front.status, front.knee, front.gap) == ("complete", None, 0.0)
    assert (front.points[0].latency_weight_from, front.points[0].latency_weight_to) == (0.0, 1.0)


def test_limits_hold_at_every_point_and_an_impossible_one_is_named() -> None:
    # Slow is the device: at most 9 J leave out the last of the stairs.
    assert values(make_front(stairs(device_energy_joules=9.0), MOST))[:4] == STAIRS[:4]
    problem = stairs(device_energy_joules=-1.0)
    front = make_front(problem, MOST)
    assert (front.status, front.points) == ("infeasible", ())
    assert front.reason == make_plan(problem).reason
    assert "device energy cannot be at most" in (front.reason or "")


def test_a_layer_that_no_server_may_run_is_named() -> None:
    problem = stairs()
    front = make_front(replace(problem, execution={"slow": {}}), MOST)
    assert (front.status, front.points) == ("infeasible", ())
    assert "layer 'a' has no server" in (front.reason or "")


def test_the_objective_makes_no_difference() -> None:
    fronts = [
        make_front(replace(stairs(), objective=objective), MOST)
        for objective in (Objective(), Objective(0.0, 1.0, "throughput"), Objective(0.5, 0.5, "latency"))
    ]
    assert len({dumps(replace(front, solve_seconds=0.0)) for front in fronts}) == 1


def test_a_front_has_two_ends() -> None:
    with pytest.raises(InvalidArgumentError, match="at least 2"):
        make_front(stairs(), 1)


def test_the_document_is_read_as_it_was_written() -> None:
    front = make_front(stairs(), MOST)
    assert loads(dumps(front), Front) == front


@pytest.mark.parametrize("options", [EXACT, ILP])
def test_a_tiny_time_limit_leaves_simple_plans(options: SolverOptions) -> None:
    front = make_front(stairs(), MOST, replace(options, time_limit_seconds=1e-6))
    assert front.status == "stopped"
    assert front.points
    assert front.gap is None or front.gap >= 0


@dataclass
class Stopping:
    """A method whose time is up after some solves: from then on it has no solution, only a bound."""

    method: Method
    solves: int
    goals: list[Weights] = field(default_factory=list)

    def minimize(
        self, goal: Weights, caps: Weights, seconds: float | None = None, start: Solution | None = None
    ) -> Outcome:
        self.goals.append(goal)
        found = self.method.minimize(goal, caps, seconds, start)
        if len(self.goals) <= self.solves:
            return found
        return Outcome("stopped", None, found.lower_bound - 0.5)


@settings(max_examples=12, deadline=None)
@given(trade_offs(), st.integers(4, 8))
def test_a_stopped_front_tells_the_truth(problem: Problem, solves: int) -> None:
    expected = corners(problem)
    if not expected:
        return
    method = Stopping(IntegerProgram(problem), solves)
    search = Search(problem, method, Clock(None))
    payoff = payoff_table(search, lambda fraction, message: None, 1)
    assert payoff is not None
    dichotomy = Dichotomy(payoff, MOST)
    dichotomy.run(search, Clock(None), lambda fraction, message: None)
    stopped = len(method.goals) > solves
    assert dichotomy.status == ("stopped" if stopped else "complete")
    if stopped:
        width = payoff.normalization.latency_max - payoff.normalization.latency_min
        height = payoff.normalization.energy_max - payoff.normalization.energy_min
        for weight in (step / 64 for step in range(65)):
            known = min(point.value(weight) for point in dichotomy.points)
            best = min(
                weight * (latency - payoff.normalization.latency_min) / width
                + (1 - weight) * (energy - payoff.normalization.energy_min) / height
                for latency, energy in expected
            )
            assert math.isfinite(dichotomy.gap)
            assert known <= best + dichotomy.gap + 1e-6
