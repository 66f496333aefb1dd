"""A model whose weights take longer to read than to multiply with, beside those of the other benches."""

from functools import partial

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from bench.prediction.models import BenchModel, classifier, inception, transformer

WIDTH, LAYERS = 2048, 3
"""Size of the perceptron: 50 MB of weights, of which a request uses each number once."""


def standard_models() -> list[BenchModel]:
    """From the one that gains most to the one that gains least."""
    return [
        BenchModel("perceptron", perceptron, {}),
        BenchModel("PP-OCR angle classifier", classifier, {"x": (1, 3, 48, 192)}),
        BenchModel("small transformer", partial(transformer, blocks=1), {}),
        BenchModel("GoogLeNet", inception, {}),
    ]


def quick_models() -> list[BenchModel]:
    """One, for a try."""
    return [BenchModel("perceptron", perceptron, {})]


def perceptron() -> bytes:
    """Fully connected layers of random weights, as recommenders and rankers have."""
    random = np.random.default_rng(0)
    nodes, weights, tensor = [], [], "features"
    for layer in range(LAYERS):
        values = (random.standard_normal((WIDTH, WIDTH)) * WIDTH**-0.5).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"weights_{layer}"))
        nodes.append(helper.make_node("MatMul", [tensor, f"weights_{layer}"], [f"sums_{layer}"], f"MatMul_{layer}"))
        tensor = "scores" if layer == LAYERS - 1 else f"features_{layer}"
        nodes.append(helper.make_node("Tanh", [f"sums_{layer}"], [tensor], f"Tanh_{layer}"))
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, WIDTH])] for name in ("features", "scores")
    )
    graph = helper.make_graph(nodes, "perceptron", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()
