"""An ONNX model as layers and tensors: what the planner plans with."""

import math
from collections import defaultdict
from collections.abc import Mapping
from fnmatch import fnmatchcase

import onnx
from onnx import helper

from core.errors import InvalidModelError
from core.graph import Layer, ModelGraph, Tensor
from core.profiles import ModelProfilerSettings
from core.tensors import DTYPES, TensorSpec
from model_divider.quantize import QUANTIZABLE_OPERATORS
from model_divider.wire import is_wire_layer
from profilers.flops import node_flops
from profilers.node_inputs import bodies, consumed_names


def read_graph(model: onnx.ModelProto, name: str, settings: ModelProfilerSettings) -> ModelGraph:
    """Read the layers and tensors of an admitted model (unique node names, fixed shapes, folded constants).

    Weights of a layer are all constants that it reads, its bodies' (If, Loop, Scan) included; a constant that
    several layers share counts at each, because each may be on another server. A tensor that only a body reads
    is consumed by the node that has the body. Values that nobody reads are left out.

    Quantizable are the ``quantizable_count`` layers with the most FLOPs among the float32 Conv, ConvTranspose,
    MatMul and Gemm with constant weights that no pattern of ``excluded_layers`` matches; of equals the first. Wire
    layers (``model_divider.wire``) always are.

    Args:
        model: the model; it is not changed.
        name: how the graph is called.
        settings: how many layers may become int8, and which may not.

    Raises:
        InvalidModelError: a tensor's shape or type is unknown or not a fixed-size numeric tensor.
    """
    specs = _tensor_specs(model)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    sources: dict[str, str | None] = {value.name: None for value in model.graph.input if value.name not in weights}
    consumers: defaultdict[str, list[str | None]] = defaultdict(list)
    layers, candidates = [], []
    shapes = {key: spec.shape for key, spec in specs.items()}
    for node in model.graph.node:
        consumed = tuple(dict.fromkeys(consumed_names(node)))
        flops = node_flops(node, shapes)
        bytes_of_weights = sum(_weight_bytes(weights[item]) for item in consumed if item in weights)
        bytes_of_weights += _body_bytes(node)
        layers.append(Layer(node.name, node.op_type, flops, bytes_of_weights))
        if _may_become_int8(node, weights, specs, settings):
            candidates.append(layers[-1])
        for item in consumed:
            if item not in weights:
                consumers[item].append(node.name)
        sources.update((item, node.name) for item in node.output if item)
    for value in model.graph.output:
        consumers[value.name].append(None)
    chosen = sorted(candidates, key=lambda layer: -layer.flops)[: settings.quantizable_count]
    names = {layer.name for layer in chosen} | {layer.name for layer in layers if is_wire_layer(layer.name)}
    return ModelGraph(
        name,
        tuple(
            Layer(layer.name, layer.operator, layer.flops, layer.weight_bytes, layer.name in names) for layer in layers
        ),
        tuple(
            _tensor(_known(specs, item), source, tuple(consumers[item]))
            for item, source in sources.items()
            if consumers[item]
        ),
    )


def model_signature(model: onnx.ModelProto) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return the inputs and the outputs of a model.

    Raises:
        InvalidModelError: one is not a numeric tensor of fixed shape.
    """
    specs = _tensor_specs(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    return (
        tuple(_known(specs, value.name) for value in model.graph.input if value.name not in weights),
        tuple(_known(specs, value.name) for value in model.graph.output),
    )


def _tensor_specs(model: onnx.ModelProto) -> dict[str, TensorSpec]:
    graph = model.graph
    values = [*graph.input, *graph.value_info, *graph.output]
    known = {value.name for value in values}
    if any(name and name not in known for node in graph.node for name in node.output):
        values = [*onnx.shape_inference.infer_shapes(model, data_prop=True).graph.value_info, *values]
    specs = {value.name: spec for value in values if (spec := _spec(value)) is not None}
    for tensor in graph.initializer:
        specs[tensor.name] = TensorSpec(tensor.name, _dtype(tensor.data_type), tuple(tensor.dims))
    return specs


def _spec(value: onnx.ValueInfoProto) -> TensorSpec | None:
    tensor = value.type.tensor_type
    dtype = _dtype(tensor.elem_type) if value.type.HasField("tensor_type") else ""
    if dtype not in DTYPES or not tensor.HasField("shape"):
        return None
    if any(not dimension.HasField("dim_value") for dimension in tensor.shape.dim):
        return None
    return TensorSpec(value.name, dtype, tuple(dimension.dim_value for dimension in tensor.shape.dim))


def _dtype(element_type: int) -> str:
    return helper.tensor_dtype_to_np_dtype(element_type).name if element_type else ""


def _known(specs: Mapping[str, TensorSpec], name: str) -> TensorSpec:
    if name not in specs:
        raise InvalidModelError(
            f"tensor {name!r} has no fixed shape and numeric type; give all input shapes when the model is loaded, "
            "and remove operators whose output sizes depend on values or that make sequences"
        )
    return specs[name]


def _tensor(spec: TensorSpec, source: str | None, consumers: tuple[str | None, ...]) -> Tensor:
    return Tensor(spec.name, spec.byte_count, source, consumers, spec.dtype, spec.shape)


def _may_become_int8(
    node: onnx.NodeProto,
    weights: Mapping[str, onnx.TensorProto],
    specs: Mapping[str, TensorSpec],
    settings: ModelProfilerSettings,
) -> bool:
    if node.op_type not in QUANTIZABLE_OPERATORS or node.domain not in ("", "ai.onnx"):
        return False
    if any(fnmatchcase(node.name, pattern) for pattern in settings.excluded_layers):
        return False
    if all(name not in weights for name in node.input[:2]):
        return False
    return all(name in specs and specs[name].dtype == "float32" for name in node.input[:2])


def _weight_bytes(tensor: onnx.TensorProto) -> int:
    return int(math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def _body_bytes(node: onnx.NodeProto) -> int:
    total = 0
    for body in bodies(node):
        total += sum(_weight_bytes(tensor) for tensor in body.initializer)
        for inner in body.node:
            total += _body_bytes(inner)
            if inner.op_type == "Constant":
                total += sum(_weight_bytes(item.t) for item in inner.attribute if item.name == "value")
    return total
