"""int8 for the wire alone: layers that do nothing but round one tensor, where it is worth sending it in int8.

A wire layer is an Identity behind a tensor, through which all its consumers read it. In float it costs nothing, as the
runtime removes it. In int8 its result is rounded, as that of any int8 layer: it crosses in int8, and its consumers
compute in float with what they dequantise. Where it runs and whether it is int8 is planned like any layer's.
"""

from collections.abc import Iterable

import onnx
from onnx import helper

from core.errors import InvalidArgumentError
from model_divider.nodes import rename_reads

PREFIX = "int8-wire:"
"""A wire layer's name is this and the name of its tensor."""


def wire_layer(tensor: str) -> str:
    """Name of the wire layer behind a tensor."""
    return PREFIX + tensor


def is_wire_layer(layer: str) -> bool:
    """Whether a layer is a wire layer, by its name."""
    return layer.startswith(PREFIX)


def add_wire_layers(model: onnx.ModelProto, layers: Iterable[str]) -> onnx.ModelProto:
    """Put wire layers into a model.

    Args:
        model: an admitted model; it is not changed.
        layers: names of layers; those that are no wire layers are left aside.

    Returns:
        The model with an Identity for each, which has the layer's name; the given one where there is none.

    Raises:
        InvalidArgumentError: the model has no such tensor of known dtype and shape.
    """
    tensors = {name.removeprefix(PREFIX): name for name in layers if is_wire_layer(name)}
    if not tensors:
        return model
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    values = {value.name: value for value in (*graph.input, *graph.value_info)}
    unknown = sorted(tensors.keys() - values.keys())
    if unknown:
        raise InvalidArgumentError(
            f"the model has no tensor {unknown[0]!r} of known dtype and shape to send in int8; profile it again"
        )
    results = {tensor: f"{layer}/result" for tensor, layer in tensors.items()}
    rename_reads(graph.node, results)
    nodes = [_identity(tensors, results, value.name) for value in graph.input if value.name in tensors]
    for node in graph.node:
        nodes.append(node)
        nodes.extend(_identity(tensors, results, name) for name in node.output if name in tensors)
    for tensor, result in results.items():
        value = graph.value_info.add()
        value.CopyFrom(values[tensor])
        value.name = result
    ordered = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(ordered)
    return changed


def _identity(layers: dict[str, str], results: dict[str, str], tensor: str) -> onnx.NodeProto:
    return helper.make_node("Identity", [tensor], [results[tensor]], layers[tensor])
