"""A small model whose tensors are large enough to be cut on their way, and what it should answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from core.profiles import RuntimeSettings
from core.tensors import Array
from inferencer.session import Session

SIDE = 64
"""Height and width of all tensors."""

CHANNELS = (16, 7, 16, 7, 16)
"""Of each layer's result: 256 KiB go by shared memory where there is any, 112 KiB over the connection."""

PLACES = {"/conv_0": ["device"], "/conv_1": ["edge"], "/conv_2": ["cloud"], "/conv_3": ["edge"], "/conv_4": ["device"]}
"""Layer → where it must run: requests pass every server, two of them twice."""


@dataclass(frozen=True)
class Item:
    """One input and the whole model's answer to it."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


def model(seed: int = 0) -> bytes:
    """Five convolutions with Relu and random weights, as an ONNX file."""
    random = np.random.default_rng(seed)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    tensor, channels = "images", 3
    for index, out in enumerate(CHANNELS):
        values = random.standard_normal((out, channels, 3, 3)) * (2 / (9 * channels)) ** 0.5
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"weight_{index}"))
        convolved = f"convolved_{index}"
        inputs = [tensor, f"weight_{index}"]
        nodes.append(helper.make_node("Conv", inputs, [convolved], name=f"/conv_{index}", pads=[1, 1, 1, 1]))
        tensor, channels = "features" if index == len(CHANNELS) - 1 else f"relu_{index}", out
        nodes.append(helper.make_node("Relu", [convolved], [tensor], name=f"/relu_{index}"))
    graph = helper.make_graph(
        nodes,
        "soak",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, CHANNELS[-1], SIDE, SIDE])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def items(data: bytes, count: int, seed: int = 0) -> Sequence[Item]:
    """So many random inputs with what the undivided model answers."""
    random = np.random.default_rng(seed)
    session = Session(data, RuntimeSettings())
    found = []
    for _ in range(count):
        inputs = {"images": random.standard_normal((1, 3, SIDE, SIDE)).astype(np.float32)}
        found.append(Item(inputs, session.run(inputs)))
    return found


def equal(answer: Mapping[str, Array], expected: Mapping[str, Array]) -> bool:
    """Whether an answer is the whole model's, within the rounding that a cut may change (1e-5 of its range)."""
    return answer.keys() == expected.keys() and all(
        answer[name].shape == array.shape
        and float(np.abs(np.subtract(answer[name], array)).max()) <= 1e-5 * float(np.ptp(array))
        for name, array in expected.items()
    )
