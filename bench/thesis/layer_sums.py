"""Thesis 6.3.1 and 6.3.2: the sum of the layers' times against the whole model, and the corrected prediction."""

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from core.problem import LayerTime
from core.profiles import ModelProfile, RuntimeSettings, TimingMethod
from core.progress import Progress, no_progress, part
from inferencer.session import Session, run_clock
from model_divider.quantize import quantize
from model_divider.silu import fuse_silu
from model_divider.wire import is_wire_layer
from profilers.execution import profile_execution
from profilers.random_inputs import random_inputs

METHODS: tuple[TimingMethod, ...] = ("layer-by-layer", "profiler")
"""The thesis's way to time layers, and ours."""

ROUNDS = 15
"""How often each undivided model is timed; all take turns."""


@dataclass(frozen=True)
class MethodSum:
    """What a way of timing says of the float model.

    Attributes:
        sum_seconds: of the layers, not corrected.
        whole_seconds: of the undivided model, timed right before.
    """

    method: str
    sum_seconds: float
    whole_seconds: float


@dataclass(frozen=True)
class SetTime:
    """The undivided model with a set of layers in int8; the first set is empty.

    Attributes:
        layers: how many are int8.
        measured_seconds: median.
        predicted_seconds: method → corrected prediction.
    """

    layers: int
    measured_seconds: float
    predicted_seconds: Mapping[str, float]


@dataclass(frozen=True)
class LayerSums:
    """Both experiments on one model, at the machine's own speed, in seconds of one thread's processor time."""

    model: str
    sums: tuple[MethodSum, ...]
    sets: tuple[SetTime, ...]


def measure_layer_sums(
    name: str, model: bytes, profile: ModelProfile, sets: int, progress: Progress = no_progress
) -> LayerSums:
    """Time the layers by both methods, and the undivided model with some sets of them in int8.

    Args:
        name: of the model, for the result.
        model: the admitted model's bytes.
        profile: its profile.
        sets: how many random sets, besides none and all.
        progress: told what is done.
    """
    runtime = RuntimeSettings()
    sums, times = [], {}
    for index, method in enumerate(METHODS):
        step = part(progress, 0.35 * index, 0.35)
        execution = profile_execution(model, profile, "bench", RuntimeSettings(timing=method), step)
        sums.append(MethodSum(method, execution.layer_sum_seconds, execution.whole_seconds))
        times[method] = execution.layers
    parsed = onnx.load_model_from_string(model)
    chosen = int8_sets([layer for layer in profile.graph.quantizable if not is_wire_layer(layer)], sets)
    sessions = []
    for index, layers in enumerate(chosen):
        progress(0.7 + 0.1 * index / len(chosen), "quantising")
        made = parsed
        if layers:
            made = fuse_silu(quantize(parsed, layers, profile.ranges, profile.settings.quantization))
        sessions.append(Session(made.SerializeToString(), runtime))
    inputs = random_inputs(profile.inputs, 1, profile.settings.random_seed)[0]
    clock = run_clock(runtime)
    taken: list[list[float]] = [[] for _ in sessions]
    for number in range(1 + ROUNDS):
        progress(0.8 + 0.2 * number / (1 + ROUNDS), "timing the undivided model")
        for session, seconds in zip(sessions, taken, strict=True):
            begin = clock()
            session.run(inputs)
            if number:
                seconds.append(clock() - begin)
    found = tuple(
        SetTime(
            len(layers),
            statistics.median(seconds),
            {method: corrected_seconds(times[method], layers) for method in METHODS},
        )
        for layers, seconds in zip(chosen, taken, strict=True)
    )
    return LayerSums(name, tuple(sums), found)


def int8_sets(quantizable: Sequence[str], count: int) -> list[tuple[str, ...]]:
    """None, all, and ``count`` random ones of growing size, repeatable and distinct in size as far as possible."""
    dice = random.Random(0)  # noqa: S311 - no secret
    most = len(quantizable)
    sizes = [max(1, round(most * (number + 1) / (count + 1))) for number in range(count)] if most else []
    return [
        (),
        *(tuple(dice.sample(list(quantizable), size)) for size in sizes),
        *([tuple(quantizable)] if most else []),
    ]


def corrected_seconds(times: Mapping[str, LayerTime], quantized: Sequence[str]) -> float:
    """What corrected times say of the undivided model: Σ f̂(i,0) − ĝ(i) q_i (thesis 6.3.2)."""
    total = 0.0
    for name, time in times.items():
        if is_wire_layer(name):
            continue
        in_int8 = name in quantized and time.quantized_seconds is not None
        total += time.quantized_seconds if in_int8 and time.quantized_seconds is not None else time.seconds
    return total
