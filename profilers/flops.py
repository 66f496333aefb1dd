"""Floating point operations of a layer, counted by the library onnx-tool."""

import math
import warnings
from collections.abc import Mapping

import onnx
from onnx_tool.node import create_node
from onnx_tool.tensor import Tensor

_MULTIPLY_ADD = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm"})


def node_flops(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> float:
    """Count the floating point operations of one run of ``node``.

    Conv, ConvTranspose, MatMul and Gemm count two for each multiply-accumulate (a bias counts as one
    multiply-accumulate an element); all others count what onnx-tool counts (an exponential is 32, a division 4).
    Operators and cases that onnx-tool does not know, If and Loop among them, count 0.

    Args:
        node: a node of a model.
        shapes: shape of every tensor and constant of its graph.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # onnx-tool announces operators it does not know
            counter = create_node(node)
            inputs = [_tensor(name, shapes) for name in node.input if name]
            outputs = [_tensor(name, shapes) for name in node.output if name]
            count = float(counter.profile(inputs, outputs)[0])
    except Exception:  # noqa: BLE001 - onnx-tool raises anything on what it does not know; FLOPs are no reason to fail
        return 0.0
    if node.op_type == "ConvTranspose":
        count = _transposed_macs(node, shapes)
    return 2 * count if node.op_type in _MULTIPLY_ADD else count


def _tensor(name: str, shapes: Mapping[str, tuple[int, ...]]) -> Tensor:
    tensor = Tensor(name)
    tensor.update_shape(list(shapes[name]))
    return tensor


def _transposed_macs(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> float:
    """Each input element meets each weight of its channel once; onnx-tool counts that for every output element."""
    macs = math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])
    bias = math.prod(shapes[node.output[0]]) if len(node.input) > 2 and node.input[2] else 0
    return float(macs + bias)
