from dataclasses import replace
from functools import cache

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidArgumentError
from core.objective import Limits
from core.problem import LayerTime, Link, Problem, Server
from core.profiles import ModelProfile, ModelProfilerSettings, RuntimeSettings
from inferencer.session import Session
from model_divider.divide import divide
from model_divider.quantize import calibrate, quantize
from model_divider.wire import add_wire_layers, is_wire_layer, wire_layer
from optimizer.plan import make_plan
from profilers.execution import profile_execution
from profilers.model_graph import read_graph
from profilers.model_profiler import profile_model
from profilers.noise import measure_noise
from profilers.wire_layers import wire_candidates, without_wire_layers
from tests.unit.models import SMALL_MODELS, Builder, random_inputs
from tests.unit.plans import run, run_parts
from tests.unit.profilers.shapes import shaped

SETTINGS = ModelProfilerSettings(quantizable_count=2, wire_count=2, noise_samples=20)


@cache
def wide_model() -> onnx.ModelProto:
    """Tensors that are worth sending in int8: the input, 110 KB, and behind an activation, 147 KB and 74 KB."""
    net = Builder()
    first = net.node("Relu", net.conv("images", 3, 16, strides=[2, 2]))
    second = net.silu(net.conv(first, 16, 8, 1))
    pooled = net.node("Flatten", net.node("GlobalAveragePool", second))
    net.node("Gemm", pooled, net.weight(8, 5), result="scores")
    return shaped(net.model({"images": [1, 3, 96, 96]}, {"scores": [1, 5]}))


@cache
def profiled() -> ModelProfile:
    inputs = [random_inputs(wide_model(), seed) for seed in range(4)]
    return profile_model(wide_model().SerializeToString(), "hash", "wide", inputs, SETTINGS)


def candidates(**changes) -> list[str]:
    chosen = replace(SETTINGS, **changes)
    return wire_candidates(read_graph(wide_model(), "wide", chosen), chosen)


def test_candidates_are_where_little_crosses_and_much_is_saved():
    graph = read_graph(wide_model(), "wide", SETTINGS)
    relu = next(node.output[0] for node in wide_model().graph.node if node.op_type == "Relu")
    mul = next(node.output[0] for node in wide_model().graph.node if node.op_type == "Mul")
    sizes = {tensor.name: tensor.bytes for tensor in graph.tensors}
    assert sizes["images"] < sizes[relu]
    assert sizes[mul] < sizes["images"]
    # Behind the Relu more would cross than at the input; what the Mul's layers make between is larger or later.
    assert candidates(wire_count=9) == [wire_layer(name) for name in ("images", mul, relu)]
    assert candidates(wire_count=1) == [wire_layer("images")]
    assert candidates(excluded_layers=("*images",)) == [wire_layer(mul), wire_layer(relu)]
    assert candidates(wire_count=0) == candidates(quantizable_count=0) == []


def test_small_tensors_and_answers_are_no_candidates():
    for make in SMALL_MODELS.values():
        assert wire_candidates(read_graph(shaped(make()), "small", SETTINGS), SETTINGS) == []
    net = Builder()
    net.node("Relu", "x", result="y")
    net.node("Flatten", "y", result="z")
    model = shaped(net.model({"x": [1, 2**16]}, {"y": [1, 2**16], "z": [1, 2**16]}))
    assert wire_candidates(read_graph(model, "relu", SETTINGS), SETTINGS) == [wire_layer("x")]


@settings(deadline=None, max_examples=30)
@given(st.data(), st.sampled_from(sorted(SMALL_MODELS)))
def test_without_its_wire_layers_the_graph_is_as_before(data, name):
    model = shaped(SMALL_MODELS[name]())
    graph = read_graph(model, name, SETTINGS)
    floats = [tensor.name for tensor in graph.tensors if tensor.dtype == "float32" and any(tensor.consumers)]
    chosen = data.draw(st.sets(st.sampled_from(floats), min_size=1))
    wired = read_graph(add_wire_layers(model, map(wire_layer, chosen)), name, SETTINGS)
    assert {layer.name for layer in wired.layers if layer not in graph.layers} == set(map(wire_layer, chosen))
    assert set(wired.quantizable) == {*graph.quantizable, *map(wire_layer, chosen)}
    plain = without_wire_layers(wired)
    assert plain.layers == graph.layers
    assert [replace(one, consumers=()) for one in plain.tensors] == [
        replace(one, consumers=()) for one in graph.tensors
    ]
    assert [set(one.consumers) for one in plain.tensors] == [set(one.consumers) for one in graph.tensors]


