"""Dividing: the parts together are the whole, and what crosses is what the design says."""

import dataclasses
import hashlib
import math
from functools import cache

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.deployment import FRONT_END, Division
from core.errors import InvalidArgumentError
from core.plan import Plan, PlannedComponent
from core.profiles import QuantizationSettings, Range
from model_divider.divide import divide
from model_divider.quantize import QUANTIZABLE_OPERATORS, calibrate, quantize
from model_divider.silu import fuse_silu
from model_divider.wire import add_wire_layers, wire_layer
from model_pool.admission import admit
from tests.unit.models import SMALL_MODELS, Builder, branching_model, random_inputs, residual_model
from tests.unit.plans import plan_for, run, run_parts

SERVERS = ("device", "edge", "cloud")
UINT8 = QuantizationSettings()
WIRED = ", wired"
"""Behind a model's name: with a wire layer behind each of its tensors."""


def float_tensors(model: onnx.ModelProto) -> list[str]:
    """Inputs and inner tensors."""
    values = [*model.graph.input, *model.graph.value_info]
    return [value.name for value in values if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]


@cache
def prepared(name: str) -> tuple[bytes, onnx.ModelProto, tuple[str, ...], dict[str, Range]]:
    """An admitted small model, and with wire layers its graph, its quantisable layers and their ranges."""
    data = admit(SMALL_MODELS[name.removesuffix(WIRED)]().SerializeToString(), {}).data
    model = onnx.load_model_from_string(data)
    layers = tuple(node.name for node in model.graph.node if node.op_type in QUANTIZABLE_OPERATORS)
    if name.endswith(WIRED):
        wires = tuple(map(wire_layer, float_tensors(model)))
        model = add_wire_layers(model, wires)
        layers += wires
    return data, model, layers, calibrate(model, layers, [random_inputs(model, seed) for seed in range(3)])


@st.composite
def divided(draw, int8: bool) -> tuple[str, Plan, QuantizationSettings]:
    name = draw(st.sampled_from(sorted(SMALL_MODELS))) + draw(st.sampled_from(["", WIRED]))
    _, model, layers, _ = prepared(name)
    servers = draw(st.lists(st.sampled_from(SERVERS), min_size=len(model.graph.node), max_size=len(model.graph.node)))
    quantized = draw(st.sets(st.sampled_from(layers), min_size=1)) if int8 else ()
    kind = draw(st.sampled_from(["uint8", "int8"]))
    return name, plan_for(model, servers, quantized), QuantizationSettings(kind, draw(st.booleans()))


def cut(name: str, plan: Plan, settings_: QuantizationSettings = UINT8) -> tuple[Division, dict[str, bytes]]:
    data, _, _, ranges = prepared(name)
    return divide(data, "hash", plan, ranges, settings_)


@given(case=st.booleans().flatmap(lambda int8: divided(int8=int8)))
@settings(max_examples=60, deadline=None)
def test_as_written_the_parts_are_the_whole_bit_for_bit(case):
    name, plan, quantization = case
    division, blobs = cut(name, plan, quantization)
    inputs = random_inputs(prepared(name)[1], 7)
    whole = run(blobs[division.whole_blob], inputs, optimized=False)
    answers, _ = run_parts(division, blobs, inputs, optimized=False)
    assert answers.keys() == whole.keys()
    for output, value in whole.items():
        np.testing.assert_array_equal(answers[output], value)


@given(case=divided(int8=False))
@settings(max_examples=30, deadline=None)
def test_fused_by_the_runtime_float_parts_differ_from_the_whole_by_rounding_only(case):
    name, plan, quantization = case
    division, blobs = cut(name, plan, quantization)
    inputs = random_inputs(prepared(name)[1], 7)
    whole = run(prepared(name)[0], inputs)
    answers, _ = run_parts(division, blobs, inputs)
    for output, value in whole.items():
        assert np.abs(answers[output] - value).max() <= 1e-5 * np.ptp(value)


@given(case=divided(int8=True))
@settings(max_examples=40, deadline=None)
def test_every_part_is_well_formed(case):
    name, plan, quantization = case
    _, model, _, _ = prepared(name)
    division, blobs = cut(name, plan, quantization)
    assert {name for component in division.components for name in component.layers} == {
        node.name for node in model.graph.node
    }
    assert {name for component in division.components for name in component.quantized} == set(plan.quantized)
    assert blobs.keys() == {division.whole_blob, *(component.blob for component in division.components)}
    for digest, data in blobs.items():
        assert hashlib.sha256(data).hexdigest() == digest
    for component in division.components:
        part = onnx.load_model_from_string(blobs[component.blob])
        onnx.checker.check_model(part, full_check=True)
        inferred = onnx.shape_inference.infer_shapes(part, strict_mode=True)
        assert [value.name for value in inferred.graph.input] == [spec.name for spec in component.inputs]
        assert [value.name for value in inferred.graph.output] == [spec.name for spec in component.outputs]
        assert component.inputs
        assert component.outputs
        assert component.routes.keys() == {spec.name for spec in component.outputs}
        used = {tensor for node in part.graph.node for tensor in node.input}
        assert {tensor.name for tensor in part.graph.initializer} <= used
    for component in division.components:
        first_needed = [min(set(to) - {FRONT_END}, default=math.inf) for to in component.routes.values()]
        assert first_needed == sorted(first_needed)
        for output, receivers in component.routes.items():
            assert receivers
            assert component.id not in receivers
            spec = next(spec for spec in component.outputs if spec.name == output)
            for receiver in set(receivers) - {FRONT_END}:
                target = next(each for each in division.components if each.id == receiver)
                assert spec in target.inputs


