"""Every layer timed alone, as a model of its own: the thesis's way, for providers without a profiler (thesis 6.3.2)."""

import statistics
from collections.abc import Iterator, Mapping

import onnx
from onnx import helper

from core.problem import LayerTime
from core.profiles import ModelProfile, RuntimeSettings
from core.progress import Progress, no_progress
from core.tensors import Array
from inferencer.session import open_session, run_clock, session_options
from model_divider.quantize import quantize
from profilers.node_inputs import consumed_names

_RUNS = (3, 20)
"""Fewest and most runs of a layer that are timed."""
_SECONDS = 0.05
"""How long a layer is timed between these bounds."""


def time_layers(
    model: onnx.ModelProto,
    profile: ModelProfile,
    runtime: RuntimeSettings,
    inputs: Mapping[str, Array],
    progress: Progress = no_progress,
) -> tuple[dict[str, float], dict[str, float]]:
    """Time every layer in a session of its own, on what it reads in a run of the whole model.

    The raw times f_k(i,0) and f_k(i,1) contain the start of a session's run, and what fusion saves in the whole
    model is not saved here; ``rescale`` corrects their sums. The slow-down of ``runtime`` is not applied.

    Args:
        model: the admitted model.
        profile: its profile; the layers of V_Q are timed in int8 too, with what rounds their inputs and results.
        runtime: how this server runs models.
        inputs: one input of the whole model.
        progress: told what is being done.

    Returns:
        Median seconds of every layer in float, and of those in V_Q in int8.

    Raises:
        InvalidModelError: the runtime refuses a layer.
    """
    floats: dict[str, float] = {}
    integers: dict[str, float] = {}
    values = _values(model, runtime, inputs)
    count = len(model.graph.node)
    for index, (layer, single) in enumerate(_single_layers(model, values)):
        progress(index / count, f"timing layer {index + 1} of {count} alone")
        read = {value.name: values[value.name] for value in single.graph.input}
        floats[layer] = _time(single, runtime, read)
        if profile.graph.by_name[layer].quantizable:
            mixed = quantize(single, [layer], profile.ranges, profile.settings.quantization)
            integers[layer] = _time(mixed, runtime, read)
    return floats, integers


def rescale(
    floats: Mapping[str, float], integers: Mapping[str, float], whole: float, mixed: float | None
) -> dict[str, LayerTime]:
    """Correct layers' times to those of whole models by the thesis's formulas (6.3.2).

    f̂(i,0) = f(i,0) · T_whole / Σ_j f(j,0), and f̂(i,1) = f̂(i,0) − ĝ(i) with
    ĝ(i) = (f(i,0) − f(i,1)) · (T_whole − T_mixed) / Σ_{j∈V_Q} (f(j,0) − f(j,1)). These may be below zero. Where the
    layers' gains sum to nothing, each has an equal share of the whole's gain.

    Args:
        floats: seconds of each layer in float.
        integers: seconds in int8 of each layer in V_Q.
        whole: seconds of the whole float model.
        mixed: seconds of the model with all of V_Q in int8; ``None`` where V_Q is empty.
    """
    total = sum(floats.values())
    times = {name: seconds / total * whole if total else 0.0 for name, seconds in floats.items()}
    gain = whole - (whole if mixed is None else mixed)
    gains = {name: floats[name] - seconds for name, seconds in integers.items()}
    sum_of_gains = sum(gains.values())
    return {
        name: LayerTime(
            seconds,
            None
            if name not in gains
            else seconds - (gains[name] / sum_of_gains * gain if sum_of_gains else gain / len(gains)),
        )
        for name, seconds in times.items()
    }


def _single_layers(model: onnx.ModelProto, values: Mapping[str, Array]) -> Iterator[tuple[str, onnx.ModelProto]]:
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        names = dict.fromkeys(consumed_names(node))
        graph = helper.make_graph(
            [node],
            "layer",
            [_value(name, values[name]) for name in names if name not in constants],
            [_value(name, values[name]) for name in node.output if name],
            [constants[name] for name in names if name in constants],
        )
        yield node.name, helper.make_model(graph, ir_version=model.ir_version, opset_imports=model.opset_import)


def _value(name: str, array: Array) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def _values(model: onnx.ModelProto, runtime: RuntimeSettings, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Run the model once and keep every tensor."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    known = {value.name for value in model.graph.output}
    names = [name for node in model.graph.node for name in node.output if name and name not in known]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = open_session(shown.SerializeToString(), runtime, session_options(runtime))
    outputs = [output.name for output in session.get_outputs()]
    return {**inputs, **dict(zip(outputs, session.run(outputs, dict(inputs)), strict=True))}


def _time(model: onnx.ModelProto, runtime: RuntimeSettings, inputs: Mapping[str, Array]) -> float:
    session = open_session(model.SerializeToString(), runtime, session_options(runtime))
    session.run(None, dict(inputs))
    least, most = _RUNS
    clock = run_clock(runtime)
    taken: list[float] = []
    while len(taken) < least or (len(taken) < most and sum(taken) < _SECONDS):
        start = clock()
        session.run(None, dict(inputs))
        taken.append(clock() - start)
    return statistics.median(taken)
