"""Seconds of every layer of a model on this server, in float and in int8."""

import time
from collections.abc import Mapping, Sequence

import onnx

from core.graph import ModelGraph
from core.problem import BorderTime, LayerTime
from core.profiles import ExecutionProfile, ModelProfile, RuntimeSettings
from core.progress import Progress, no_progress, part
from core.tensors import Array
from model_divider.quantize import quantize
from model_divider.silu import fuse_silu
from model_divider.wire import add_wire_layers, is_wire_layer
from profilers.attribution import attribute_seconds, fused_tensors
from profilers.borders import explain
from profilers.labels import labelled
from profilers.layer_by_layer import rescale, time_layers
from profilers.node_times import time_nodes
from profilers.random_inputs import random_inputs
from profilers.random_parts import time_random_parts
from profilers.served_runs import ServedModel, usual
from profilers.wire_layers import wired_tensors, without_wire_layers

_RUNS = (3, 40)
"""Fewest and most runs of a model that are timed, however slow or fast it is."""
_WHOLE_SECONDS, _NODE_SECONDS = 12.0, 2.0
"""How long the timing of whole models, and of a model's nodes, goes on between these bounds."""
_NEXT_TO_NOTHING = 1e-7
"""Seconds of a wire layer in float: it takes none, but should run where it would be done sooner."""


def profile_execution(
    model: bytes,
    profile: ModelProfile,
    fingerprint: str,
    runtime: RuntimeSettings,
    progress: Progress = no_progress,
) -> ExecutionProfile:
    """Time the layers of a model inside the whole model, as it will run here.

    The runtime's own profiler times the nodes of the whole optimised float model, and of the model with all of
    V_Q in int8; fused nodes are given back to the layers they came from (``profilers.attribution``). These raw
    times f, which the profiler itself disturbs, are corrected to the measured times of the whole models
    (thesis 6.3.2), so that the float times sum to ``whole_seconds``, and with all of V_Q in int8 to
    ``mixed_seconds``; see ``correct``.

    What crossing to other servers costs in computing is measured on parts of the model, which are timed by the
    processor's time; they correct the layers' times too, which the profiler takes by the time of day. See
    ``profilers.borders``.

    Wire layers (``model_divider.wire``) take next to nothing in float, for the runtime removes them.

    Where the timing of ``runtime`` or of the profile's settings is ``layer-by-layer``, every layer is timed alone
    instead and corrected by the thesis's formulas, and no borders are measured; see ``profilers.layer_by_layer``.

    Random inputs of the right shapes are used; time hardly depends on values. All seconds are of the machine's own
    speed, without the slow-down of ``runtime``.

    Args:
        model: the admitted model's bytes.
        profile: the model's profile.
        fingerprint: of this server, from ``profilers.server_monitor``.
        runtime: how this server runs models.
        progress: told what is being done.

    Raises:
        InvalidModelError: the runtime refuses the model.
    """
    parsed = onnx.load_model_from_string(model)
    wired = add_wire_layers(parsed, profile.graph.by_name)
    plain = without_wire_layers(profile.graph)
    quantizable = profile.graph.quantizable
    versions = [parsed]
    if quantizable:
        versions.append(fuse_silu(quantize(wired, quantizable, profile.ranges, profile.settings.quantization)))
    inputs = random_inputs(profile.inputs, 1, profile.settings.random_seed)[0]
    progress(0.0, "timing the whole model")
    whole = _time_whole([version.SerializeToString() for version in versions], runtime, inputs)
    if "layer-by-layer" in (runtime.timing, profile.settings.timing):
        floats, integers = time_layers(wired, profile, runtime, inputs, part(progress, 0.5, 0.5))
        floats |= dict.fromkeys(filter(is_wire_layer, floats), 0.0)
        times = rescale(floats, integers, whole[0], whole[1] if quantizable else None)
        borders: dict[str, BorderTime] = {}
    else:
        nodes = []
        for index, (version, named) in enumerate(zip(versions, (parsed, wired), strict=False)):
            progress(0.3 + 0.2 * index, f"timing layers in {('float', 'int8')[index]}")
            labels = labelled(version, named).SerializeToString()
            nodes.append(time_nodes(labels, runtime, inputs, _runs(whole[index])))
        layers = [attribute_seconds(one, graph) for one, graph in zip(nodes, (plain, profile.graph), strict=False)]
        floats = dict.fromkeys(profile.graph.by_name, 0.0) | layers[0]
        integers = layers[-1]
        times = correct(profile.graph, floats, whole[0], (layers[1], whole[1]) if quantizable else None)
        parts = time_random_parts(
            plain,
            lambda chosen: quantize(parsed, chosen, profile.ranges, profile.settings.quantization),
            runtime,
            inputs,
            {name: layer.seconds for name, layer in times.items()},
            profile.settings.random_seed,
            part(progress, 0.7, 0.3),
        )
        # What rounds tensors for the wire is part of no part.
        rounding = sum(integers[name] for name in filter(is_wire_layer, integers))
        mixed_seconds = whole[1] - rounding if quantizable else None
        borders, corrected = explain(parts, plain, times, fused_tensors(nodes[0], plain), mixed_seconds)
        times |= corrected
        crossing = wired_tensors(profile.graph)
        borders |= {result: borders[read] for result, read in crossing.items() if read in borders}
    # Rounding takes what it was seen to take: as a share of what int8 saves elsewhere it might seem to take nothing.
    times |= {
        name: LayerTime(_NEXT_TO_NOTHING, max(integers[name], 2 * _NEXT_TO_NOTHING))
        for name in filter(is_wire_layer, times)
    }
    progress(1.0, "layers timed")
    return ExecutionProfile(
        profile.model,
        fingerprint,
        times,
        whole[0],
        whole[1] if quantizable else None,
        sum(floats.values()),
        borders=borders,
    )


