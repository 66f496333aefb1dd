"""Names by which a layer is still known after a runtime has fused and moved its nodes."""

import re
from collections.abc import Sequence

import onnx

from model_divider.nodes import rename_reads

_LABEL = re.compile(r"partita-layer-(\d+)-")


def labelled(model: onnx.ModelProto, original: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy whose nodes and tensors carry the number of their layer in ``original``.

    A runtime builds the names of fused nodes from names that it finds, but from a node's in one place and from
    a tensor's in another, and one may equal another layer's. These labels can be told apart wherever they appear.

    Args:
        model: ``original`` or its quantised version, whose additional nodes stay without label.
        original: the admitted model; its nodes' positions are the layers' numbers.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    numbers = {node.name: index for index, node in enumerate(original.graph.node)}
    names = {
        tensor: f"partita-layer-{index}-{position}"
        for index, node in enumerate(original.graph.node)
        for position, tensor in enumerate(node.output)
        if tensor
    }
    for node in copy.graph.node:
        if node.name in numbers:
            for position, tensor in enumerate(node.output):
                names.setdefault(tensor, f"partita-layer-{numbers[node.name]}-inner-{position}")
            node.name = f"partita-layer-{numbers[node.name]}-node"
    names[""] = ""  # an optional input or output that is not there
    for node in copy.graph.node:
        for position, tensor in enumerate(node.output):
            node.output[position] = names.get(tensor, tensor)
    rename_reads(copy.graph.node, names)
    for value in (*copy.graph.value_info, *copy.graph.output):
        value.name = names.get(value.name, value.name)
    return copy


def labels_in(names: Sequence[str]) -> frozenset[int]:
    """Find the numbers of all layers whose labels occur in ``names``."""
    return frozenset(int(number) for name in names for number in _LABEL.findall(name))
