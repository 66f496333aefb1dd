import numpy as np
import pytest

from core.documents import dumps, loads
from core.errors import InvalidTensorError
from core.profiles import ModelProfile, ModelProfilerSettings
from model_divider.quantize import calibrate
from profilers.model_profiler import profile_model
from profilers.noise import measure_noise
from tests.unit.models import Builder, attention_model, chain_model, random_inputs, residual_model
from tests.unit.profilers.shapes import shaped

SETTINGS = ModelProfilerSettings(noise_samples=30)


@pytest.mark.parametrize("make", [residual_model, attention_model])
def test_a_profile_is_complete_and_survives_its_document(make):
    model = shaped(make())
    inputs = [random_inputs(model, seed) for seed in range(4)]
    steps = []
    profile = profile_model(
        model.SerializeToString(), "hash", "small", inputs, SETTINGS, lambda fraction, message: steps.append(fraction)
    )
    assert profile.model == "hash"
    assert profile.graph.name == "small"
    assert profile.noise is not None
    assert {name for term in profile.noise.model.terms for name in term.layers} <= set(profile.graph.quantizable)
    assert steps == sorted(steps)
    assert steps[-1] == 1
    assert loads(dumps(profile), ModelProfile) == profile


def test_noise_is_measured_on_inputs_that_calibration_did_not_see():
    model = shaped(chain_model(3))
    inputs = [random_inputs(model, seed) for seed in range(3)]
    inputs[1] = {name: 10 * array for name, array in inputs[1].items()}
    profile = profile_model(model.SerializeToString(), "hash", "chain", inputs, SETTINGS)
    layers = profile.graph.quantizable
    assert profile.ranges == calibrate(model, layers, [inputs[0], inputs[2]])
    noise = measure_noise(model, [layers], profile.ranges, [inputs[1]], SETTINGS.quantization)
    assert profile.noise is not None
    assert profile.noise.model.predict(frozenset(layers)) == pytest.approx(noise[0], rel=1e-3)


def test_a_single_input_serves_both_ends_and_none_is_made_up_repeatably():
    model = shaped(chain_model(2))
    data = model.SerializeToString()
    single = profile_model(data, "hash", "chain", [random_inputs(model)], SETTINGS)
    assert single.noise is not None
    assert single.noise.samples == 3
    assert profile_model(data, "hash", "chain", [], SETTINGS) == profile_model(data, "hash", "chain", [], SETTINGS)


def test_a_model_without_quantisable_layers_has_no_noise():
    net = Builder()
    net.node("Relu", "x", result="y")
    model = net.model({"x": [1, 4]}, {"y": [1, 4]})
    profile = profile_model(model.SerializeToString(), "hash", "relu", [], SETTINGS)
    assert profile.noise is None
    assert profile.ranges == {}
    assert [spec.name for spec in profile.inputs] == ["x"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"images": np.zeros((1, 3, 8, 9), np.float32)},
        {"images": np.zeros((1, 3, 8, 8), np.float64)},
        {"picture": np.zeros((1, 3, 8, 8), np.float32)},
    ],
)
def test_inputs_that_do_not_fit_are_refused(wrong):
    model = shaped(chain_model(2))
    with pytest.raises(InvalidTensorError):
        profile_model(model.SerializeToString(), "hash", "chain", [random_inputs(model), wrong], SETTINGS)
