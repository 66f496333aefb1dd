"""Layers that are slower in int8 on a server: known as such, and int8 there only where it pays all the same."""

from dataclasses import replace

import pytest

from core.graph import ModelGraph
from core.objective import Objective, SolverOptions
from core.problem import LayerTime, Problem
from optimizer.plan import make_plan
from tests.unit.optimizer.builders import chain


def slower_in_int8(tensor_bytes: int, objective: Objective) -> Problem:
    """Three layers on two servers, each of them half as slow again in int8; the second server is far faster."""
    problem = chain({"device": [8.0, 8.0, 8.0], "edge": [1.0, 1.0, 1.0]}, tensor_bytes=tensor_bytes)
    return replace(
        problem,
        model=ModelGraph(
            "chain",
            tuple(replace(layer, quantizable=layer.name == "l0") for layer in problem.model.layers),
            problem.model.tensors,
        ),
        execution={
            server: {name: LayerTime(time.seconds, 1.5 * time.seconds) for name, time in times.items()}
            for server, times in problem.execution.items()
        },
        objective=objective,
    )


OBJECTIVES = [
    Objective(),
    Objective(0.5, 0.5),
    Objective(0.0, 1.0),
    Objective(goal="latency"),
    Objective(goal="throughput"),
]


@pytest.mark.parametrize("method", ["exact", "ilp"])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_int8_that_only_costs_is_not_chosen(objective, method):
    made = make_plan(slower_in_int8(1, objective), SolverOptions(method=method))
    assert made.quantized == ()


def test_slower_int8_is_chosen_where_the_wire_saves_more():
    problem = slower_in_int8(400, Objective())
    pinned = tuple(
        replace(layer, servers=("device",) if layer.name == "l0" else ("edge",)) for layer in problem.model.layers
    )
    pinned_problem = replace(problem, model=ModelGraph("chain", pinned, problem.model.tensors))
    # 4 s more of computing, 3 s less on the wire: not worth it; with slower links it is.
    assert make_plan(pinned_problem, SolverOptions()).quantized == ()
    links = tuple(replace(link, bytes_per_second=50.0) for link in problem.links)
    assert make_plan(replace(pinned_problem, links=links), SolverOptions()).quantized == ("l0",)
