"""The graph of a quantised model: where QuantizeLinear and DequantizeLinear go."""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from core.errors import InvalidArgumentError
from core.profiles import QuantizationSettings, Range
from core.tensors import Array
from model_divider.nodes import consumed_tensors, model_like
from model_divider.rounding import Rounded, activation_parameters, round_bias, round_weight, smallest_weight_scale


class Rewriter:
    """Builds the quantised copy of one model; ``results`` are the outputs of the layers to quantise."""

    def __init__(
        self, model: onnx.ModelProto, results: set[str], ranges: Mapping[str, Range], settings: QuantizationSettings
    ) -> None:
        self._model = model
        self._results = results
        self._ranges = ranges
        self._settings = settings
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._taken = {name for node in model.graph.node for name in (node.name, *node.input, *node.output)}
        graph = model.graph
        self._values = {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}
        self._added_values: list[onnx.ValueInfoProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._added: list[onnx.TensorProto] = []
        self._rounded: dict[str, str] = {}

    def rewrite(self) -> onnx.ModelProto:
        """Return the quantised model, without the float weights that nothing reads any more."""
        for node in self._model.graph.node:
            if node.output[0] in self._results:
                self._quantize_layer(node)
            else:
                self._nodes.append(node)
        graph = self._model.graph
        used = {name for node in self._nodes for name in consumed_tensors(node)}
        used.update(output.name for output in graph.output)
        kept = [tensor for tensor in graph.initializer if tensor.name in used]
        quantized = model_like(self._model, self._nodes, graph.input, graph.output, [*kept, *self._added])
        quantized.graph.value_info.extend([*graph.value_info, *self._added_values])
        return quantized

    def _quantize_layer(self, original: onnx.NodeProto) -> None:
        node = onnx.NodeProto()
        node.CopyFrom(original)
        if node.op_type != "Identity":  # those are wire layers
            self._round_operands(node)
        result = node.output[0]
        node.output[0] = self._name(f"{result}/float")
        self._nodes.append(node)
        self._append_rounding(node.output[0], result, result)

    def _round_operands(self, node: onnx.NodeProto) -> None:
        """Let the node read rounded activations, weights and bias."""
        constants = {
            index: numpy_helper.to_array(self._constants[name])
            for index, name in enumerate(node.input)
            if name in self._constants
        }
        if node.op_type == "Gemm":
            _fold_factors(node, constants)
        step = np.array(1, np.float32)  # of the products that the layer sums up, in which its bias is given
        for index in (0, 1):
            if index not in constants:
                step = step * self._round_activation(node, index)
        channels = _channel_axis(node, constants[1]) if 1 in constants else None
        group = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        copies = group if node.op_type == "ConvTranspose" else 1  # groups of output channels share weight scales
        bias = constants.get(2)
        if bias is not None and (channels is None or bias.shape != (constants[1].shape[channels] * copies,)):
            bias = None  # broadcast in a way that no integer kernel knows: stays float
        for index in (0, 1):
            if index in constants:
                axis = channels if index == 1 and self._settings.per_channel else None
                least = 0.0 if bias is None else smallest_weight_scale(bias, step, copies if axis is not None else None)
                weight = round_weight(constants[index], axis, least)
                self._use_constant(node, index, weight)
                step = step * weight.scale
        if bias is not None:
            self._use_constant(node, 2, round_bias(bias, np.tile(step, copies) if step.ndim else step))

    def _round_activation(self, node: onnx.NodeProto, index: int) -> NDArray[np.float32]:
        """Let the node read a rounded input; return its scale."""
        name = node.input[index]
        if name not in self._results:  # those come out of their layer rounded
            if name not in self._rounded:
                self._rounded[name] = self._name(f"{name}/dequantized")
                self._append_rounding(name, name, self._rounded[name])
            node.input[index] = self._rounded[name]
        return activation_parameters(self._range(name), self._settings.activation_type)[0]

    def _append_rounding(self, source: str, tensor: str, target: str) -> None:
        """Append QuantizeLinear and DequantizeLinear by the range of ``tensor``."""
        scale, zero_point = activation_parameters(self._range(tensor), self._settings.activation_type)
        parameters = [self._add(f"{tensor}/scale", scale), self._add(f"{tensor}/zero_point", zero_point)]
        rounded = self._name(f"{tensor}/quantized")
        value = onnx.ValueInfoProto()
        value.CopyFrom(self._values[tensor])
        value.name = rounded
        value.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(zero_point.dtype)
        self._added_values.append(value)
        name = self._name(f"{tensor}/QuantizeLinear")
        self._nodes.append(helper.make_node("QuantizeLinear", [source, *parameters], [rounded], name))
        name = self._name(f"{tensor}/DequantizeLinear")
        self._nodes.append(helper.make_node("DequantizeLinear", [rounded, *parameters], [target], name))

    def _use_constant(self, node: onnx.NodeProto, index: int, rounded: Rounded) -> None:
        """Let the node read an integer constant through a DequantizeLinear."""
        base = f"{node.name}/{node.input[index]}"
        zero_point = np.zeros(rounded.scale.shape, rounded.values.dtype)
        inputs = [
            self._add(f"{base}/quantized", rounded.values),
            self._add(f"{base}/scale", rounded.scale),
            self._add(f"{base}/zero_point", zero_point),
        ]
        node.input[index] = self._name(f"{base}/dequantized")
        name = self._name(f"{base}/DequantizeLinear")
        dequantize = helper.make_node("DequantizeLinear", inputs, [node.input[index]], name)
        if rounded.axis is not None:
            dequantize.attribute.append(helper.make_attribute("axis", rounded.axis))
        self._nodes.append(dequantize)

    def _range(self, tensor: str) -> Range:
        if tensor not in self._ranges:
            raise InvalidArgumentError(f"no calibrated range of tensor {tensor!r}; calibrate its layer first")
        return self._ranges[tensor]

    def _add(self, base: str, array: Array) -> str:
        name = self._name(base)
        self._added.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def _name(self, base: str) -> str:
        while base in self._taken:
            base += "_"
        self._taken.add(base)
        return base


def _channel_axis(node: onnx.NodeProto, weight: Array) -> int | None:
    """Axis of the weight that runs over the layer's output channels; ``None`` where there is no single one."""
    if node.op_type == "Gemm":
        return 0 if any(attribute.name == "transB" and attribute.i for attribute in node.attribute) else 1
    if node.op_type == "MatMul":
        return 1 if weight.ndim == 2 else None
    return 0 if node.op_type == "Conv" else 1


def _fold_factors(node: onnx.NodeProto, constants: dict[int, NDArray[np.float32]]) -> None:
    """Multiply alpha and beta of a Gemm into its constants, because integer kernels know no factors."""
    for name, index in (("alpha", 1), ("beta", 2)):
        for attribute in node.attribute:
            if attribute.name == name and index in constants:
                constants[index] = np.asarray(constants[index] * np.float32(attribute.f))
                attribute.f = 1.0
