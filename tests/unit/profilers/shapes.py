"""Models as they are once admitted: with the type and shape of every tensor."""

import onnx


def shaped(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)
