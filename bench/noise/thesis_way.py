"""The thesis's way to noise: for each set a model quantised by the runtime's library, loaded and run on all inputs."""

import logging
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from core.profiles import QuantizationSettings
from core.progress import Progress
from core.tensors import Array
from profilers.noise_measures import mean_absolute_difference

Inputs = Sequence[Mapping[str, Array]]
Masks = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ThesisSample:
    """Sets measured one by one.

    Attributes:
        noise: of each set.
        quantize_seconds: median of quantising a set, its calibration included.
        load_seconds: median of loading the quantised model.
        run_seconds: median of running it on all inputs.
        seconds: mean of all three together.
    """

    noise: Floats
    quantize_seconds: float
    load_seconds: float
    run_seconds: float
    seconds: float


def measure_sets(
    model: bytes,
    sets: Sequence[Sequence[str]],
    calibration: Inputs,
    inputs: Inputs,
    settings: QuantizationSettings,
    progress: Progress,
) -> ThesisSample:
    """Quantise, load and run the model for each of ``sets`` of layers; noise is the mean absolute difference."""
    expected = _run(_load(model), inputs)
    noise, times = np.empty(len(sets)), np.empty((len(sets), 3))
    with tempfile.TemporaryDirectory(prefix="partita-noise-") as folder, _quiet():
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(model)
        for index, layers in enumerate(sets):
            progress(index / len(sets), f"the thesis's way, set {index + 1} of {len(sets)}")
            marks = [time.perf_counter()]
            _quantize(source, target, layers, calibration, settings)
            marks.append(time.perf_counter())
            session = _load(target.read_bytes())
            marks.append(time.perf_counter())
            outputs = _run(session, inputs)
            marks.append(time.perf_counter())
            noise[index] = np.mean([mean_absolute_difference(*pair) for pair in zip(expected, outputs, strict=True)])
            times[index] = np.diff(marks)
    quantize, load, run = np.median(times, axis=0).tolist()
    return ThesisSample(noise, quantize, load, run, float(times.sum(axis=1).mean()))


def least_squares(masks: Masks, noise: Floats, unseen: Masks, degree: int) -> Floats:
    """Fit a polynomial with all its coefficients by least squares, and predict the noise of ``unseen``."""
    groups = [group for size in range(degree + 1) for group in combinations(range(masks.shape[1]), size)]

    def products(choices: Masks) -> Floats:
        return np.stack([choices[:, group].all(axis=1) for group in groups], axis=1).astype(np.float64)

    found = np.linalg.lstsq(products(masks), noise, rcond=None)[0]
    return np.asarray(products(unseen) @ found)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, inputs: Inputs) -> None:
        self._inputs: Iterator[Mapping[str, Array]] = iter(inputs)

    def get_next(self) -> Mapping[str, Array] | None:
        return next(self._inputs, None)


def _quantize(
    source: Path, target: Path, layers: Sequence[str], calibration: Inputs, settings: QuantizationSettings
) -> None:
    symmetric = settings.activation_type == "int8"
    quantize_static(
        source,
        target,
        _Reader(calibration),
        quant_format=QuantFormat.QDQ,
        nodes_to_quantize=list(layers),
        per_channel=settings.per_channel,
        activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options={"WeightSymmetric": True, "ActivationSymmetric": symmetric},
    )


def _load(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # As our own sessions: without it, processors without VNNI let unsigned activations overflow.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _run(session: ort.InferenceSession, inputs: Inputs) -> list[dict[str, Array]]:
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(names, dict(item)), strict=True)) for item in inputs]


@contextmanager
def _quiet() -> Iterator[None]:
    """The library advises, on every call, to prepare the model otherwise."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
