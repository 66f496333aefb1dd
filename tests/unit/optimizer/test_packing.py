"""Plans for models that fit no two servers."""

from hypothesis import given, settings

from core.cost import predict
from core.objective import SolverOptions
from core.problem import Problem
from optimizer.baselines import SimplePlans
from optimizer.packing import packed_placements
from optimizer.plan import make_plan
from tests.unit.optimizer.builders import chain
from tests.unit.optimizer.strategies import problems

SECONDS = {"device": [4.0] * 6, "edge": [2.0] * 6, "cloud": [1.0] * 6}
MEMORY = {"device": 20, "edge": 25, "cloud": 20}


def test_servers_are_filled_in_turn() -> None:
    first = next(packed_placements(chain(SECONDS, memory=MEMORY)))
    assert list(first.values()) == ["cloud", "cloud", "edge", "edge", "device", "device"]


def test_a_layer_with_a_rule_goes_where_it_may() -> None:
    found = list(packed_placements(chain(SECONDS, memory=MEMORY, rules={1: ("device",)})))
    assert found
    assert {one["l1"] for one in found} == {"device"}


def test_a_model_that_does_not_fit_is_not_packed() -> None:
    assert not list(packed_placements(chain(SECONDS, memory=MEMORY | {"cloud": 19})))


def test_a_search_begins_from_a_packed_plan_where_no_single_cut_fits() -> None:
    problem = chain(SECONDS, memory=MEMORY)
    starts = SimplePlans(problem).starts()
    assert starts
    assert all(len(set(start.placement.values())) == 3 for start in starts)
    plan = make_plan(problem, SolverOptions())
    assert plan.predicted is not None
    assert plan.predicted.latency_seconds <= min(start.prediction.latency_seconds for start in starts)


@settings(max_examples=100)
@given(problems(limited=0.8))
def test_packed_placements_keep_rules_and_memory(problem: Problem) -> None:
    for placement in packed_placements(problem):
        assert placement.keys() == problem.model.by_name.keys()
        assert all(server in problem.allowed_servers(layer) for layer, server in placement.items())
        prediction = predict(problem, placement, frozenset())
        for server in problem.servers:
            if prediction is not None and server.memory_bytes is not None:
                assert prediction.memory_bytes[server.name] <= server.memory_bytes + 1
