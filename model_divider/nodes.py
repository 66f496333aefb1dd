"""What ONNX nodes consume, and models built like another."""

from collections.abc import Iterator, Sequence

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