@given(case=divided(int8=True))
@settings(max_examples=30, deadline=None)
def test_what_quantised_layers_make_crosses_as_one_byte_and_all_else_as_float(case):
    name, plan, quantization = case
    _, model, _, _ = prepared(name)
    division, _ = cut(name, plan, quantization)
    homes = {layer: component.id for component in division.components for layer in component.layers}
    made = {node.output[0]: node.name for node in model.graph.node}
    expected = set()
    for node in model.graph.node:
        for tensor in node.input:
            maker = made.get(tensor)
            if maker is not None and homes[maker] != homes[node.name]:
                dtype = quantization.activation_type if maker in plan.quantized else "float32"
                expected.add((homes[maker], homes[node.name], dtype, shape_of(model, tensor)))
    crossing = {
        (component.id, receiver, spec.dtype, spec.shape)
        for component in division.components
        for spec in component.outputs
        for receiver in component.routes[spec.name]
        if receiver != FRONT_END
    }
    assert crossing == expected


def shape_of(model: onnx.ModelProto, tensor: str) -> tuple[int, ...]:
    value = next(each for each in (*model.graph.value_info, *model.graph.output) if each.name == tensor)
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_fused_by_the_runtime_int8_parts_are_as_noisy_as_the_whole(name):
    data, model, layers, _ = prepared(name)
    random = np.random.default_rng(0)
    noises = []
    for seed in range(8):
        plan = plan_for(model, random.choice(SERVERS, len(model.graph.node)).tolist(), layers)
        division, blobs = cut(name, plan)
        inputs = random_inputs(model, seed)
        exact, whole = run(data, inputs), run(blobs[division.whole_blob], inputs)
        answers, sent = run_parts(division, blobs, inputs)
        assert any(value.dtype == np.uint8 for value in sent.values())
        noises.append([np.mean([np.abs(each[o] - exact[o]).mean() for o in exact]) for each in (whole, answers)])
    of_whole, of_parts = np.mean(noises, axis=0)
    assert of_parts == pytest.approx(of_whole, rel=0.15)


def test_the_models_outputs_leave_as_declared_even_where_a_quantised_layer_makes_them():
    data, model, layers, _ = prepared("attention")
    assert model.graph.node[-1].name in layers
    division, blobs = cut("attention", plan_for(model, ["device"] * len(model.graph.node), layers))
    (component,) = division.components
    assert component.outputs == division.outputs == admit(data, {}).outputs
    assert component.routes == {"logits": (FRONT_END,)}
    assert division.input_routes == {"tokens": (component.id,)}
    answers, _ = run_parts(division, blobs, random_inputs(model))
    assert answers["logits"].dtype == np.float32


def test_a_quantised_tensor_that_is_answer_and_passed_on_leaves_in_both_forms():
    net = Builder()
    net.node("MatMul", "tokens", net.weight(4, 4), result="first")
    net.node("Neg", "first", result="second")
    admitted = admit(net.model({"tokens": [1, 4]}, {"first": [1, 4], "second": [1, 4]}).SerializeToString(), {})
    model = onnx.load_model_from_string(admitted.data)
    inputs = random_inputs(model)
    ranges = calibrate(model, ["/first"], [inputs])
    division, blobs = divide(admitted.data, "hash", plan_for(model, ["device", "edge"], ["/first"]), ranges, UINT8)
    first, second = division.components
    assert {spec.name: spec.dtype for spec in first.outputs} == {"first": "float32", "first/quantized": "uint8"}
    assert first.routes == {"first": (FRONT_END,), "first/quantized": (second.id,)}
    answers, _ = run_parts(division, blobs, inputs)
    np.testing.assert_array_equal(answers["second"], -answers["first"])


@pytest.mark.parametrize("choice", [True, False])
def test_bodies_of_if_get_what_they_capture_and_inputs_may_be_answers(choice):
    admitted = admit(branching_model().SerializeToString(), {})
    model = onnx.load_model_from_string(admitted.data)
    division, blobs = divide(admitted.data, "hash", plan_for(model, SERVERS), {}, UINT8)
    assert len(division.components) == 3
    inputs = {"x": np.float32([[1, -2, 3, -4]]), "choice": np.array([choice])}
    assert FRONT_END in division.input_routes["x"]
    answers, _ = run_parts(division, blobs, inputs)
    assert answers.keys() == {"x", "y"}
    kept = np.maximum(inputs["x"], 0)
    weights = np.float32([1, 2, 3, 4])
    np.testing.assert_array_equal(answers["y"], (kept * weights if choice else weights - kept) + kept)
    np.testing.assert_array_equal(answers["x"], inputs["x"])


