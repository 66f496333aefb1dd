"""The same sub-model for any number of requests: each tensor's first dimension, which is 1, becomes their number."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from core.errors import InvalidModelError, PartitaError

REQUESTS = "requests"
"""Name of that dimension in inputs and outputs."""


def for_many(model: bytes) -> bytes:
    """Open the first dimension of a sub-model with fixed shapes.

    What comes out loads and runs for one request as before. Whether it computes each of several requests as if it were
    alone is for the caller to find out by running it: a layer may join what belongs to different ones.

    Args:
        model: an ONNX file's bytes.

    Raises:
        InvalidModelError: an input or output has no such dimension, or the file cannot be read.
    """
    try:
        opened = onnx.load_model_from_string(model)
        for value in (*opened.graph.input, *opened.graph.output):
            _open(value)
        del opened.graph.value_info[:]
        _open_reshapes(opened.graph)
        _repeat_joined_constants(opened.graph)
        return opened.SerializeToString()
    except PartitaError:
        raise
    except Exception as error:
        raise InvalidModelError(f"the sub-model cannot be opened for several requests: {error}") from error


def _open(value: onnx.ValueInfoProto) -> None:
    dims = value.type.tensor_type.shape.dim
    if not dims or dims[0].dim_value != 1:
        shape = [dim.dim_value for dim in dims]
        raise InvalidModelError(f"tensor {value.name!r} has the shape {shape}, which does not begin with 1")
    dims[0].dim_param = REQUESTS


def _open_reshapes(graph: onnx.GraphProto) -> None:
    """Have layers that say the new shape keep the first dimension instead of making it 1."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        if any(attribute.name == "allowzero" and attribute.i for attribute in node.attribute):
            continue
        sizes = numpy_helper.to_array(constants[node.input[1]]).copy()
        if sizes.size and sizes[0] == 1:
            sizes[0] = 0  # "as in the input"
            opened = numpy_helper.from_array(sizes, f"{node.input[1]} of {node.name or node.output[0]} for {REQUESTS}")
            graph.initializer.append(opened)
            node.input[1] = opened.name


def _repeat_joined_constants(graph: onnx.GraphProto) -> None:
    """Have constants that layers join to tensors, as transformers do with the token for the answer, once for each."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
        computed = [name for name in node.input if name not in constants]
        if node.op_type == "Concat" and axis and computed:
            for position, name in enumerate(node.input):
                if name in constants and constants[name].dims[:1] == [1]:
                    added, repeated = _repeated(constants[name], computed[0], f"{name} in {node.output[0]}", graph)
                    nodes += added
                    node.input[position] = repeated
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _repeated(
    constant: onnx.TensorProto, like: str, name: str, graph: onnx.GraphProto
) -> tuple[list[onnx.NodeProto], str]:
    """Layers that repeat ``constant`` as often as there are requests in ``like``, and what their result is called."""
    first, last, rest = (f"{name} {what}" for what in ("first", "last", "rest"))
    ends = {first: [0], last: [1], rest: [1] * (len(constant.dims) - 1)}
    graph.initializer.extend(numpy_helper.from_array(np.array(values, np.int64), end) for end, values in ends.items())
    sizes, count, shape, result = (f"{name} {what}" for what in ("sizes", "count", "shape", "repeated"))
    return [
        helper.make_node("Shape", [like], [sizes]),
        helper.make_node("Slice", [sizes, first, last], [count]),
        helper.make_node("Concat", [count, rest], [shape], axis=0),
        helper.make_node("Expand", [constant.name, shape], [result]),
    ], result
