"""What a node reads, its bodies included."""

from collections.abc import Iterator

import onnx


def consumed_names(node: onnx.NodeProto) -> Iterator[str]:
    """Yield every outer tensor and constant that a node reads, directly or in its bodies, perhaps repeatedly."""
    yield from filter(None, node.input)
    for body in bodies(node):
        own = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
        own.update(name for inner in body.node for name in inner.output)
        for inner in body.node:
            yield from (name for name in consumed_names(inner) if name not in own)
        yield from (value.name for value in body.output if value.name not in own)


def bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs that a control-flow node carries."""
    """Yield the bodies (If, Loop, Scan) that a node has."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == onnx.AttributeProto.GRAPHS:
            yield from attribute.graphs
