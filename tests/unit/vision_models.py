"""Small models in the layouts of YOLO11's exports that find what they must: squares of pure red and green.

One anchor looks at each 8×8 pixels of the 64×64 pixels large input, and its box is just these.
"""

from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper
from PIL import Image, ImageDraw

from core.tensors import Array, TensorSpec
from tests.unit.models import Builder

SIDE, STRIDE = 64, 8
NAMES = "{0: 'red', 1: 'green'}"
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0)}


def finder(task: str = "detect", metadata: bool = True) -> onnx.ModelProto:
    """A detector, a segmenter or a classifier of red and green squares."""
    net = Builder()
    purity = net.constant(np.array([[1, -1, -1], [-1, 1, -1]], np.float32).reshape(2, 3, 1, 1))
    cells = SIDE // STRIDE
    outputs: dict[str, list[int]] = {}
    if task == "classify":
        pooled = net.node("Flatten", net.node("GlobalAveragePool", net.node("Conv", "images", purity)))
        net.node("Softmax", net.node("Mul", pooled, net.constant(np.float32(9))), axis=1, result="output0")
        outputs["output0"] = [1, 2]
    else:
        pooled = net.node("AveragePool", net.node("Conv", "images", purity), kernel_shape=[8, 8], strides=[8, 8])
        clipped = net.node("Clip", pooled, net.constant(np.float32(0)), net.constant(np.float32(1)))
        scores = net.node("Reshape", clipped, net.constant(np.array([1, 2, cells * cells])))
        rows, columns = np.divmod(np.arange(cells * cells), cells)
        centres = [columns * STRIDE + STRIDE / 2, rows * STRIDE + STRIDE / 2]
        sides = [np.full(cells * cells, STRIDE)] * 2
        boxes = net.constant(np.array([[*centres, *sides]], np.float32))
        parts = [boxes, scores, scores] if task == "segment" else [boxes, scores]
        net.node("Concat", *parts, axis=1, result="output0")
        outputs["output0"] = [1, 4 + 2 * (len(parts) - 1), cells * cells]
        if task == "segment":
            net.node(
                "Conv",
                net.node("AveragePool", "images", kernel_shape=[4, 4], strides=[4, 4]),
                purity,
                result="output1",
            )
            outputs["output1"] = [1, 2, SIDE // 4, SIDE // 4]
    model = net.model({"images": [1, 3, SIDE, SIDE]}, outputs)
    if metadata:
        helper.set_model_props(model, {"task": task, "names": NAMES, "stride": "8", "imgsz": f"[{SIDE}, {SIDE}]"})
    return model


def picture(size: tuple[int, int], *squares: tuple[str, tuple[int, int, int, int]]) -> Image.Image:
    """A grey picture with squares: colour, and left, top, right and bottom in pixels."""
    image = Image.new("RGB", size, (114, 114, 114))
    pen = ImageDraw.Draw(image)
    for colour, (left, top, right, bottom) in squares:
        pen.rectangle((left, top, right - 1, bottom - 1), fill=COLOURS[colour])
    return image


class WholeModel:
    """An undivided model in this process, with a deployment's interface."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        self.info = SimpleNamespace(
            inputs=_specs(model.graph.input),
            outputs=_specs(model.graph.output),
            metadata={entry.key: entry.value for entry in model.metadata_props},
        )

    def infer(self, inputs: dict[str, Array], timeout_seconds: float) -> dict[str, Array]:
        names = [spec.name for spec in self.info.outputs]
        return dict(zip(names, self._session.run(names, inputs), strict=True))


def _specs(values) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(value.name, "float32", tuple(size.dim_value for size in value.type.tensor_type.shape.dim))
        for value in values
    )
