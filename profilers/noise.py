"""How much int8 disturbs a model's outputs: measured on chosen sets of layers, predicted for all."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from core.errors import InvalidModelError, InvalidTensorError
from core.profiles import ModelProfilerSettings, NoiseFit, QuantizationSettings, Range, RuntimeSettings
from core.progress import Progress, no_progress
from core.tensors import Array
from inferencer.session import Session
from model_divider.quantize import quantize
from profilers.container import usable_cores
from profilers.noise_polynomial import fit_polynomial

_MOST_THREADS = 8


def fit_noise(
    model: onnx.ModelProto,
    layers: Sequence[str],
    ranges: Mapping[str, Range],
    inputs_for_test: Sequence[Mapping[str, Array]],
    settings: ModelProfilerSettings,
    progress: Progress = no_progress,
) -> NoiseFit:
    """Measure the noise of ``settings.noise_samples`` sets of quantised layers and fit the polynomial that predicts it.

    Where there are no more sets than samples, all are measured. The time grows with samples × inputs.

    Args:
        model: an admitted model.
        layers: V_Q, at least one.
        ranges: what ``calibrate`` returned for V_Q.
        inputs_for_test: inputs of the model, at least one, that calibration did not see.
        settings: samples, degree, seed, and how layers become int8.
        progress: told after every set.

    Raises:
        InvalidModelError: the outputs are not finite, or their shapes depend on values.
        InvalidTensorError: there is no input.
    """
    masks = draw_masks(len(layers), settings.noise_samples, settings.random_seed)
    noise = measure_noise(
        model,
        [[layers[index] for index in np.flatnonzero(mask).tolist()] for mask in masks],
        ranges,
        inputs_for_test,
        settings.quantization,
        progress,
    )
    complete = len(masks) == 2 ** len(layers) - 1
    return fit_polynomial(layers, masks, noise, settings.noise_degree, settings.random_seed, complete)


def draw_masks(layers: int, samples: int, seed: int) -> NDArray[np.bool_]:
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
    progress: Progress = no_progress,
) -> NDArray[np.float64]:
    """Measure noise = mean over inputs of mean |o − o_q| over all elements of all outputs (thesis eq. 3.1.1).

    Measured on ONNX Runtime's CPU provider.

    Returns:
        The noise of each of ``sets`` of layers.

    Raises:
        InvalidModelError: the outputs are not finite, or their shapes depend on values.
        InvalidTensorError: there is no input.
    """
    if not inputs:
        raise InvalidTensorError("noise is measured on inputs of the model, but none was given; give at least one")
    runtime = RuntimeSettings(threads=max(1, min(_MOST_THREADS, int(usable_cores()))))
    session = Session(model.SerializeToString(), runtime)
    expected = [session.run(item) for item in inputs]
    noise = np.empty(len(sets))
    for index, layers in enumerate(sets):
        progress(index / len(sets), f"noise of {index + 1} of {len(sets)} sets of quantised layers")
        session = Session(quantize(model, layers, ranges, settings).SerializeToString(), runtime)
        noise[index] = np.mean(
            [_mean_difference(outputs, session.run(item)) for item, outputs in zip(inputs, expected, strict=True)]
        )
    progress(1.0, "noise measured")
    return noise


def _mean_difference(expected: Mapping[str, Array], given: Mapping[str, Array]) -> float:
    total, count = 0.0, 0
    for name, array in expected.items():
        if array.shape != given[name].shape:
            raise InvalidModelError(
                f"output {name!r} changes its shape with the values, so that int8 cannot be compared with float; "
                "cut such steps (for example non-maximum suppression) off the model"
            )
        total += float(np.abs(array.astype(np.float64) - given[name].astype(np.float64)).sum())
        count += array.size
    if not np.isfinite(total):
        raise InvalidModelError("the model's outputs are not finite on the given inputs; give inputs as in real use")
    return total / max(1, count)
