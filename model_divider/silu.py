"""The fusion of SiLU, x · sigmoid(x), which int8 layers break.

ONNX Runtime makes one kernel of a convolution, its Sigmoid and Mul where all are float. Behind a quantised layer it
runs Sigmoid and Mul one by one. QuickGelu, an operator of the runtime's own on all its providers, is
x · sigmoid(α x) in one kernel; with α = 1 it computes the same numbers by the same formulas.
"""

from collections import Counter

import onnx
from onnx import helper

from model_divider.nodes import consumed_tensors

_DOMAIN = "com.microsoft"


def fuse_silu(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace Sigmoid and Mul behind dequantised values by one QuickGelu, which keeps the Mul's name and result.

    To be used on what is handed to the runtime, not before a model is cut: the Sigmoid's layer is gone.

    Args:
        model: a quantised model or a part of one; it is not changed.

    Returns:
        A model with the same inputs and outputs; the given one where nothing is to be replaced.
    """
    graph = model.graph
    reads = Counter(name for node in graph.node for name in consumed_tensors(node))
    reads.update(value.name for value in graph.output)
    makers = {name: node for node in graph.node for name in node.output}
    fused: dict[str, onnx.NodeProto] = {}
    gone: set[str] = set()
    for node in graph.node:
        sigmoid = _gate(node, makers)
        if sigmoid is None or reads[sigmoid.output[0]] > 1:
            continue
        source = makers.get(sigmoid.input[0])
        if source is not None and source.op_type == "DequantizeLinear":
            fused[node.output[0]] = helper.make_node(
                "QuickGelu", [sigmoid.input[0]], [node.output[0]], node.name, domain=_DOMAIN, alpha=1.0
            )
            gone.add(sigmoid.output[0])
    if not fused:
        return model
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.node[:]
    changed.graph.node.extend(
        fused.get(node.output[0], node) for node in graph.node if not (node.output and node.output[0] in gone)
    )
    if all(opset.domain != _DOMAIN for opset in changed.opset_import):
        changed.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    return changed


def _gate(node: onnx.NodeProto, makers: dict[str, onnx.NodeProto]) -> onnx.NodeProto | None:
    """The Sigmoid of x where ``node`` is Mul(x, Sigmoid(x)) or Mul(Sigmoid(x), x)."""
    if node.op_type != "Mul" or node.domain not in ("", "ai.onnx"):
        return None
    for gate, value in (node.input, node.input[::-1]):
        maker = makers.get(gate)
        if maker is not None and maker.op_type == "Sigmoid" and maker.input[0] == value:
            return maker
    return None
