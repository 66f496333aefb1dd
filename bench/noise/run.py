"""Both ways to a noise polynomial, on the same model and inputs in one run."""

import time
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from bench.noise.inputs import INPUT, text_inputs
from bench.noise.thesis_way import ThesisSample, least_squares, measure_sets
from bench.prediction.models import detector
from core.profiles import ModelProfilerSettings, NoiseFit
from core.progress import Progress, no_progress, part
from model_divider.quantize import calibrate
from model_pool.admission import admit
from profilers.model_graph import read_graph
from profilers.noise import draw_masks, fit_noise
from profilers.noise_measures import mean_absolute_difference
from profilers.noise_stages import StagedNoise

Masks = NDArray[np.bool_]
Floats = NDArray[np.float64]

THESIS_SETS = 1000
"""On so many sets the thesis trains its polynomial."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        side: height and width of the inputs.
        inputs: on which noise is measured.
        calibration: other inputs, for the ranges.
        sampled: sets measured in the thesis's way.
        trained: sets that its least squares are fitted to.
        unseen: sets that neither way has seen.
        wide: quantisable layers of the wide profile.
        wide_sets: most sets measured for it.
    """

    side: int = 160
    inputs: int = 20
    calibration: int = 4
    sampled: int = 20
    trained: int = THESIS_SETS
    unseen: int = 100
    wide: int = 32
    wide_sets: int = 300


QUICK = Sizes(side=96, inputs=2, calibration=2, sampled=3, trained=320, unseen=40, wide=14, wide_sets=60)
"""For a try."""


@dataclass(frozen=True)
class Unseen:
    """Predictions of sets that the fit has not seen, drawn as its own.

    Attributes:
        r2: share of the variance explained.
        covered: share of the sets within the fit's stated error.
        error: mean absolute error relative to the mean noise.
    """

    r2: float
    covered: float
    error: float


@dataclass(frozen=True)
class Fast:
    """A profile made the fast way: the fit, its seconds (calibration and loading included), how well it predicts."""

    layers: int
    fit: NoiseFit
    seconds: float
    mean_noise: float
    unseen: Unseen


@dataclass(frozen=True)
class NoiseResults:
    """What the bench found.

    Attributes:
        sizes: how much was measured.
        fast: 12 layers, the fast way.
        sample: of the thesis's way, on the same inputs.
        sample_noise: the fast way's on the same sets.
        thesis_unseen: predictions of the thesis's least squares on the sets of ``fast.unseen``.
        wide: as ``fast``, with many layers.
    """

    sizes: Sizes
    fast: Fast
    sample: ThesisSample
    sample_noise: Floats
    thesis_unseen: Unseen
    wide: Fast


def run(sizes: Sizes, progress: Progress = no_progress) -> NoiseResults:
    """Profile the noise of PP-OCRv4's text detector in both ways.

    The thesis's way is timed on a sample of sets. Its least squares are fitted to as many sets as in the thesis,
    whose noise comes from the fast way: the sample shows how far the two agree.

    Raises:
        InvalidArgumentError: a package with the model or the inputs is missing.
    """
    progress(0.0, "reading the model")
    data = admit(detector(), {INPUT: (1, 3, sizes.side, sizes.side)}).data
    model = onnx.load_model_from_string(data)
    inputs = text_inputs(sizes.calibration + sizes.inputs, sizes.side, 0)
    calibration, inputs = inputs[: sizes.calibration], inputs[sizes.calibration :]
    settings = ModelProfilerSettings()
    fast, staged = _fast(model, settings, calibration, inputs, sizes.unseen, part(progress, 0.0, 0.2))
    layers = read_graph(model, "detector", settings).quantizable
    masks = draw_masks(len(layers), sizes.trained + sizes.unseen, _OTHER_SEED)
    seen, unseen = masks[: sizes.trained], masks[sizes.trained :]
    chosen = seen[len(layers) + 1 :][: sizes.sampled]
    sets = [[layers[index] for index in np.flatnonzero(mask)] for mask in chosen]
    quantization = settings.quantization
    sample = measure_sets(data, sets, calibration, inputs, quantization, part(progress, 0.2, 0.1))
    noise = staged.measure(masks, part(progress, 0.3, 0.2))
    predicted = least_squares(seen, noise[: len(seen)], unseen, settings.noise_degree)
    sample_noise = noise[len(layers) + 1 :][: sizes.sampled]
    thesis = _judge(predicted, noise[len(seen) :], 0.0)
    many = ModelProfilerSettings(quantizable_count=sizes.wide, noise_samples=sizes.wide_sets)
    wide, _ = _fast(model, many, calibration, inputs, sizes.unseen, part(progress, 0.5, 0.5))
    progress(1.0, "noise profiled in both ways")
    return NoiseResults(sizes, fast, sample, sample_noise, thesis, wide)


_OTHER_SEED = 1
"""For sets drawn apart from the profiler's own."""


def _fast(
    model: onnx.ModelProto,
    settings: ModelProfilerSettings,
    calibration: list[dict[str, NDArray[np.generic]]],
    inputs: list[dict[str, NDArray[np.generic]]],
    count: int,
    progress: Progress,
) -> tuple[Fast, StagedNoise]:
    layers = read_graph(model, "detector", settings).quantizable
    start = time.perf_counter()
    ranges = calibrate(model, layers, calibration)
    fit = fit_noise(model, layers, ranges, inputs, settings, part(progress, 0.0, 0.7))
    seconds = time.perf_counter() - start
    own = {mask.tobytes() for mask in draw_masks(len(layers), settings.noise_samples, settings.random_seed)}
    drawn = draw_masks(len(layers), len(own) + count, _OTHER_SEED)
    unseen = np.stack([mask for mask in drawn if mask.tobytes() not in own][-count:])
    staged = StagedNoise(model, layers, ranges, inputs, settings.quantization, mean_absolute_difference)
    noise = staged.measure(unseen, part(progress, 0.7, 0.3))
    chosen = [frozenset(layers[index] for index in np.flatnonzero(mask)) for mask in unseen]
    predicted = np.array([fit.model.predict(names) for names in chosen])
    return Fast(len(layers), fit, seconds, float(noise.mean()), _judge(predicted, noise, fit.error)), staged


def _judge(predicted: Floats, noise: Floats, error: float) -> Unseen:
    errors = np.abs(predicted - noise)
    spread = float(((noise - noise.mean()) ** 2).sum())
    return Unseen(
        r2=1 - float((errors**2).sum()) / spread,
        covered=float((errors <= error).mean()),
        error=float(errors.mean() / noise.mean()),
    )
