from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.objective import Limits, Objective
from core.problem import LayerTime, NoiseModel, NoiseTerm
from optimizer.integer_program import IntegerProgram
from optimizer.measures import NOISE
from optimizer.noise import all_masks, allowed_masks, covering_boxes
from optimizer.plan import make_plan
from tests.unit.optimizer.builders import chain
from tests.unit.optimizer.strategies import noise_models, problems

LAYERS = ("l0", "l1", "l2", "l3")


@given(noise_models(LAYERS), st.integers(-4, 8))
def test_masks_are_allowed_as_the_polynomial_says(noise: NoiseModel, limit: int) -> None:
    allowed = allowed_masks(noise, LAYERS, limit / 8)
    for mask, is_allowed in zip(all_masks(len(LAYERS)), allowed, strict=True):
        chosen = frozenset(np.array(LAYERS)[mask].tolist())
        assert is_allowed == (noise.predict(chosen) <= limit / 8)


@given(st.integers(0, 6).flatmap(lambda count: st.lists(st.booleans(), min_size=2**count, max_size=2**count)))
def test_boxes_cover_exactly_what_is_allowed(allowed: list[bool]) -> None:
    boxes = covering_boxes(np.array(allowed))
    covered = [any(low & mask == low and mask & ~high == 0 for low, high in boxes) for mask in range(len(allowed))]
    assert covered == allowed


@settings(deadline=None, max_examples=40)
@given(problems(most_layers=6, most_quantizable=4))
def test_least_noise(problem) -> None:  # type: ignore[no-untyped-def]
    problem = replace(problem, noise=problem.noise or NoiseModel(-1.0, ()))
    names = problem.model.quantizable
    everywhere = {server.name: dict.fromkeys(problem.model.by_name, LayerTime(1.0)) for server in problem.servers}
    model = replace(problem.model, layers=tuple(replace(layer, servers=None) for layer in problem.model.layers))
    problem = replace(problem, model=model, execution=everywhere)
    outcome = IntegerProgram(problem).minimize({NOISE: 1.0}, {})
    sets = [frozenset(np.array(names, dtype=object)[mask].tolist()) for mask in all_masks(len(names))]
    assert problem.noise is not None
    least = min(problem.noise.predict(chosen) for chosen in sets)
    assert outcome.solution is not None
    assert outcome.solution.prediction.noise == pytest.approx(least)
    assert outcome.lower_bound == pytest.approx(least, abs=1e-6)


@settings(deadline=None, max_examples=8)
@given(st.data())
def test_polynomial_of_many_layers(data: st.DataObject) -> None:
    """With more layers than are enumerated the monomials become variables; compared with all 8,192 sets."""
    count = 13
    seconds = [float(data.draw(st.integers(1, 8))) for _ in range(count)]
    problem = chain({"device": seconds})
    names = tuple(problem.model.by_name)
    layers = tuple(replace(layer, quantizable=True) for layer in problem.model.layers)
    pairs = [tuple(data.draw(st.sets(st.sampled_from(names), min_size=2, max_size=3))) for _ in range(8)]
    noise = NoiseModel(
        data.draw(st.integers(-1, 1)) / 8,
        tuple(NoiseTerm((name,), data.draw(st.integers(1, 6)) / 8) for name in names)
        + tuple(NoiseTerm(pair, data.draw(st.integers(-3, 3)) / 8) for pair in pairs),
    )
    limit = data.draw(st.integers(2, 24)) / 8
    problem = replace(
        problem,
        model=replace(problem.model, layers=layers),
        execution={"device": {name: LayerTime(time, time / 2) for name, time in zip(names, seconds, strict=True)}},
        noise=noise,
        objective=Objective(),
        limits=Limits(noise=limit),
    )
    plan = make_plan(problem)
    masks = all_masks(count)[allowed_masks(noise, names, limit)]
    assert plan.status == "optimal"
    assert plan.predicted is not None
    assert plan.predicted.noise <= limit + 1e-9
    assert plan.predicted.latency_seconds == pytest.approx(sum(seconds) - (masks @ np.array(seconds)).max() / 2)


def test_nothing_quantised_without_noise_or_gain() -> None:
    problem = chain({"device": [2.0, 2.0, 2.0]})
    layers = tuple(replace(layer, quantizable=True) for layer in problem.model.layers)
    times = {"l0": LayerTime(2.0, 1.0), "l1": LayerTime(2.0, 2.0), "l2": LayerTime(2.0)}
    problem = replace(problem, model=replace(problem.model, layers=layers), execution={"device": times})
    assert make_plan(problem).quantized == ("l0",)
    noisy = replace(problem, noise=NoiseModel(0.01, ()), limits=Limits(noise=0.0))
    assert make_plan(noisy).quantized == ()
