"""Links whose time is a measured function of size: all ways of planning see the same one."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.planning.literal_program import LiteralProgram
from core.problem import Problem
from optimizer.exact.method import ExactMethod
from optimizer.integer_program import IntegerProgram
from optimizer.measures import ENERGY, LATENCY, Weights, value_of
from optimizer.plan import make_plan
from tests.unit.optimizer.builders import chain
from tests.unit.optimizer.strategies import problems, tables

GOALS: list[Weights] = [{LATENCY: 1.0}, {LATENCY: 0.5, ENERGY: 0.25}]


@st.composite
def with_tables(draw: st.DrawFn) -> Problem:
    problem = draw(problems(most_layers=10, most_servers=4, limited=0.0))
    links = tuple(dataclasses.replace(link, seconds_by_bytes=draw(tables(link.rtt_seconds))) for link in problem.links)
    return dataclasses.replace(problem, links=links)


@settings(deadline=None, max_examples=40)
@given(with_tables(), st.sampled_from(GOALS))
def test_exact_and_integer_program_agree(problem: Problem, goal: Weights) -> None:
    if not all(problem.allowed_servers(layer) for layer in problem.model.by_name):
        return
    found, expected = (method(problem).minimize(goal, {}) for method in (ExactMethod, IntegerProgram))
    assert found.status == expected.status
    if found.solution is not None and expected.solution is not None:
        value = value_of(goal, found.solution.prediction)
        assert value == pytest.approx(value_of(goal, expected.solution.prediction), rel=1e-6, abs=1e-6)


@settings(deadline=None, max_examples=10)
@given(with_tables())
def test_the_literal_program_agrees(problem: Problem) -> None:
    if not all(problem.allowed_servers(layer) for layer in problem.model.by_name):
        return
    literal = LiteralProgram(problem)
    least = literal.minimize(literal.latency())
    found = ExactMethod(problem).minimize({LATENCY: 1.0}, {})
    assert (least is None) == (found.solution is None)
    if least is not None and found.solution is not None:
        assert found.solution.prediction.latency_seconds == pytest.approx(least, rel=1e-5, abs=1e-5)


def test_a_link_that_is_slow_to_start_changes_the_plan() -> None:
    problem = chain({"device": [2.0, 2.0], "edge": [0.5, 0.5]}, tensor_bytes=50)
    slow = tuple(dataclasses.replace(link, seconds_by_bytes=((40.0, 2.0), (400.0, 2.5))) for link in problem.links)
    for links, place, latency in ((problem.links, "edge", 2.0), (slow, "device", 4.0)):
        plan = make_plan(dataclasses.replace(problem, links=links))
        assert set(plan.placement.values()) == {place}
        assert plan.predicted is not None
        assert plan.predicted.latency_seconds == pytest.approx(latency)
