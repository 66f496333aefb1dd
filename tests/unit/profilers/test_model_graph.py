import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.errors import InvalidModelError
from core.profiles import ModelProfilerSettings
from profilers.model_graph import model_signature, read_graph
from tests.unit.models import Builder, attention_model, branching_model, chain_model, residual_model

SETTINGS = ModelProfilerSettings()


def test_layers_and_tensors_are_those_of_the_model():
    model = residual_model()
    graph = read_graph(model, "residual", SETTINGS)
    assert graph.name == "residual"
    assert [(layer.name, layer.operator) for layer in graph.layers] == [
        (node.name, node.op_type) for node in model.graph.node
    ]
    tensors = {tensor.name: tensor for tensor in graph.tensors}
    assert tensors["images"].source is None
    assert tensors["images"].bytes == 3 * 16 * 16 * 4
    assert tensors["mask"].consumers == (None,)
    assert (tensors["scores"].dtype, tensors["scores"].shape) == ("float32", (1, 5))
    assert not any(name.startswith("constant") for name in tensors)
    for tensor in graph.tensors:
        readers = [node.name for node in model.graph.node if tensor.name in node.input]
        assert [name for name in tensor.consumers if name is not None] == readers


def test_weights_and_flops_of_a_convolution():
    net = Builder()
    net.conv("images", 3, 8)
    net.nodes[0].output[0] = "features"
    model = net.model({"images": [1, 3, 16, 16]}, {"features": [1, 8, 16, 16]})
    (layer,) = read_graph(model, "one", SETTINGS).layers
    assert layer.weight_bytes == (8 * 3 * 9 + 8) * 4
    outputs = 8 * 16 * 16
    assert layer.flops == 2 * (outputs * 3 * 9 + outputs)


def test_flops_of_a_transposed_convolution_do_not_grow_with_its_stride():
    net = Builder()
    net.node("ConvTranspose", "images", net.weight(20, 2, 2, 2), strides=[2, 2], result="up")
    model = net.model({"images": [1, 20, 8, 8]}, {"up": [1, 2, 16, 16]})
    assert read_graph(model, "up", SETTINGS).layers[0].flops == 2 * (20 * 8 * 8) * (2 * 2 * 2)


def test_flops_of_matrix_products():
    graph = read_graph(attention_model(), "attention", SETTINGS)
    products = [layer.flops for layer in graph.layers if layer.operator == "MatMul"]
    assert products == [2 * 7 * 8 * 8] * 3 + [2 * 7 * 7 * 8] * 2 + [2 * 7 * 8 * 6]


def test_the_heaviest_layers_with_constant_weights_may_become_int8():
    model = attention_model()
    names = read_graph(model, "attention", SETTINGS).quantizable
    constant = {tensor.name for tensor in model.graph.initializer}
    assert len(names) == 4
    assert all(set(node.input) & constant for node in model.graph.node if node.name in names)
    graph = read_graph(residual_model(), "residual", ModelProfilerSettings(quantizable_count=3))
    operators = {"Conv", "ConvTranspose", "MatMul", "Gemm"}
    flops = sorted((layer.flops for layer in graph.layers if layer.operator in operators), reverse=True)
    assert sorted((graph.by_name[name].flops for name in graph.quantizable), reverse=True) == flops[:3]


def test_patterns_exclude_layers():
    whole = read_graph(chain_model(), "chain", SETTINGS).quantizable
    rest = read_graph(chain_model(), "chain", ModelProfilerSettings(excluded_layers=(f"{whole[0]}*", whole[2])))
    assert rest.quantizable == (whole[1], whole[3])


def test_layers_of_another_type_than_float32_stay_as_they_are():
    weight = numpy_helper.from_array(np.ones((4, 2)), "w")
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "product")],
        "double",
        [value("x", TensorProto.DOUBLE, [1, 4])],
        [value("y", TensorProto.DOUBLE, [1, 2])],
        [weight],
    )
    graph = read_graph(helper.make_model(body), "double", SETTINGS)
    assert graph.quantizable == ()
    assert graph.tensors[0].bytes == 4 * 8


def test_what_a_body_captures_is_consumed_by_its_node():
    model = branching_model()
    for node in model.graph.node:
        node.name = f"/{node.output[0]}"
    graph = read_graph(model, "branching", SETTINGS)
    tensors = {tensor.name: tensor for tensor in graph.tensors}
    assert set(tensors["a"].consumers) == {"/b", "/y"}
    assert tensors["x"].source is None
    assert None in tensors["x"].consumers
    assert "/a" in tensors["x"].consumers
    assert graph.by_name["/b"].weight_bytes == 4 * 4


def test_a_shared_weight_counts_at_every_layer_and_a_tensor_may_be_output_and_consumed():
    net = Builder()
    weight = net.weight(4, 4)
    first = net.node("MatMul", "x", weight, result="middle")
    net.node("MatMul", first, weight, result="y")
    graph = read_graph(net.model({"x": [1, 4]}, {"y": [1, 4], "middle": [1, 4]}), "shared", SETTINGS)
    assert [layer.weight_bytes for layer in graph.layers] == [64, 64]
    assert {tensor.name: tensor.consumers for tensor in graph.tensors}["middle"] == ("/y", None)


def test_a_layer_without_inputs_is_a_layer_and_an_unread_output_no_tensor():
    net = Builder()
    noise = net.node("RandomNormal", shape=[1, 4])
    left = net.node("Split", net.node("Add", "x", noise), axis=1, num_outputs=2, outputs=2)
    net.node("Relu", left, result="y")
    model = net.model({"x": [1, 4]}, {"y": [1, 2]}, opset=18)
    graph = read_graph(model, "source", SETTINGS)
    assert graph.layers[0].operator == "RandomNormal"
    assert f"{left}_1" not in {tensor.name for tensor in graph.tensors}


def test_a_tensor_of_unknown_shape_is_refused_by_name():
    net = Builder()
    found = net.node("NonZero", "x")
    net.node("Cast", net.node("ReduceSum", found, keepdims=0), to=TensorProto.FLOAT, result="y")
    with pytest.raises(InvalidModelError, match=r"nonzero_0.*fixed shape"):
        read_graph(net.model({"x": [1, 4]}, {"y": []}), "dynamic", SETTINGS)


def test_signature():
    inputs, outputs = model_signature(residual_model())
    assert [(spec.name, spec.dtype, spec.shape) for spec in inputs] == [("images", "float32", (1, 3, 16, 16))]
    assert [spec.name for spec in outputs] == ["mask", "scores"]


def test_the_model_is_not_changed():
    model = residual_model()
    before = onnx.ModelProto()
    before.CopyFrom(model)
    read_graph(model, "residual", SETTINGS)
    assert model == before