def test_an_input_that_nothing_reads_goes_nowhere_and_shared_weights_are_copied():
    net = Builder()
    weight = net.weight(4, 4)
    middle = net.node("MatMul", "tokens", weight)
    net.node("MatMul", middle, weight, result="twice")
    admitted = admit(net.model({"tokens": [1, 4], "unused": [2]}, {"twice": [1, 4]}).SerializeToString(), {})
    model = onnx.load_model_from_string(admitted.data)
    division, blobs = divide(admitted.data, "hash", plan_for(model, ["device", "edge"]), {}, UINT8)
    assert division.input_routes["unused"] == ()
    assert [spec.name for spec in division.inputs] == ["tokens", "unused"]
    for component in division.components:
        assert len(onnx.load_model_from_string(blobs[component.blob]).graph.initializer) == 1


def test_the_whole_model_is_the_quantised_one():
    data, model, layers, ranges = prepared("residual")
    division, blobs = cut("residual", plan_for(model, ["edge"] * len(model.graph.node), layers))
    expected = fuse_silu(quantize(model, layers, ranges, UINT8)).SerializeToString(deterministic=True)
    assert blobs[division.whole_blob] == expected
    again, _ = cut("residual", plan_for(model, ["edge"] * len(model.graph.node), layers))
    assert again == division
    untouched, blobs = cut("residual", plan_for(model, ["edge"] * len(model.graph.node)))
    inputs = random_inputs(model)
    for output, value in run(data, inputs).items():
        np.testing.assert_array_equal(run(blobs[untouched.whole_blob], inputs)[output], value)


def test_progress_ends_at_one():
    data, model, _, ranges = prepared("chain")
    told: list[tuple[float, str]] = []
    divide(data, "hash", plan_for(model, ["edge"] * 8), ranges, UINT8, lambda *step: told.append(step))
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def broken(plan: Plan, change: str) -> Plan:
    first, real, last = plan.components[0], list(plan.components[1:-1]), plan.components[-1]
    quantized = plan.quantized
    if change == "foreign layer":
        real[0] = dataclasses.replace(real[0], layer_names=(*real[0].layer_names, "/foreign"))
    elif change == "doubled layer":
        real[0] = dataclasses.replace(real[0], layer_names=(*real[0].layer_names, real[1].layer_names[0]))
    elif change == "missing layer":
        real[0] = dataclasses.replace(real[0], layer_names=real[0].layer_names[1:])
    elif change == "order":
        real.reverse()
    elif change == "ids":
        real[1] = dataclasses.replace(real[1], id=real[0].id)
    elif change == "no receiver":
        last = PlannedComponent(99, "device", 1, (), {}, real.pop().layer_names)
    elif change == "empty":
        return dataclasses.replace(plan, status="infeasible", components=())
    elif change == "foreign int8":
        quantized = ("/foreign",)
    return dataclasses.replace(plan, components=(first, *real, last), quantized=quantized)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("foreign layer", "names the layer '/foreign'"),
        ("foreign int8", "names the layer '/foreign'"),
        ("doubled layer", "is in components 1 and 2"),
        ("missing layer", "is in no component"),
        ("order", "topological order"),
        ("ids", "not distinct"),
        ("no receiver", "generator and receiver"),
        ("empty", "infeasible and has no components"),
    ],
)
def test_plans_that_do_not_fit_are_refused(change, message):
    _, model, _, _ = prepared("chain")
    plan = plan_for(model, ["device"] * 3 + ["edge"] * 3 + ["cloud"] * 2)
    with pytest.raises(InvalidArgumentError, match=message):
        cut("chain", broken(plan, change))


def test_a_plan_for_another_model_is_refused():
    other = onnx.load_model_from_string(admit(residual_model().SerializeToString(), {}).data)
    with pytest.raises(InvalidArgumentError, match="plan again"):
        cut("chain", plan_for(other, ["edge"] * len(other.graph.node)))


@pytest.mark.parametrize("quantized", [False, True])
def test_what_the_plan_compresses_is_compressed_in_float_and_in_int8(quantized):
    name = "residual" + WIRED
    _, model, layers, _ = prepared(name)
    count = len(model.graph.node)
    plan = plan_for(model, [SERVERS[3 * index // count] for index in range(count)], layers if quantized else ())
    tensors = [*float_tensors(model), *(value.name for value in model.graph.output)]
    every = tuple(dataclasses.replace(one, compressed=dict.fromkeys(tensors, ("cloud",))) for one in plan.components)
    division, _ = cut(name, dataclasses.replace(plan, components=every))
    assert {value.name for value in model.graph.input} <= division.compressed_inputs.keys()
    dtypes = set()
    for component in division.components:
        assert component.compressed == {output.name: ("cloud",) for output in component.outputs}
        dtypes |= {output.dtype for output in component.outputs}
    assert ("uint8" in dtypes) == quantized
    assert not any(component.compressed for component in cut(name, plan)[0].components)
