"""Everything that planning needs to know of a model, wherever it runs."""

from collections.abc import Mapping, Sequence

import onnx

from core.profiles import ModelCompression, ModelProfile, ModelProfilerSettings, Range
from core.progress import Progress, no_progress, part
from core.tensors import Array, check_inputs
from model_divider.quantize import calibrate
from model_divider.wire import add_wire_layers
from profilers.compression import measure_compression, reference_seconds
from profilers.model_graph import model_signature, read_graph
from profilers.noise import fit_noise
from profilers.noise_measures import find_measure
from profilers.random_inputs import random_inputs
from profilers.wire_layers import wire_candidates

_GENERATED_INPUTS = 4


def profile_model(
    model: bytes,
    model_hash: str,
    name: str,
    inputs: Sequence[Mapping[str, Array]],
    settings: ModelProfilerSettings,
    progress: Progress = no_progress,
) -> ModelProfile:
    """Read a model's graph, add wire layers to it, calibrate the ranges of V_Q, compress tensors and fit its noise.

    Of the inputs the first, third, … calibrate the ranges, and the noise is measured on the second, fourth, …,
    which calibration did not see. A single input serves both, so that the noise comes out too small. Where there is
    none, four seeded random ones are made: the profile then suits planning by time, but ranges and noise say
    nothing about real inputs.

    Args:
        model: an admitted model's bytes.
        model_hash: their content hash.
        name: the model's name.
        inputs: real inputs of the model.
        settings: what to measure and how.
        progress: told what is being done.

    Raises:
        InvalidTensorError: an input's names, dtypes or shapes are not the model's.
        InvalidModelError: a tensor's shape is not known, or the outputs are not finite.
        InvalidArgumentError: values inside the model are not finite on the inputs, its opset is too old for int8, or
            the measure of noise does not exist or does not fit the outputs.
    """
    progress(0.0, "reading the model's graph")
    find_measure(settings.noise_measure)  # before anything long
    parsed = onnx.load_model_from_string(model)
    specs, outputs = model_signature(parsed)
    for item in inputs:
        check_inputs(specs, item)
    graph = read_graph(parsed, name, settings)
    if wires := wire_candidates(graph, settings):
        parsed = add_wire_layers(parsed, wires)
        graph = read_graph(parsed, name, settings)
    layers = graph.quantizable
    samples = list(inputs) or random_inputs(specs, _GENERATED_INPUTS, settings.random_seed)
    ranges: dict[str, Range] = {}
    if layers:
        progress(0.02, f"calibrating {len(layers)} layers")
        ranges = calibrate(parsed, layers, samples[0::2], settings.quantization.calibration)
    compression = None
    if inputs:  # what random ones become says nothing about real ones
        progress(0.04, "compressing tensors")
        found = measure_compression(parsed, graph, ranges, samples, settings.quantization)
        compression = ModelCompression(*found, reference_seconds())
    if not layers:
        progress(1.0, "nothing in this model can become int8")
        return ModelProfile(model_hash, settings, graph, specs, outputs, {}, compression=compression)
    noise = fit_noise(parsed, layers, ranges, samples[1::2] or samples, settings, part(progress, 0.05, 0.95))
    return ModelProfile(model_hash, settings, graph, specs, outputs, ranges, noise, compression)
