"""Fusing SiLU behind int8 layers: same numbers, fewer nodes, nothing else touched."""

from collections import Counter

import numpy as np
import onnx
import pytest

from core.profiles import QuantizationSettings
from model_divider.quantize import calibrate, quantize
from model_divider.silu import fuse_silu
from tests.unit.models import Builder, attention_model, random_inputs, residual_model
from tests.unit.plans import run


def inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def quantized(model: onnx.ModelProto, count: int = 100) -> onnx.ModelProto:
    layers = [node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")][:count]
    return quantize(model, layers, calibrate(model, layers, [random_inputs(model)]), QuantizationSettings())


def operators(model: onnx.ModelProto) -> Counter:
    return Counter(node.op_type for node in model.graph.node)


@pytest.mark.parametrize("seed", range(3))
def test_results_are_the_same_with_fewer_nodes(seed):
    model = quantized(inferred(residual_model(seed)))
    before = model.SerializeToString()
    fused = fuse_silu(model)
    assert model.SerializeToString() == before
    onnx.checker.check_model(fused)
    assert operators(fused)["QuickGelu"] == 2
    assert operators(model)["Sigmoid"] - operators(fused)["Sigmoid"] == 2
    assert operators(fused)["Mul"] == 0
    inputs = random_inputs(model, 7)
    expected, found = run(before, inputs), run(fused.SerializeToString(), inputs)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-6, atol=1e-6)


def test_float_activations_are_left_to_the_runtime():
    model = inferred(residual_model())
    assert fuse_silu(model) is model
    first_only = fuse_silu(quantized(model, 1))
    assert operators(first_only)["QuickGelu"] == 1


def test_a_model_without_silu_is_returned_as_it_is():
    model = quantized(inferred(attention_model()))
    assert fuse_silu(model) is model


@pytest.mark.parametrize("shown", ["gate", "other"])
def test_a_sigmoid_that_something_else_reads_stays(shown):
    net = Builder()
    value = net.conv("images", 3, 4)
    gate = net.node("Sigmoid", value)
    net.node("Mul", gate, value, result="features")
    net.node("Neg", gate, result="other")
    model = net.model({"images": [1, 3, 8, 8]}, {"features": [1, 4, 8, 8], "other": [1, 4, 8, 8]})
    if shown == "gate":
        model.graph.output[1].name = gate
    assert operators(fuse_silu(quantized(inferred(model))))["QuickGelu"] == 0


def test_the_product_of_two_values_is_no_silu():
    net = Builder()
    value, other = net.conv("images", 3, 4), net.conv("images", 3, 4)
    net.node("Mul", value, net.node("Sigmoid", other), result="features")
    model = net.model({"images": [1, 3, 8, 8]}, {"features": [1, 4, 8, 8]})
    assert operators(fuse_silu(quantized(inferred(model))))["QuickGelu"] == 0
