from dataclasses import replace

from hypothesis import assume, given, settings

from core.graph import Layer
from core.objective import Limits
from core.problem import LayerTime, NoiseModel, Problem
from optimizer.measures import caps, in_words, measures
from optimizer.plan import make_plan
from tests.unit.optimizer.brute_force import least, predictions, within
from tests.unit.optimizer.builders import chain
from tests.unit.optimizer.strategies import problems


@settings(deadline=None, max_examples=50)
@given(problems(most_layers=4, most_quantizable=2, limited=0.7))
def test_names_the_limit_and_the_least_attainable_value(problem: Problem) -> None:
    assume(all(problem.allowed_servers(layer) for layer in problem.model.by_name))
    values = [measures(prediction) for prediction in predictions(problem)]
    limits = caps(problem)
    assume(values and not any(within(one, limits) for one in values))
    reason = make_plan(problem).reason
    assert reason is not None
    before: dict[str, float] = {}
    for measure, cap in limits.items():
        alone = least(values, measure, {})
        if alone > cap:
            assert reason == (
                f"{measure} cannot be at most {in_words(measure, cap)}: "
                f"the least attainable is {in_words(measure, alone)}"
            )
            return
    for measure, cap in limits.items():
        together = least(values, measure, before)
        if together > cap:
            assert reason.startswith(f"{measure} cannot be at most {in_words(measure, cap)} with ")
            assert reason.endswith(f"the least attainable then is {in_words(measure, together)}")
            assert all(f"{other} at most" in reason for other in before)
            return
        before[measure] = cap
    raise AssertionError("brute force found no limit to blame")


def test_device_energy() -> None:
    plan = make_plan(chain({"device": [2.0], "edge": [1.0]}, Limits(device_energy_joules=0.5)))
    assert plan.status == "infeasible"
    assert plan.reason == "device energy cannot be at most 0.5 J: the least attainable is 1 J"


def test_two_limits_together() -> None:
    problem = chain(
        {"device": [1.0, 1.0], "edge": [1.0, 1.0]}, Limits(device_energy_joules=1.5), memory={"edge": 10, "device": 20}
    )
    plan = make_plan(problem)
    assert plan.reason == (
        "device energy cannot be at most 1.5 J with memory of device at most 20 bytes and memory of edge at most "
        "10 bytes: the least attainable then is 2 J"
    )


def test_noise_below_zero() -> None:
    problem = replace(chain({"device": [1.0]}, Limits(noise=-0.5)), noise=NoiseModel(0.25, ()))
    assert make_plan(problem).reason == "noise cannot be at most -0.5: the least attainable is 0"


def test_layer_without_a_server() -> None:
    problem = chain({"device": [1.0], "edge": [1.0]}, rules={0: ("edge",)})
    problem = replace(problem, execution={"device": {"l0": LayerTime(1.0)}})
    assert make_plan(problem).reason == (
        "layer 'l0' has no server: it may run only on edge, but execution times are given only for device"
    )


def test_layer_without_any_time() -> None:
    problem = chain({"device": [1.0]})
    problem = replace(problem, model=replace(problem.model, layers=(*problem.model.layers, Layer("idle"))))
    assert make_plan(problem).reason == (
        "layer 'idle' has no server: it may run on any server, but execution times are given for none"
    )


def test_missing_links_are_named() -> None:
    problem = chain(
        {"device": [1.0, 1.0], "edge": [1.0, 1.0]}, links=(("edge", "device"),), rules={0: ("device",), 1: ("edge",)}
    )
    assert make_plan(problem).reason == (
        "every placement needs missing links, at the fewest for tensor 't1' from device to edge"
    )


def test_a_missing_link_is_avoided() -> None:
    plan = make_plan(chain({"device": [9.0], "edge": [1.0]}, links=(("device", "edge"),)))
    assert plan.placement == {"l0": "device"}
