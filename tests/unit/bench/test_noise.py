"""What the noise bench compares with: the thesis's evaluator and its least squares."""

import numpy as np
import pytest

from bench.noise.inputs import text_inputs
from bench.noise.thesis_way import least_squares, measure_sets
from core.profiles import QuantizationSettings
from core.progress import no_progress
from model_divider.quantize import calibrate
from profilers.noise import draw_masks, measure_noise
from tests.unit.models import chain_model, random_inputs
from tests.unit.profilers.shapes import shaped


@pytest.mark.parametrize("settings", [QuantizationSettings(), QuantizationSettings("int8", per_channel=False)], ids=str)
def test_both_ways_measure_alike(settings):
    model = shaped(chain_model(3))
    layers = [node.name for node in model.graph.node if node.op_type == "Conv"]
    calibration, inputs = [random_inputs(model, 0)], [random_inputs(model, 1), random_inputs(model, 2)]
    sets = [layers[:1], layers[1:], layers]
    ours = measure_noise(model, sets, calibrate(model, layers, calibration), inputs, settings)
    theirs = measure_sets(model.SerializeToString(), sets, calibration, inputs, settings, no_progress)
    assert theirs.noise == pytest.approx(ours, rel=0.1)
    assert theirs.seconds > 0


def test_least_squares_finds_a_polynomial():
    masks = draw_masks(6, 60, 0)
    noise = 1 + masks[:, 0] + 2.0 * (masks[:, 1] & masks[:, 2]) - (masks[:, 3] & masks[:, 4] & masks[:, 5])
    assert least_squares(masks[:50], noise[:50], masks[50:], 3) == pytest.approx(noise[50:])


def test_inputs_are_repeatable_pictures():
    one, other = (text_inputs(3, 32, 5) for _ in range(2))
    assert [item["x"].shape for item in one] == [(1, 3, 32, 32)] * 3
    assert all((mine["x"] == theirs["x"]).all() for mine, theirs in zip(one, other, strict=True))
    assert not (one[0]["x"] == one[2]["x"]).all()
    assert -1 <= np.min(one[0]["x"]) < np.max(one[0]["x"]) <= 1
