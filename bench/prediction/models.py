"""The bench's models: convolutions with branches, a detector and a transformer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, version_converter

from core.errors import InvalidArgumentError
from core.tensors import Array

TOKENS, WIDTH, HEADS, BLOCKS = 197, 256, 4, 8
"""Size of the transformer: the tokens of a picture of 224 × 224 in patches of 16, and one for the answer."""


@dataclass(frozen=True)
class BenchModel:
    """A model to measure.

    Attributes:
        name: what it is called in tables.
        read: makes the ONNX file's bytes.
        input_shapes: shapes of inputs whose own are not fixed.
    """

    name: str
    read: Callable[[], bytes]
    input_shapes: Mapping[str, tuple[int, ...]]


def standard_models() -> list[BenchModel]:
    """Three kinds of models, of which two come in packages under free licences."""
    return [
        BenchModel("Inception (branches)", inception, {}),
        BenchModel("PP-OCRv4 detector", detector, {"x": (1, 3, 480, 480)}),
        BenchModel("transformer", transformer, {}),
    ]


def quick_models() -> list[BenchModel]:
    """A small transformer, for a try."""
    return [BenchModel("small transformer", partial(transformer, blocks=1), {})]


def detector() -> bytes:
    """PP-OCRv4 text detection (Apache-2.0), trained, out of rapidocr-onnxruntime.

    Raises:
        InvalidArgumentError: the package is not installed.
    """
    return _packaged("rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx", "demo").read_bytes()


def classifier() -> bytes:
    """PP-OCR's angle classifier (Apache-2.0), trained, out of rapidocr-onnxruntime; raises as ``detector`` does."""
    return _packaged("rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx", "demo").read_bytes()


def inception() -> bytes:
    """GoogLeNet's graph (onnx, Apache-2.0), whose packaged weights are constants, with random ones."""
    path = _packaged("onnx", "backend/test/data/light/light_inception_v1.onnx", "node")
    return with_random_weights(version_converter.convert_version(onnx.load(path), 13)).SerializeToString()


def with_random_weights(model: onnx.ModelProto, seed: int = 0) -> onnx.ModelProto:
    """Give a model whose weights are made by ConstantOfShape random ones that keep activations in bounds."""
    random = np.random.default_rng(seed)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.op_type == "ConstantOfShape" and node.input[0] in shapes:
            shape = shapes[node.input[0]].tolist()
            fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 100
            values = (random.standard_normal(shape) * (2 / fan_in) ** 0.5).astype(np.float32)
            model.graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
        else:
            kept.append(node)
    weights = {tensor.name for tensor in model.graph.initializer}
    graph = helper.make_graph(
        kept,
        model.graph.name,
        [value for value in model.graph.input if value.name not in weights],
        model.graph.output,
        model.graph.initializer,
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=8)


def transformer(seed: int = 0, blocks: int = BLOCKS) -> bytes:
    """An encoder of pre-normalised attention blocks with random weights, as exporters write it."""
    net = _Net(seed)
    tokens = "tokens"
    for _ in range(blocks):
        tokens = net.node("Add", tokens, _attention(net, net.normalized(tokens)))
        wide = net.linear(net.normalized(tokens), WIDTH, 4 * WIDTH)
        error = net.node("Erf", net.node("Div", wide, net.constant(np.float32(2**0.5))))
        gelu = net.node("Mul", wide, net.node("Add", error, net.constant(np.float32(1))))
        tokens = net.node("Add", tokens, net.linear(net.node("Mul", gelu, net.constant(np.float32(0.5))), 4 * WIDTH))
    net.node("Identity", net.normalized(tokens), result="features")
    shape = [1, TOKENS, WIDTH]
    graph = helper.make_graph(
        net.nodes,
        "transformer",
        [helper.make_tensor_value_info("tokens", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, shape)],
        net.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def _attention(net: "_Net", source: str) -> str:
    heads = net.constant(np.array([1, TOKENS, HEADS, WIDTH // HEADS]))
    queries, keys, values = (
        net.node("Transpose", net.node("Reshape", net.linear(source), heads), perm=order)
        for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
    )
    scores = net.node("Div", net.node("MatMul", queries, keys), net.constant(np.float32((WIDTH / HEADS) ** 0.5)))
    mixed = net.node("MatMul", net.node("Softmax", scores, axis=-1), values)
    joined = net.node("Transpose", mixed, perm=[0, 2, 1, 3])
    return net.linear(net.node("Reshape", joined, net.constant(np.array([1, TOKENS, WIDTH]))))


class _Net:
    """Nodes and weights under construction; every method returns the name of its result."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def node(self, operator: str, *inputs: str, result: str = "", **attributes: Any) -> str:
        name = result or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, [*inputs], [name], name=f"/{name}", **attributes))
        return name

    def constant(self, values: Array | np.generic) -> str:
        self.weights.append(numpy_helper.from_array(np.asarray(values), f"constant_{len(self.weights)}"))
        return self.weights[-1].name

    def linear(self, source: str, fan_in: int = WIDTH, fan_out: int = WIDTH) -> str:
        weight = self._random.standard_normal((fan_in, fan_out)) * fan_in**-0.5
        product = self.node("MatMul", source, self.constant(weight.astype(np.float32)))
        return self.node("Add", product, self.constant(np.zeros(fan_out, np.float32)))

    def normalized(self, source: str) -> str:
        scale, bias = self.constant(np.ones(WIDTH, np.float32)), self.constant(np.zeros(WIDTH, np.float32))
        return self.node("LayerNormalization", source, scale, bias, axis=-1)


def _packaged(package: str, path: str, extra: str) -> Path:
    spec = find_spec(package)
    folders = (spec.submodule_search_locations if spec is not None else None) or []
    found = next((Path(folder) / path for folder in folders if (Path(folder) / path).is_file()), None)
    if found is None:
        raise InvalidArgumentError(
            f"the model {path} of the package {package} is not installed; `pip install 'partita[{extra}]'`"
        )
    return found
