"""What ONNX nodes consume, and models built like another."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import onnx
from onnx import helper

from core.tensors import TensorSpec


def consumed_tensors(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the tensors a node reads: its inputs, and for If, Loop and Scan what their bodies capture."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            yield from _captured(body)


def _captured(body: onnx.GraphProto) -> Iterator[str]:
    own = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
    own.update(name for node in body.node for name in node.output)
    for node in body.node:
        yield from (name for name in consumed_tensors(node) if name not in own)
    yield from (value.name for value in body.output if value.name not in own)


def rename_reads(nodes: Iterable[onnx.NodeProto], names: Mapping[str, str]) -> None:
    """Let nodes, and what the bodies of If, Loop and Scan capture, read tensors under other names: old → new."""
    for node in nodes:
        for position, tensor in enumerate(node.input):
            node.input[position] = names.get(tensor, tensor)
        for attribute in node.attribute:
            bodies = list(attribute.graphs)
            if attribute.type == onnx.AttributeProto.GRAPH:
                bodies.append(attribute.g)
            for body in bodies:  # names within a body are unique in the whole model, so only captured ones change
                rename_reads(body.node, names)
                for value in body.output:
                    value.name = names.get(value.name, value.name)


def tensor_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    """Return name, dtype and shape of a tensor with fixed shape."""
    tensor = value.type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return TensorSpec(value.name, dtype, tuple(dim.dim_value for dim in tensor.shape.dim))


def model_like(
    model: onnx.ModelProto,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initializers: Sequence[onnx.TensorProto],
) -> onnx.ModelProto:
    """Build a model of ``nodes`` with the versions of ``model``."""
    graph = helper.make_graph(nodes, model.graph.name or "partita", inputs, outputs, initializers)
    return helper.make_model(
        graph, ir_version=model.ir_version, opset_imports=model.opset_import, producer_name="partita"
    )
