"""The models that are quantised: a trained text detector, and convolutions with SiLU as in YOLO."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bench.noise.inputs import INPUT, text_inputs
from bench.prediction.models import detector
from core.tensors import Array

Inputs = Sequence[Mapping[str, Array]]


@dataclass(frozen=True)
class QuantizedModel:
    """A model to quantise.

    Attributes:
        name: what it is called in tables.
        read: makes the ONNX file's bytes.
        side: height and width of its input.
        inputs: makes so many inputs of that size with a seed.
    """

    name: str
    read: Callable[[], bytes]
    side: int
    inputs: Callable[[int, int, int], list[dict[str, Array]]]


def standard_models() -> list[QuantizedModel]:
    """The models of the bench."""
    return [
        QuantizedModel("PP-OCRv4 detector", detector, 320, text_inputs),
        QuantizedModel("SiLU convolutions", silu_network, 160, text_inputs),
    ]


def quick_models() -> list[QuantizedModel]:
    """A small network, for a try."""
    return [QuantizedModel("small SiLU convolutions", partial(silu_network, blocks=2), 64, text_inputs)]


def silu_network(blocks: int = 12, seed: int = 0) -> bytes:
    """Residual blocks of 3 × 3 convolutions with SiLU, 32 and 64 channels wide, with random weights."""
    random = np.random.default_rng(seed)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def node(operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(operator, [*inputs], [name], name=f"/{name}", **attributes))
        return name

    def convolution(source: str, channels: int, out: int, stride: int = 1) -> str:
        # Trained channels differ in size, which is what one scale per channel is for.
        scale = np.exp(random.normal(0, 0.7, (out, 1, 1, 1))) * (2 / (9 * channels)) ** 0.5
        values = (random.standard_normal((out, channels, 3, 3)) * scale).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"weight_{len(weights)}"))
        result = node("Conv", source, weights[-1].name, pads=[1] * 4, strides=[stride] * 2)
        return node("Mul", result, node("Sigmoid", result))

    tensor, channels = INPUT, 3
    for out in (32, 64):
        tensor, channels = convolution(tensor, channels, out, stride=2), out
        for _ in range(blocks // 2):
            tensor = node("Add", tensor, convolution(tensor, channels, channels))
    shape: list[str | int] = [1, channels, "height", "width"]
    graph = helper.make_graph(
        nodes,
        "silu",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [1, 3, "rows", "columns"])],
        [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, shape)],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
