from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.documents import dumps, loads
from core.graph import Layer, ModelGraph
from core.problem import BorderTime, LayerTime
from core.profiles import ExecutionProfile, ModelProfile, ModelProfilerSettings, RunEnergy, RuntimeSettings
from profilers.execution import correct, profile_execution
from profilers.model_profiler import profile_model
from tests.unit.models import Builder, attention_model, residual_model
from tests.unit.profilers.shapes import shaped

SETTINGS = ModelProfilerSettings(noise_samples=10)
SECONDS = st.floats(0, 10)


def graph_of(quantizable: list[bool]) -> ModelGraph:
    layers = tuple(Layer(f"/{index}", quantizable=value) for index, value in enumerate(quantizable))
    return ModelGraph("layers", layers, ())


@settings(deadline=None)
@given(st.data())
def test_corrected_times_sum_to_the_measured_wholes(data):
    quantizable = data.draw(st.lists(st.booleans(), min_size=1, max_size=8))
    graph = graph_of(quantizable)
    raw = st.lists(SECONDS, min_size=len(quantizable), max_size=len(quantizable))
    floats, integers = (dict(zip(graph.by_name, data.draw(raw), strict=True)) for _ in range(2))
    whole, mixed = data.draw(SECONDS), data.draw(SECONDS)
    times = correct(graph, floats, whole, (integers, mixed))
    assert sum(item.seconds for item in times.values()) == pytest.approx(whole)
    assert {name for name, item in times.items() if item.quantized_seconds is not None} == set(graph.quantizable)
    assert all(item.seconds >= 0 and (item.quantized_seconds or 0) >= 0 for item in times.values())
    others = sum(times[name].seconds for name in times if name not in graph.quantizable)
    if graph.quantizable and mixed >= others:
        chosen = sum(times[name].quantized_seconds or 0 for name in graph.quantizable)
        assert others + chosen == pytest.approx(mixed)


def test_correction_keeps_proportions():
    graph = graph_of([True, False, True])
    times = correct(graph, {"/0": 1.0, "/1": 2.0, "/2": 1.0}, 2.0, ({"/0": 0.25, "/1": 2.0, "/2": 0.75}, 1.5))
    assert [item.seconds for item in times.values()] == [0.5, 1.0, 0.5]
    assert [item.quantized_seconds for item in times.values()] == [0.125, None, 0.375]


@pytest.mark.parametrize("make", [residual_model, attention_model])
def test_times_of_a_real_model(make):
    model = shaped(make()).SerializeToString()
    profile = profile_model(model, "hash", "small", [], SETTINGS)
    result = profile_execution(model, profile, "print", RuntimeSettings())
    assert (result.model, result.fingerprint) == ("hash", "print")
    assert result.layers.keys() == profile.graph.by_name.keys()
    assert result.whole_seconds > 0
    assert sum(item.seconds for item in result.layers.values()) == pytest.approx(result.whole_seconds)
    timed = {name for name, item in result.layers.items() if item.quantized_seconds is not None}
    assert timed == set(profile.graph.quantizable)
    assert result.mixed_seconds is not None
    assert loads(dumps(result), ExecutionProfile) == result


def relu_model() -> tuple[bytes, ModelProfile]:
    net = Builder()
    net.node("Relu", "x", result="y")
    model = net.model({"x": [1, 4]}, {"y": [1, 4]}).SerializeToString()
    return model, profile_model(model, "hash", "relu", [], SETTINGS)


def test_times_are_of_the_machines_own_speed():
    result = profile_execution(*relu_model(), "print", RuntimeSettings(slowdown=1e9))
    assert 0 < result.whole_seconds < 100
    assert result.mixed_seconds is None
    assert result.layers["/y"].seconds == pytest.approx(result.whole_seconds)
    assert result.layers["/y"].quantized_seconds is None


def test_the_settings_too_may_ask_for_layers_timed_alone():
    model, profile = relu_model()
    asked = replace(profile, settings=replace(profile.settings, timing="layer-by-layer"))
    messages: list[str] = []
    profile_execution(model, asked, "print", RuntimeSettings(), lambda _, message: messages.append(message))
    assert "timing layer 1 of 1 alone" in messages


def test_a_slow_down_multiplies_all_times():
    energy = RunEnergy(1.0, 2.0, "measured", "meter")
    layers = {"a": LayerTime(1.0, 0.5), "b": LayerTime(2.0)}
    borders = {"t": BorderTime(1.0, 2.0, 3.0, 4.0)}
    profile = ExecutionProfile("hash", "print", layers, 3.0, 2.5, 4.0, energy, borders)
    slow = profile.slowed(2.0)
    assert slow.layers == {"a": LayerTime(2.0, 1.0), "b": LayerTime(4.0)}
    assert (slow.whole_seconds, slow.mixed_seconds, slow.layer_sum_seconds) == (6.0, 5.0, 8.0)
    assert slow.borders == {"t": BorderTime(2.0, 4.0, 6.0, 8.0)}
    assert slow.energy is None
    assert profile.slowed(1.0) == profile
    assert replace(profile, mixed_seconds=None).slowed(2.0).mixed_seconds is None
