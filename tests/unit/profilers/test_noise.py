from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidModelError, InvalidTensorError
from core.profiles import ModelProfilerSettings, QuantizationSettings, RuntimeSettings
from inferencer.session import Session
from model_divider.quantize import calibrate, quantize
from profilers.model_graph import read_graph
from profilers.noise import draw_masks, fit_noise, measure_noise
from profilers.noise_measures import mean_absolute_difference
from profilers.noise_stages import StagedNoise
from tests.unit.models import Builder, chain_model, random_inputs, residual_model
from tests.unit.profilers.shapes import shaped


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 200), st.integers(0, 2**16))
def test_masks_are_distinct_and_include_singles_and_all(layers, samples, seed):
    masks = draw_masks(layers, samples, seed)
    assert len({mask.tobytes() for mask in masks}) == len(masks)
    assert len(masks) == min(2**layers - 1, max(samples, layers + 1))
    sizes = masks.sum(axis=1).tolist()
    assert min(sizes) == 1
    assert max(sizes) == layers
    assert sizes.count(1) == layers
    assert (masks == draw_masks(layers, samples, seed)).all()


def test_sizes_are_drawn_evenly():
    sizes = draw_masks(12, 1000, 0).sum(axis=1)
    counts = np.bincount(sizes[13:], minlength=13)[3:10]
    assert counts.min() > 60
    assert counts.max() < 170


def test_noise_is_the_mean_over_inputs_of_the_mean_over_all_outputs():
    model = shaped(residual_model())
    layers = read_graph(model, "residual", ModelProfilerSettings()).quantizable
    ranges = calibrate(model, layers, [random_inputs(model, 0)])
    inputs = [random_inputs(model, seed) for seed in (1, 2)]
    settings = QuantizationSettings()
    noise = measure_noise(model, [[layers[0]], list(layers)], ranges, inputs, settings)
    float_session = Session(model.SerializeToString(), RuntimeSettings())
    for index, chosen in enumerate(([layers[0]], layers)):
        session = Session(quantize(model, chosen, ranges, settings).SerializeToString(), RuntimeSettings())
        each = []
        for item in inputs:
            expected, given_out = float_session.run(item), session.run(item)
            differences = np.concatenate([np.abs(expected[key] - given_out[key]).ravel() for key in expected])
            each.append(differences.mean())
        assert noise[index] == pytest.approx(np.mean(each), rel=1e-3)
    assert 0 < noise[0] < noise[1]


def test_few_layers_are_measured_completely_and_predicted_within_the_residual():
    model = shaped(chain_model(3))
    layers = read_graph(model, "chain", ModelProfilerSettings()).quantizable
    ranges = calibrate(model, layers, [random_inputs(model, 0)])
    inputs = [random_inputs(model, 1)]
    settings = ModelProfilerSettings(noise_degree=2)
    steps = []
    fit = fit_noise(model, layers, ranges, inputs, settings, lambda fraction, message: steps.append(fraction))
    assert fit.samples == 7
    assert steps == sorted(steps)
    assert steps[-1] == 1
    sets = [[layers[0]], list(layers[1:]), list(layers)]
    for chosen, noise in zip(sets, measure_noise(model, sets, ranges, inputs, settings.quantization), strict=True):
        assert fit.model.predict(frozenset(chosen)) == pytest.approx(noise, abs=fit.residual + 1e-6)


def test_measuring_stops_where_unseen_sets_are_predicted():
    model = shaped(chain_model(9))
    settings = ModelProfilerSettings(noise_samples=300, noise_r2=0.95)
    layers = read_graph(model, "chain", settings).quantizable
    ranges = calibrate(model, layers, [random_inputs(model, 0)])
    inputs = [random_inputs(model, seed) for seed in range(1, 5)]
    fit = fit_noise(model, layers, ranges, inputs, settings)
    assert 36 <= fit.samples < 300
    unseen = draw_masks(9, 400, 9)[-60:]
    sets = [[layers[index] for index in np.flatnonzero(mask)] for mask in unseen]
    noise = StagedNoise(model, layers, ranges, inputs, settings.quantization, mean_absolute_difference).measure(unseen)
    errors = np.abs([fit.model.predict(frozenset(names)) for names in sets] - noise)
    assert 1 - (errors**2).sum() / ((noise - noise.mean()) ** 2).sum() > 0.93
    assert fit.confidence == 0.95
    assert fit.inputs == 4
    assert 0 < fit.inputs_error < 1
    assert (errors <= fit.error).mean() >= 0.85
    assert 0 < fit.error <= fit.residual
    exact = fit_noise(model, layers, ranges, inputs, replace(settings, noise_samples=60, noise_r2=1.0))
    assert exact.samples == 60


def test_the_spread_over_inputs_is_known_from_two_inputs_on():
    model = shaped(chain_model(4))
    layers = read_graph(model, "chain", ModelProfilerSettings()).quantizable
    ranges = calibrate(model, layers, [random_inputs(model, 0)])
    inputs = [random_inputs(model, seed) for seed in (1, 1, 2)]
    spreads = [
        fit_noise(model, layers, ranges, inputs[:count], ModelProfilerSettings()).inputs_error for count in (1, 2, 3)
    ]
    assert spreads[:2] == [0, 0]
    assert spreads[2] > 0


def test_outputs_that_are_not_finite_are_refused():
    net = Builder()
    net.node("Log", net.node("Sub", net.node("MatMul", "x", net.weight(4, 4)), "x"), result="y")
    model = shaped(net.model({"x": [1, 4]}, {"y": [1, 4]}))
    layers = ["/matmul_0"]
    inputs = [random_inputs(model, 0)]
    with pytest.raises(InvalidModelError, match="not finite"):
        fit_noise(model, layers, calibrate(model, layers, inputs), inputs, ModelProfilerSettings())


def test_no_input_is_refused():
    model = shaped(chain_model(2))
    with pytest.raises(InvalidTensorError, match="at least one"):
        measure_noise(model, [], {}, [], QuantizationSettings())
