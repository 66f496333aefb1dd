"""Latency and noise of each way to int8, side by side."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort

from bench.noise.inputs import INPUT
from bench.quantization.models import QuantizedModel
from core.profiles import ModelProfilerSettings, QuantizationSettings, RuntimeSettings
from core.progress import Progress, no_progress, part
from core.tensors import Array
from inferencer.session import Session
from model_divider.quantize import calibrate, quantize
from model_divider.silu import fuse_silu
from model_pool.admission import admit
from profilers.model_graph import read_graph
from profilers.noise_measures import mean_absolute_difference

CALIBRATION, TEST = 4, 4
"""Inputs that give the ranges, and others on which noise is measured."""

_REMOTE = "AzureExecutionProvider"
"""Calls a service instead of running a model."""


@dataclass(frozen=True)
class Variant:
    """One way to int8; ``fused``: the SiLU fusion restored."""

    name: str
    settings: QuantizationSettings
    fused: bool


VARIANTS = (
    Variant("int8, one scale (thesis)", QuantizationSettings("int8", per_channel=False), False),
    Variant("uint8, one scale", QuantizationSettings(per_channel=False), False),
    Variant("uint8, per channel", QuantizationSettings(), False),
    Variant("uint8, per channel, SiLU fused (default)", QuantizationSettings(), True),
    Variant("the same, percentile", QuantizationSettings(calibration="percentile"), True),
    Variant("the same, entropy", QuantizationSettings(calibration="entropy"), True),
)


@dataclass(frozen=True)
class VariantResult:
    """A variant on a provider.

    Attributes:
        model: its name.
        provider: of ONNX Runtime.
        layers: how many are int8.
        variant: its name; ``float`` for the model itself.
        seconds: of a run, median.
        ratio: to the float model's, median over rounds in which all variants take turns.
        noise: mean absolute difference from the float outputs of the same provider.
        relative_noise: to the mean size of the outputs.
    """

    model: str
    provider: str
    layers: int
    variant: str
    seconds: float
    ratio: float
    noise: float
    relative_noise: float


def run(
    models: Sequence[QuantizedModel], counts: Sequence[int], rounds: int, progress: Progress = no_progress
) -> list[VariantResult]:
    """Measure every variant of every model, with the heaviest layers in int8, on one thread of every provider here.

    Args:
        models: to be quantised.
        counts: numbers of int8 layers.
        rounds: how often each variant is timed.
        progress: told what is measured.

    Raises:
        InvalidArgumentError: a package with a model or its inputs is missing.
    """
    providers = [name for name in ort.get_available_providers() if name != _REMOTE]
    jobs = [(model, count, provider) for model in models for count in counts for provider in providers]
    results: list[VariantResult] = []
    for index, (model, count, provider) in enumerate(jobs):
        step = part(progress, index / len(jobs), 1 / len(jobs))
        results += _measure(model, count, provider, rounds, step)
    progress(1.0, "quantised and measured")
    return results


def _measure(model: QuantizedModel, count: int, provider: str, rounds: int, progress: Progress) -> list[VariantResult]:
    progress(0.0, f"{model.name}, {count} int8 layers: quantising")
    data = admit(model.read(), {INPUT: (1, 3, model.side, model.side)}).data
    parsed = onnx.load_model_from_string(data)
    layers = read_graph(parsed, model.name, ModelProfilerSettings(quantizable_count=count)).quantizable
    inputs = model.inputs(CALIBRATION + TEST, model.side, 0)
    calibration, test = inputs[:CALIBRATION], inputs[CALIBRATION:]
    runtime = RuntimeSettings(provider=provider)
    sessions = {"float": Session(data, runtime)}
    ranges = {}
    for variant in VARIANTS:
        method = variant.settings.calibration
        if method not in ranges:
            ranges[method] = calibrate(parsed, layers, calibration, method)
        quantized = quantize(parsed, layers, ranges[method], variant.settings)
        made = fuse_silu(quantized) if variant.fused else quantized
        sessions[variant.name] = Session(made.SerializeToString(), runtime)
    times = _times(sessions, test[0], rounds, progress)
    expected = [sessions["float"].run(item) for item in test]
    size = float(np.mean([np.abs(array).mean() for outputs in expected for array in outputs.values()]))
    found = []
    for name, session in sessions.items():
        pairs = zip(expected, map(session.run, test), strict=True)
        noise = float(np.mean([mean_absolute_difference(*pair) for pair in pairs]))
        ratio = statistics.median(mine / other for mine, other in zip(times[name], times["float"], strict=True))
        seconds = statistics.median(times[name])
        found.append(VariantResult(model.name, provider, len(layers), name, seconds, ratio, noise, noise / size))
    return found


def _times(
    sessions: Mapping[str, Session], item: Mapping[str, Array], rounds: int, progress: Progress
) -> dict[str, list[float]]:
    """Seconds of each session's runs, one of each in every round."""
    for session in sessions.values():
        session.run(item)
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for index in range(rounds):
        progress(0.5 + 0.5 * index / rounds, f"timing, round {index + 1} of {rounds}")
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(item)
            times[name].append(time.perf_counter() - start)
    return times
