"""Static int8 quantisation of chosen layers in QDQ form.

A quantised layer (Conv, ConvTranspose, MatMul, Gemm) becomes::

    x → QuantizeLinear → DequantizeLinear ┐
    weight (int8) → DequantizeLinear ─────┼→ layer → QuantizeLinear → DequantizeLinear → y
    bias (int32) → DequantizeLinear ──────┘

which ONNX Runtime fuses to one integer kernel. Quantising is local: what goes into and comes out of the layer is
rounded, and nothing else. So y keeps its name and is its dequantised value for every consumer, while a float-made x
is rounded only for its quantised consumers; the others read x itself. Of a wire layer (``model_divider.wire``) nothing
but the result is rounded. (``quantize_static`` rounds x for all of them,
which only adds noise.) A plan may therefore place any consumer of x anywhere: x crosses as float, y as int8.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper

from core.errors import InvalidArgumentError
from core.profiles import CalibrationMethod, QuantizationSettings, Range
from core.tensors import Array
from model_divider.rewriting import Rewriter
from model_divider.wire import is_wire_layer

QUANTIZABLE_OPERATORS = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm"})
"""Operators that ``quantize`` can turn into int8."""

_LEAST_OPSET, _CHANNELS_OPSET = 10, 13
"""The first that know integers, and a scale per channel."""


def calibrate(
    model: onnx.ModelProto,
    layers: Sequence[str],
    inputs: Sequence[Mapping[str, Array]],
    method: CalibrationMethod = "min-max",
) -> dict[str, Range]:
    """Find the range of every tensor that quantising any of ``layers`` rounds.

    Args:
        model: an admitted model.
        layers: names of quantisable layers.
        inputs: representative inputs of the model, each name → array.
        method: how the range follows from the values, see ``QuantizationSettings``.

    Returns:
        Tensor name → range over all inputs, for the layers' activation inputs and outputs; one calibration
        serves every subset of ``layers``.

    Raises:
        InvalidArgumentError: a layer is unknown or cannot be quantised, there is no input, or the model gives
            values that are not finite.
    """
    if not inputs:
        raise InvalidArgumentError("calibration needs at least one input of the model, none was given")
    constants = {tensor.name for tensor in model.graph.initializer}
    nodes = _quantizable_nodes(model, layers)
    tensors = sorted({name for node in nodes for name in (*node.input[:2], node.output[0])} - constants)
    if not tensors:
        return {}
    extremes = _extremes(model, tensors, inputs)
    if method == "min-max":
        return extremes
    from model_divider.histograms import histogram_ranges  # loads the runtime's quantisation library, in seconds

    found = histogram_ranges(_values(model, tensors, inputs), method)
    # A constant tensor has no histogram worth the name.
    return {name: found[name] if extremes[name].low < extremes[name].high else extremes[name] for name in tensors}


def _extremes(
    model: onnx.ModelProto, tensors: Sequence[str], inputs: Sequence[Mapping[str, Array]]
) -> dict[str, Range]:
    """Least and greatest value of each tensor."""
    measured = onnx.ModelProto()
    measured.CopyFrom(model)
    del measured.graph.output[:]
    for index, name in enumerate(tensors):
        for operator in ("ReduceMin", "ReduceMax"):
            result = f"partita/{operator}/{index}"
            measured.graph.node.append(helper.make_node(operator, [name], [result], keepdims=0))
            measured.graph.output.append(helper.make_tensor_value_info(result, onnx.TensorProto.FLOAT, []))
    session = _session(measured)
    values = np.array([session.run(None, dict(sample)) for sample in inputs], np.float64)
    finite = np.isfinite(values).all(axis=0)
    if not finite.all():
        bad = tensors[int(np.argmin(finite)) // 2]
        raise InvalidArgumentError(f"calibration: tensor {bad!r} takes values that are not finite; check the inputs")
    lows, highs = values[:, 0::2].min(axis=0), values[:, 1::2].max(axis=0)
    return {name: Range(float(low), float(high)) for name, low, high in zip(tensors, lows, highs, strict=True)}


def _values(
    model: onnx.ModelProto, tensors: Sequence[str], inputs: Sequence[Mapping[str, Array]]
) -> Iterator[dict[str, Array]]:
    """Yield for each input the values of ``tensors``, inputs of the model included."""
    given = {value.name for value in model.graph.input}
    computed = [name for name in tensors if name not in given]
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in computed)
    session = _session(shown)
    for sample in inputs:
        found = dict(zip(computed, session.run(computed, dict(sample)), strict=True)) if computed else {}
        yield {name: found[name] if name in found else sample[name] for name in tensors}


def _session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def quantize(
    model: onnx.ModelProto, layers: Collection[str], ranges: Mapping[str, Range], settings: QuantizationSettings
) -> onnx.ModelProto:
    """Turn exactly ``layers`` into int8; all other layers, inputs and outputs keep name, dtype and shape.

    Args:
        model: an admitted model; it is not changed.
        layers: names of the layers to quantise.
        ranges: what ``calibrate`` returned for these layers or more.
        settings: activation type, and one weight scale per tensor or per output channel; one per tensor where the
            model's opset is below 13.

    Raises:
        InvalidArgumentError: a layer is unknown or cannot be quantised, a tensor's range is missing, or the opset is
            below 10.
    """
    results = {node.output[0] for node in _quantizable_nodes(model, layers)}
    if results and _opset(model) < _CHANNELS_OPSET:
        _check_opset(model)
        settings = replace(settings, per_channel=False)
    return Rewriter(model, results, ranges, settings).rewrite()


def _quantizable_nodes(model: onnx.ModelProto, layers: Collection[str]) -> list[onnx.NodeProto]:
    nodes = {node.name: node for node in model.graph.node}
    floats = {tensor.name for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            floats.add(value.name)
    for name in layers:
        if name not in nodes:
            raise InvalidArgumentError(f"the model has no layer {name!r} to quantise; use names from its profile")
        able = nodes[name].op_type in QUANTIZABLE_OPERATORS or is_wire_layer(name)
        if not able or not floats.issuperset(nodes[name].input[:2]):
            raise InvalidArgumentError(
                f"layer {name!r} ({nodes[name].op_type}) cannot become int8; "
                f"only float32 {', '.join(sorted(QUANTIZABLE_OPERATORS))} can"
            )
    return [nodes[name] for name in dict.fromkeys(layers)]


def _check_opset(model: onnx.ModelProto) -> None:
    if _opset(model) < _LEAST_OPSET:
        raise InvalidArgumentError(
            f"int8 needs opset {_LEAST_OPSET}, the model has {_opset(model)}; export it with a newer opset"
        )


def _opset(model: onnx.ModelProto) -> int:
    return next(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx"))