def correct(
    graph: ModelGraph, floats: Mapping[str, float], whole: float, mixed: tuple[Mapping[str, float], float] | None
) -> dict[str, LayerTime]:
    """Correct layers' raw times f to the times of whole models (the aim of thesis 6.3.2).

    Float: f̂(i,0) = f(i,0) · T_whole / Σ_j f(j,0), so that all sum to T_whole.

    Int8: f̂(i,1) = f(i,1) · (T_mixed − Σ_{j∉V_Q} f̂(j,0)) / Σ_{j∈V_Q} f(j,1), so that with all of V_Q in int8 all sum
    to T_mixed, and what int8 costs the layers around is borne by V_Q. The thesis scales the gains f(i,0) − f(i,1)
    instead; their sum is a difference of nearly equal numbers, which may vanish, and its times may be negative.
    These are 0 where T_mixed is less than what the other layers take.

    Args:
        graph: the model.
        floats: raw float seconds of each layer.
        whole: seconds of the whole float model.
        mixed: raw seconds of each layer in the model with all of V_Q in int8, and its seconds as a whole.
    """
    times = _scale(floats, whole)
    quantized: dict[str, float] = {}
    if mixed is not None:
        others = sum(seconds for name, seconds in times.items() if not graph.by_name[name].quantizable)
        quantized = _scale({name: mixed[0][name] for name in graph.quantizable}, max(0.0, mixed[1] - others))
    return {name: LayerTime(seconds, quantized.get(name)) for name, seconds in times.items()}


def _scale(raw: Mapping[str, float], whole: float) -> dict[str, float]:
    total = sum(raw.values())
    if total <= 0:
        return dict.fromkeys(raw, whole / max(1, len(raw)))
    return {name: seconds / total * whole for name, seconds in raw.items()}


def _runs(seconds: float) -> int:
    least, most = _RUNS
    return int(min(most, max(least, _NODE_SECONDS / max(seconds, 1e-6))))


def _time_whole(models: Sequence[bytes], runtime: RuntimeSettings, inputs: Mapping[str, Array]) -> list[float]:
    """Return the usual seconds of a run of each model, taken in turns, so that a busy moment meets all alike."""
    served = [ServedModel(model, runtime) for model in models]
    for one in served:
        one.run(inputs)
    times: list[list[float]] = [[] for _ in served]
    begin = time.perf_counter()
    least, most = _RUNS
    while len(times[0]) < least or (len(times[0]) < most and time.perf_counter() - begin < _WHOLE_SECONDS):
        for one, taken in zip(served, times, strict=True):
            taken.append(one.run(inputs)[0])
    return [usual(taken) for taken in times]
