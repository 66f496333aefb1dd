"""The one form in which models are kept: shapes known, constants folded, layers named."""

import logging
from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime as ort
import onnxslim
from onnx import helper, inliner, numpy_helper, shape_inference, version_converter

from core.errors import InvalidModelError
from core.graph import GENERATOR, RECEIVER

_log = logging.getLogger(__name__)

_LEAST_OPSET = 13  # from here on int8 weights can have a scale per channel
_LEAST_IR_VERSION = 8  # weights need not be inputs too


def bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs inside a node: what If, Loop and Scan run."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def normalize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Bring a valid model with fixed input shapes into the form in which Partita keeps models.

    Local functions are inlined, constants folded, every tensor gets its dtype and fixed shape, every layer a unique
    name, and every layer depends on an input. Names and order of inputs and outputs stay, as does the file's metadata.

    Raises:
        InvalidModelError: a tensor's shape depends on values, an output on no input, or there is no layer.
    """
    inlined = inliner.inline_local_functions(model) if model.functions else model
    inputs, outputs = list(inlined.graph.input), [value.name for value in inlined.graph.output]
    slimmed = _modern(_slim(_without_shapes(inlined)))
    if [value.name for value in slimmed.graph.output] != outputs:
        raise InvalidModelError(f"folding constants changed the outputs {outputs}; give each output its own tensor")
    del slimmed.graph.input[:]  # onnxslim drops inputs that nothing reads
    slimmed.graph.input.extend(inputs)
    folded = _fold(slimmed)
    _name_layers(folded)
    shaped = _with_shapes(folded)
    del shaped.metadata_props[:]
    shaped.metadata_props.extend(model.metadata_props)
    return shaped


def _without_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Forget what was declared while shapes were open; it is inferred anew."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    bare.ir_version = max(bare.ir_version, _LEAST_IR_VERSION)
    bare.doc_string = ""
    del bare.graph.value_info[:]
    del bare.graph.quantization_annotation[:]
    for value in bare.graph.output:
        value.type.tensor_type.ClearField("shape")
    return bare


def _slim(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    try:
        return onnxslim.slim(copy)  # type: ignore[no-any-return]
    except Exception:  # noqa: BLE001 - it raises whatever its rules meet
        # Shapes may still be inferred without it; if not, the tensor that lacks one is named.
        _log.warning("onnxslim failed; the model is kept as it was exported", exc_info=True)
        return model


def _modern(model: onnx.ModelProto) -> onnx.ModelProto:
    version = next((opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), _LEAST_OPSET)
    if version >= _LEAST_OPSET:
        return model
    try:
        return version_converter.convert_version(model, _LEAST_OPSET)
    except Exception:  # noqa: BLE001 - what it cannot convert, it tells by many types
        _log.warning("opset %d could not be converted to %d", version, _LEAST_OPSET, exc_info=True)
        return model


def _fold(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace layers that depend on no input by their results, so that every layer has something to wait for."""
    live = {value.name for value in model.graph.input}
    constant: list[onnx.NodeProto] = []
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if live.isdisjoint(_mentioned(node)):
            constant.append(node)
        else:
            nodes.append(node)
            live.update(node.output)
    for value in model.graph.output:
        if value.name not in live:
            raise InvalidModelError(f"output {value.name!r} does not depend on any input; remove it from the outputs")
    if not nodes:
        raise InvalidModelError("the model has no layer between its inputs and outputs; there is nothing to run")
    used = {name for node in nodes for name in _mentioned(node)}
    initializers = list(model.graph.initializer)
    wanted = [name for node in constant for name in node.output if name in used]
    if wanted:
        graph = helper.make_graph(constant, "constants", [], [onnx.ValueInfoProto(name=name) for name in wanted])
        graph.initializer.extend(initializers)
        results = _session(_like(model, graph)).run(None, {})
        initializers += [numpy_helper.from_array(np.asarray(r), n) for n, r in zip(wanted, results, strict=True)]
    kept = [tensor for tensor in initializers if tensor.name in used]
    graph = helper.make_graph(nodes, model.graph.name or "model", model.graph.input, model.graph.output, kept)
    return _like(model, graph)


def _mentioned(node: onnx.NodeProto) -> set[str]:
    """Names a node or its bodies read; bodies' own tensors, whose names are theirs alone, included."""
    names = set(filter(None, node.input))
    for body in bodies(node):
        names.update(value.name for value in body.output)
        for inner in body.node:
            names |= _mentioned(inner)
    return names


def _name_layers(model: onnx.ModelProto) -> None:
    """Give every layer a unique name: its own where it has one that nobody before it has."""
    taken = {GENERATOR, RECEIVER}
    own = {node.name for node in model.graph.node}
    for index, node in enumerate(model.graph.node):
        name = node.name or f"{node.op_type}_{index}"
        while name in taken or (name != node.name and name in own):
            name += f"_{index}"
        node.name = name
        taken.add(name)


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    inferred = shape_inference.infer_shapes(_without_shapes(model), strict_mode=True, data_prop=True)
    graph = inferred.graph
    consumed = {name for node in graph.node for name in _mentioned(node)} | {value.name for value in graph.output}
    made = [name for node in graph.node for name in node.output if name in consumed]
    known = {value.name: value for value in (*graph.value_info, *graph.output) if _is_fixed(value)}
    missing = [name for name in made if name not in known]
    if missing:  # operators of com.microsoft, whose rules only the runtime has
        known.update(_ask_runtime(inferred, missing))
    for name in made:
        if name not in known:
            layer = next(node for node in graph.node if name in node.output)
            raise InvalidModelError(
                f"tensor {name!r} of layer {layer.name!r} ({layer.op_type}) has no fixed shape: "
                "it depends on the input's values; export the model without that layer"
            )
    outputs = [known.get(value.name, value) for value in graph.output]
    given = {value.name: value for value in graph.input}
    outputs = [given.get(value.name, value) for value in outputs]
    names = {value.name for value in outputs}
    del graph.output[:]
    graph.output.extend(outputs)
    del graph.value_info[:]
    graph.value_info.extend(known[name] for name in made if name not in names)
    return inferred


def _ask_runtime(model: onnx.ModelProto, names: list[str]) -> dict[str, onnx.ValueInfoProto]:
    asking = onnx.ModelProto()
    asking.CopyFrom(model)
    del asking.graph.output[:]
    asking.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    found = {}
    for result in _session(asking).get_outputs():
        kind = _RUNTIME_TYPES.get(result.type)
        if kind is not None and all(isinstance(size, int) for size in result.shape):
            found[result.name] = helper.make_tensor_value_info(result.name, kind, result.shape)
    return found


_RUNTIME_TYPES = {
    f"tensor({name})": getattr(onnx.TensorProto, name.upper())
    for name in "float double float16 int8 uint8 int16 uint16 int32 uint32 int64 uint64 bool".split()  # noqa: SIM905
}


def _is_fixed(value: onnx.ValueInfoProto) -> bool:
    tensor = value.type.tensor_type
    return (
        tensor.elem_type != 0
        and tensor.HasField("shape")
        and all(dim.HasField("dim_value") for dim in tensor.shape.dim)
    )


def _session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _like(model: onnx.ModelProto, graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(
        graph, ir_version=model.ir_version, opset_imports=model.opset_import, producer_name="partita"
    )