def test_an_unknown_tensor_is_refused():
    with pytest.raises(InvalidArgumentError, match="no tensor 'nothing'"):
        add_wire_layers(wide_model(), ["/layer", wire_layer("nothing")])
    assert add_wire_layers(wide_model(), ["/layer"]) is wide_model()


def test_the_noise_of_the_wire_alone_is_predicted():
    profile = profiled()
    wires = [name for name in profile.graph.quantizable if is_wire_layer(name)]
    assert len(wires) == 2
    assert profile.noise is not None
    model = add_wire_layers(wide_model(), profile.graph.by_name)
    inputs = [random_inputs(wide_model(), seed) for seed in (1, 3)]
    sets = [wires[:1], wires[1:], wires, profile.graph.quantizable]
    measured = measure_noise(model, sets, profile.ranges, inputs, profile.settings.quantization)
    assert measured.min() > 0
    for layers, noise in zip(sets, measured, strict=True):
        assert profile.noise.model.predict(frozenset(layers)) == pytest.approx(noise, rel=0.02)


def test_a_float_layer_between_two_rounded_tensors_stays_float():
    net = Builder()
    net.node("Relu", net.conv(net.node("Relu", net.conv("x", 3, 8)), 8, 8), result="y")
    net.node("Flatten", "y", result="z")
    model = shaped(net.model({"x": [1, 3, 16, 16]}, {"z": [1, 2048]}))
    names = [wire_layer("relu_1"), wire_layer("y")]
    wired = add_wire_layers(model, names)
    inputs = random_inputs(model, 1)
    rounded = quantize(wired, names, calibrate(wired, names, [inputs]), SETTINGS.quantization).SerializeToString()
    expected = run(rounded, inputs, optimized=False)["z"]
    found = Session(rounded, RuntimeSettings()).run(inputs)["z"]
    # A sum near the middle between two steps may be rounded either way.
    assert (np.abs(found - expected) > 1e-5).mean() < 0.01


def test_wire_layers_take_next_to_nothing_in_float_and_are_timed_in_int8():
    result = profile_execution(wide_model().SerializeToString(), profiled(), "print", RuntimeSettings())
    assert result.layers.keys() == profiled().graph.by_name.keys()
    assert sum(item.seconds for item in result.layers.values()) == pytest.approx(result.whole_seconds, rel=0.01)
    for name, time in result.layers.items():
        if is_wire_layer(name):
            assert 0 < time.seconds < 1e-6
            assert time.quantized_seconds is not None
    wire = next(name for name in profiled().graph.quantizable if is_wire_layer(name) and "images" not in name)
    assert result.borders[f"{wire}/result"] == result.borders[wire.removeprefix(wire_layer(""))]


@pytest.mark.parametrize("bytes_per_second", [1e5, 1e12])
def test_a_plan_sends_in_int8_and_computes_in_float_where_that_saves_time(bytes_per_second):
    profile = profiled()
    # int8 brings nothing in computing, and takes a moment where only the wire is meant.
    times = {name: LayerTime(1e-7, 1e-3) if is_wire_layer(name) else LayerTime(1e-2) for name in profile.graph.by_name}
    slow = {name: LayerTime(100 * time.seconds, time.quantized_seconds) for name, time in times.items()}
    assert profile.noise is not None
    problem = Problem(
        profile.graph,
        (Server("device"), Server("cloud")),
        tuple(Link(a, b, bytes_per_second, 0.001) for a, b in (("device", "cloud"), ("cloud", "device"))),
        {"device": slow, "cloud": times},
        profile.noise.model,
        limits=Limits(noise=profile.noise.model.predict(frozenset([wire_layer("images")])) * 1.001),
    )
    plan = make_plan(problem)
    assert plan.placement[profile.graph.layers[1].name] == "cloud"
    fast = bytes_per_second == 1e12
    assert plan.quantized == (() if fast else (wire_layer("images"),))
    assert plan.placement[wire_layer("images")] == ("cloud" if fast else "device")
    quantization = profile.settings.quantization
    division, blobs = divide(wide_model().SerializeToString(), "hash", plan, profile.ranges, quantization)
    sent = {spec.dtype for component in division.components for spec in component.inputs if component.server == "cloud"}
    assert sent == {"float32" if fast else "uint8"}
    inputs = random_inputs(wide_model(), 9)
    expected = run(blobs[division.whole_blob], inputs)
    answers, _ = run_parts(division, blobs, inputs)
    assert answers["scores"] == pytest.approx(expected["scores"], rel=1e-4, abs=1e-5)
