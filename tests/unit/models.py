"""Small ONNX models with seeded weights, on which unit tests run in milliseconds."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

OPSET = 17


class Builder:
    """Collects nodes and float32 weights of one model; every method returns the name of its result."""

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def node(self, operator: str, *inputs: str, result: str | None = None, outputs: int = 1, **attributes) -> str:
        name = result or f"{operator.lower()}_{len(self.nodes)}"
        names = [name, *(f"{name}_{index}" for index in range(1, outputs))]
        self.nodes.append(helper.make_node(operator, [*inputs], names, name=f"/{name}", **attributes))
        return name

    def weight(self, *shape: int) -> str:
        fan_in = max(1, int(np.prod(shape[1:]))) if len(shape) > 1 else 10
        return self.constant((self._random.standard_normal(shape) * fan_in**-0.5).astype(np.float32))

    def constant(self, values: np.ndarray) -> str:
        name = f"constant_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def conv(self, source: str, channels: int, out: int, kernel: int = 3, **attributes) -> str:
        return self.node(
            "Conv",
            source,
            self.weight(out, channels // attributes.get("group", 1), kernel, kernel),
            self.weight(out),
            pads=[kernel // 2] * 4,
            **attributes,
        )

    def silu(self, source: str) -> str:
        return self.node("Mul", source, self.node("Sigmoid", source))

    def model(self, inputs: dict, outputs: dict, opset: int = OPSET) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "small",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model


def residual_model(seed: int = 0, batch: int | str = 1) -> onnx.ModelProto:
    """Convolutions with SiLU, HardSwish and Relu, a residual, branches, ConvTranspose and a Gemm head; two outputs."""
    net = Builder(seed)
    stem = net.silu(net.conv("images", 3, 8, strides=[2, 2]))
    body = net.node("HardSwish", net.conv(stem, 8, 8))
    joined = net.node("Add", stem, net.conv(body, 8, 8, 1))
    left = net.silu(net.conv(joined, 8, 4))
    right = net.node("MaxPool", joined, kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1])
    right = net.node("Relu", net.conv(right, 8, 8, group=8))
    neck = net.node("Concat", left, right, joined, axis=1)
    up = net.node("ConvTranspose", neck, net.weight(20, 2, 2, 2), net.weight(2), strides=[2, 2])
    net.node("Sigmoid", up, result="mask")
    pooled = net.node("Flatten", net.node("GlobalAveragePool", neck))
    net.node("Gemm", pooled, net.weight(5, 20), net.weight(5), result="scores", transB=1)
    return net.model({"images": [batch, 3, 16, 16]}, {"mask": [batch, 2, 16, 16], "scores": [batch, 5]})


def attention_model(seed: int = 0) -> onnx.ModelProto:
    """One attention block: MatMul by weights, MatMul of two activations, Softmax, a quantisable model output."""
    net = Builder(seed)
    queries, keys, values = (net.node("MatMul", "tokens", net.weight(8, 8)) for _ in range(3))
    scores = net.node("MatMul", queries, net.node("Transpose", keys, perm=[0, 2, 1]))
    mixed = net.node("MatMul", net.node("Softmax", scores, axis=-1), values)
    joined = net.node("Add", mixed, "tokens")
    net.node("MatMul", joined, net.weight(8, 6), result="logits")
    return net.model({"tokens": [1, 7, 8]}, {"logits": [1, 7, 6]})


def chain_model(depth: int = 4, seed: int = 0) -> onnx.ModelProto:
    """``depth`` convolutions in a row, each followed by Relu."""
    net = Builder(seed)
    tensor = "images"
    for index in range(depth):
        tensor = net.conv(tensor, 3 if index == 0 else 4, 4)
        tensor = net.node("Relu", tensor, result="features" if index == depth - 1 else None)
    return net.model({"images": [1, 3, 8, 8]}, {"features": [1, 4, 8, 8]})


def branching_model() -> onnx.ModelProto:
    """An If whose bodies capture an activation and a weight of the outer graph; a model input is an output too."""
    return parser.parse_model("""
        <ir_version: 8, opset_import: ["": 17]>
        branching (float[1, 4] x, bool[1] choice) => (float[1, 4] y, float[1, 4] x)
        <float[4] w = {1, 2, 3, 4}>
        {
            a = Relu (x)
            b = If (choice) <
                then_branch = then_graph () => (float[1, 4] c) { c = Mul (a, w) },
                else_branch = else_graph () => (float[1, 4] d) { e = Neg (a) d = Add (e, w) }
            >
            y = Add (b, a)
        }
    """)


SMALL_MODELS = {
    "residual": residual_model,
    "attention": attention_model,
    "chain": chain_model,
}
"""Models with float32 inputs and quantisable layers, by name."""


def random_inputs(model: onnx.ModelProto, seed: int = 0) -> dict[str, np.ndarray]:
    """Seeded standard normal values for every input of a model with fixed shapes."""
    random = np.random.default_rng(seed)
    return {
        value.name: random.standard_normal([dim.dim_value for dim in value.type.tensor_type.shape.dim]).astype(
            helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        )
        for value in model.graph.input
    }
