from dataclasses import replace

from core.objective import Limits, SolverOptions
from core.problem import LayerTime, NoiseModel, NoiseTerm, Problem
from optimizer.plan import make_plan
from partita.explanation import explain
from tests.unit.optimizer.builders import chain

SLOW_DEVICE = {"device": [4.0, 40.0, 40.0], "edge": [2.0, 1.0, 1.0]}


def sentences(problem: Problem) -> tuple[str, ...]:
    return explain(make_plan(problem, SolverOptions()), problem)


def test_why_it_splits_and_where_the_time_goes() -> None:
    problem = chain(SLOW_DEVICE, rules={0: ("device",)})
    assert sentences(problem) == (
        "It splits over device, edge: 8.00 s instead of 84.0 s (-90%) and 8.00 J instead of 84.0 J (-90%) with the "
        "best single server (all on device).",
        "Computing takes 6.00 s (device 4.00 s, edge 2.00 s).",
        "Sending takes 2.00 s, for 200 B in 2 transfers; the longest, 't1' (100 B) from device to edge, takes 1.00 s.",
    )


def test_why_it_does_not_split() -> None:
    first, *_ = sentences(chain({"device": [1.0, 1.0, 1.0], "edge": [1.0, 1.0, 1.0]}))
    assert first.startswith("Everything runs on device: 3.00 s instead of 5.00 s (-40%)")
    assert "with the best single cut (" in first


def test_a_plan_that_leaves_the_device_for_one_server_does_not_split() -> None:
    first, *_ = sentences(chain({"device": [40.0, 40.0, 40.0], "edge": [1.0, 1.0, 1.0]}))
    assert first.startswith("Everything runs on edge: 5.00 s instead of ")


def test_no_single_server_may_run_everything() -> None:
    first, *_ = sentences(chain(SLOW_DEVICE, rules={0: ("device",), 1: ("edge",)}))
    assert first == "It splits over device, edge, because no single server may or can run everything."


def test_what_int8_brings_and_the_limit_it_meets() -> None:
    problem = chain(SLOW_DEVICE, Limits(noise=0.1), rules={0: ("device",)})
    layers = tuple(replace(layer, quantizable=True) if layer.name == "l0" else layer for layer in problem.model.layers)
    times = {**problem.execution["device"], "l0": LayerTime(4.0, 1.0)}
    problem = replace(
        problem,
        model=replace(problem.model, layers=layers),
        execution={**problem.execution, "device": times},
        noise=NoiseModel(0.0, (NoiseTerm(("l0",), 0.095),)),
    )
    assert sentences(problem)[3:] == (
        "Its int8 layers (1) save 3.00 s of computing and save 75 B of sending, for a noise of 0.095.",
        "It is near the limit of noise: 0.095 of 0.1.",
    )


def test_a_memory_that_is_nearly_full() -> None:
    found = sentences(chain(SLOW_DEVICE, rules={0: ("device",)}, memory={"edge": 21}))
    assert found[-1] == "It is near the limit of memory on edge: 20 B of 21 B."


def test_an_infeasible_plan_is_explained_by_its_reason() -> None:
    problem = chain(SLOW_DEVICE, memory={"device": 5, "edge": 5})
    (only,) = sentences(problem)
    assert only.startswith("No plan meets the limits: ")
