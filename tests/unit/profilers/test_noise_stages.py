import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidArgumentError, InvalidTensorError
from core.profiles import QuantizationSettings, RuntimeSettings
from model_divider.quantize import QUANTIZABLE_OPERATORS, calibrate
from profilers.noise import draw_masks, measure_noise
from profilers.noise_measures import mean_absolute_difference
from profilers.noise_stages import StagedModel, StagedNoise
from tests.unit.models import SMALL_MODELS, random_inputs, residual_model
from tests.unit.plans import run
from tests.unit.profilers.shapes import shaped

SETTINGS = [QuantizationSettings(kind, channel) for kind in ("uint8", "int8") for channel in (False, True)]


def weighted_layers(model) -> list[str]:
    constants = {tensor.name for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in QUANTIZABLE_OPERATORS and constants & set(node.input[:2])
    ]


def staged(model, inputs, measure=mean_absolute_difference, quantization=SETTINGS[0]):
    layers = weighted_layers(model)
    ranges = calibrate(model, layers, [random_inputs(model, 0)])
    return StagedNoise(model, layers, ranges, inputs, quantization, measure), layers, ranges


@pytest.mark.parametrize("quantization", SETTINGS, ids=str)
@pytest.mark.parametrize("make", SMALL_MODELS.values(), ids=SMALL_MODELS)
def test_stages_measure_what_whole_quantised_models_measure(make, quantization):
    model = shaped(make())
    inputs = [random_inputs(model, seed) for seed in (1, 2, 3)]
    noise, layers, ranges = staged(model, inputs, quantization=quantization)
    masks = draw_masks(len(layers), 12, 0)
    sets = [[layers[index] for index in np.flatnonzero(mask)] for mask in masks]
    whole = measure_noise(model, sets, ranges, inputs, quantization)
    steps = []
    found = noise.measure(masks, lambda fraction, message: steps.append(fraction))
    # A single rounding step may fall to the other side where a fusion of the whole model is cut.
    assert found == pytest.approx(whole, rel=0.1, abs=1e-6)
    assert np.median(np.abs(found / whole - 1)) < 0.01
    assert steps == sorted(steps)
    assert steps[-1] == 1


def test_in_float_the_stages_are_the_model():
    model = shaped(residual_model())
    layers = weighted_layers(model)
    ranges = calibrate(model, layers, [random_inputs(model, 0)])
    stages = StagedModel.build(model, layers, ranges, SETTINGS[0], RuntimeSettings())
    inputs = random_inputs(model, 5)
    outputs = next(stages.run(np.zeros((1, len(layers)), bool), inputs))
    expected = run(model.SerializeToString(), inputs)
    assert outputs.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(outputs[name], array, atol=1e-6)
    assert len(stages.stages) <= 2 * len(layers) + 1
    assert {stage.layer for stage in stages.stages} - {None} == set(range(len(layers)))


MODEL = shaped(residual_model())
NOISE, LAYERS, _ = staged(MODEL, [random_inputs(MODEL, 1)])
ALL = draw_masks(len(LAYERS), 2 ** len(LAYERS), 0)
MEASURED = NOISE.measure(ALL)


@settings(deadline=None, max_examples=15)
@given(st.permutations(range(len(ALL))), st.integers(1, 20))
def test_the_noise_of_a_set_does_not_depend_on_its_neighbours(order, count):
    chosen = order[:count]
    assert (NOISE.measure(ALL[chosen]) == MEASURED[chosen]).all()


def test_no_input_is_refused():
    with pytest.raises(InvalidTensorError, match="at least one"):
        staged(MODEL, [])


def test_a_measure_that_is_not_zero_for_equal_outputs_is_refused():
    noise, layers, _ = staged(MODEL, [random_inputs(MODEL, 1)], measure=lambda expected, given: 1.0)
    with pytest.raises(InvalidArgumentError, match="must be 0"):
        noise.measure(np.ones((1, len(layers)), bool))
