"""How much int8 disturbs a model's outputs: measured on chosen sets of layers, predicted for all."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray

from core.errors import InvalidTensorError
from core.profiles import ModelProfilerSettings, NoiseFit, QuantizationSettings, Range, RuntimeSettings
from core.progress import Progress, no_progress, part
from core.tensors import Array
from inferencer.session import Session
from model_divider.quantize import quantize
from profilers.container import usable_cores
from profilers.noise_measures import NoiseMeasure, find_measure, mean_absolute_difference
from profilers.noise_polynomial import Watch, fit_polynomial
from profilers.noise_stages import StagedNoise

Masks = NDArray[np.bool_]

_FIRST_SAMPLES = 4
"""Sets measured before the first fit, in numbers of layers."""
_GROWTH = 1.3
"""How many times more sets are measured from fit to fit."""


def fit_noise(
    model: onnx.ModelProto,
    layers: Sequence[str],
    ranges: Mapping[str, Range],
    inputs_for_test: Sequence[Mapping[str, Array]],
    settings: ModelProfilerSettings,
    progress: Progress = no_progress,
) -> NoiseFit:
    """Measure the noise of sets of quantised layers and fit the polynomial that predicts it.

    Sets are measured until sets that a fit has not seen are predicted with R² ≥ ``settings.noise_r2``, or there are
    ``settings.noise_samples``. Where there are no more sets than that, all are measured. The time grows with
    sets × inputs.

    Args:
        model: an admitted model.
        layers: V_Q, at least one.
        ranges: what ``calibrate`` returned for V_Q.
        inputs_for_test: inputs of the model, at least one, that calibration did not see.
        settings: samples, measure, degree, seed, and how layers become int8.
        progress: told after every set.

    Raises:
        InvalidArgumentError: the measure of noise does not exist, or does not fit the outputs.
        InvalidModelError: the outputs are not finite, or their shapes depend on values.
        InvalidTensorError: there is no input.
    """
    masks = draw_masks(len(layers), settings.noise_samples, settings.random_seed)
    complete = len(masks) == 2 ** len(layers) - 1
    measure = find_measure(settings.noise_measure)
    staged = StagedNoise(model, layers, ranges, inputs_for_test, settings.quantization, measure)
    by_input = np.empty((len(inputs_for_test), 0))
    watch = Watch(settings.noise_degree, settings.random_seed)
    size = len(masks) if complete else min(len(masks), _FIRST_SAMPLES * len(layers))
    while True:
        known = by_input.shape[1]
        step = part(progress, known / len(masks), (size - known) / len(masks))
        by_input = np.concatenate([by_input, staged.measure_inputs(masks[known:size], step)], axis=1)
        noise = by_input.mean(axis=0)
        # The watch flatters: what it lets pass is fitted and judged in full.
        if size == len(masks) or watch.r2(masks[:size], noise) >= settings.noise_r2:
            degree, seed = settings.noise_degree, settings.random_seed
            fit = fit_polynomial(layers, masks[:size], noise, degree, seed, complete)
            if size == len(masks) or fit.r2 >= settings.noise_r2:
                break
        size = min(len(masks), int(_GROWTH * size))
    progress(1.0, "noise measured")
    return replace(fit, inputs=len(by_input), inputs_error=_error_of_mean(by_input))


def _error_of_mean(by_input: NDArray[np.float64]) -> float:
    """Relative standard error of the mean over inputs (input × set): median over sets that make any noise."""
    mean = by_input.mean(axis=0)
    noisy = by_input[:, mean > 0]
    if len(noisy) < 2 or not noisy.size:
        return 0.0
    return float(np.median(noisy.std(axis=0, ddof=1) / noisy.mean(axis=0))) / float(np.sqrt(len(noisy)))


def draw_masks(layers: int, samples: int, seed: int) -> Masks:
    """Draw different non-empty sets of ``layers`` layers: sample × layer, true where quantised.

    All sets, where they are no more than ``samples``. Else each layer alone, all together, and sets of uniformly
    drawn sizes: plans of few and of many quantised layers are to be predicted equally well. Each layer alone and
    all together are drawn even where ``samples`` is less.
    """
    if 2**layers - 1 <= samples:
        numbers = np.arange(1, 2**layers)
        return np.asarray((numbers[:, None] >> np.arange(layers)) & 1, np.bool_)
    random = np.random.default_rng(seed)
    drawn = {mask.tobytes(): mask for mask in (*np.eye(layers, dtype=np.bool_), np.ones(layers, np.bool_))}
    while len(drawn) < samples:
        mask = np.zeros(layers, np.bool_)
        mask[random.choice(layers, random.integers(2, layers), replace=False)] = True
        drawn.setdefault(mask.tobytes(), mask)
    return np.stack(list(drawn.values()))


def measure_noise(
    model: onnx.ModelProto,
    sets: Sequence[Sequence[str]],
    ranges: Mapping[str, Range],
    inputs: Sequence[Mapping[str, Array]],
    settings: QuantizationSettings,
    measure: NoiseMeasure = mean_absolute_difference,
    runtime: RuntimeSettings | None = None,
) -> NDArray[np.float64]:
    """Measure the noise of each of ``sets`` of layers with a model of its own: mean over inputs of ``measure``.

    For few sets, and to check ``StagedNoise`` or a server's provider by.

    Args:
        model: an admitted model.
        sets: names of the layers of each set that are int8.
        ranges: what ``calibrate`` returned for these layers or more.
        inputs: of the model.
        settings: how layers become int8.
        measure: what noise is.
        runtime: provider and threads; by default ONNX Runtime's CPU provider.

    Raises:
        InvalidModelError: the outputs are not finite, or their shapes depend on values.
        InvalidTensorError: there is no input.
    """
    if not inputs:
        raise InvalidTensorError("noise is measured on inputs of the model, but none was given; give at least one")
    runtime = runtime or RuntimeSettings(threads=max(1, int(usable_cores())))
    session = Session(model.SerializeToString(), runtime)
    expected = [session.run(item) for item in inputs]
    noise = np.empty(len(sets))
    for index, layers in enumerate(sets):
        session = Session(quantize(model, layers, ranges, settings).SerializeToString(), runtime)
        noise[index] = np.mean(
            [measure(outputs, session.run(item)) for item, outputs in zip(inputs, expected, strict=True)]
        )
    return noise
