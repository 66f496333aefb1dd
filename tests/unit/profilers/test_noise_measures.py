import sys
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidArgumentError, InvalidModelError
from core.profiles import ModelProfilerSettings
from model_divider.quantize import calibrate
from profilers.model_graph import read_graph
from profilers.noise import fit_noise
from profilers.noise_measures import NAMED, find_measure
from tests.unit.models import chain_model, random_inputs
from tests.unit.profilers.shapes import shaped


def boxes(*rows):
    """A YOLO head of three classes and ten places: centre, size, class and score of the first ones."""
    head = np.zeros((1, 7, 10), np.float32)
    for place, (x, y, width, height, kind, score) in enumerate(rows):
        head[0, :4, place] = x, y, width, height
        head[0, 4 + kind, place] = score
    return {"output0": head}


@pytest.mark.parametrize("name", NAMED)
@given(st.integers(0, 2**16))
def test_equal_outputs_have_no_noise(name, seed):
    outputs = {"scores": np.random.default_rng(seed).standard_normal((1, 7, 10)).astype(np.float32)}
    assert find_measure(name)(outputs, outputs) == 0


def test_mean_absolute_difference_is_over_all_elements():
    expected = {"a": np.zeros(3, np.float32), "b": np.zeros((1, 1), np.float32)}
    given_out = {"a": np.float32([1, -1, 0]), "b": np.float32([[2]])}
    assert find_measure("mean-absolute-difference")(expected, given_out) == 1


def test_top_1_counts_the_places_where_another_class_wins():
    expected = {"text": np.eye(4, 5, dtype=np.float32)[None]}
    given_out = {"text": expected["text"].copy()}
    given_out["text"][0, 2] = [9, 0, 0, 0, 0]
    assert find_measure("top-1-agreement")(expected, given_out) == 0.25


@pytest.mark.parametrize(
    ("given_out", "noise"),
    [
        (boxes((50, 50, 20, 20, 0, 0.9), (10, 10, 8, 8, 1, 0.5)), 0),
        (boxes((51, 50, 20, 21, 0, 0.6), (10, 10, 8, 8, 1, 0.3)), 0),  # moved a little, less sure
        (boxes((50, 50, 20, 20, 2, 0.9), (10, 10, 8, 8, 1, 0.5)), 0.5),  # another class
        (boxes((50, 50, 20, 20, 0, 0.9)), 1 / 3),  # one lost: 2 of 3
        (boxes((90, 50, 20, 20, 0, 0.9), (10, 10, 8, 8, 1, 0.2)), 1),  # elsewhere, and below the least score
        (boxes((50, 50, 20, 20, 0, 0.9), (52, 50, 20, 20, 0, 0.8), (10, 10, 8, 8, 1, 0.5)), 0),  # overlapping twin
    ],
)
def test_detections_agree_where_class_and_place_do(given_out, noise):
    expected = boxes((50, 50, 20, 20, 0, 0.9), (10, 10, 8, 8, 1, 0.5))
    assert find_measure("detection-agreement")(expected, given_out) == pytest.approx(noise)


def test_mask_coefficients_are_no_classes():
    with_masks = {"output0": np.zeros((1, 7, 10), np.float32), "output1": np.zeros((1, 2, 4, 4), np.float32)}
    without = {name: array.copy() for name, array in with_masks.items()}
    with_masks["output0"][0, 5:] = 5  # the last two of three
    assert find_measure("detection-agreement")(with_masks, without) == 0


def test_ready_made_detections_are_read():
    rows = np.float32([[[0, 0, 10, 10, 0.9, 3], [20, 20, 30, 30, 0.8, 1]]])
    assert find_measure("detection-agreement")({"found": rows}, {"found": rows[:, :1]}) == pytest.approx(1 / 3)


@pytest.mark.parametrize("name", ["detection-agreement", "top-1-agreement"])
def test_outputs_that_a_measure_cannot_read_are_refused(name):
    outputs = {"picture": np.zeros((1, 1), np.float32)}
    with pytest.raises(InvalidArgumentError, match=rf"{name}.*choose another measure"):
        find_measure(name)(outputs, outputs)


@pytest.mark.parametrize("name", ["mean-absolute-difference", "top-1-agreement"])
def test_shapes_that_depend_on_values_are_refused(name):
    with pytest.raises(InvalidModelError, match="'found' changes its shape"):
        find_measure(name)({"found": np.zeros((3, 2))}, {"found": np.zeros((4, 2))})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mean", "no noise measure 'mean'; choose mean-absolute-difference, top-1-agreement"),
        ("numpy:", "no noise measure 'numpy:'"),
        ("no_such_module:noise", "cannot be imported .*No module named 'no_such_module'"),
        ("numpy:no_such_function", "module 'numpy' has no function 'no_such_function'"),
        ("numpy:pi", "has no function 'pi'"),
    ],
)
def test_a_wrong_name_is_told(name, message):
    with pytest.raises(InvalidArgumentError, match=message):
        find_measure(name)


@pytest.fixture
def own_module(monkeypatch):
    module = types.ModuleType("own_noise")
    monkeypatch.setitem(sys.modules, "own_noise", module)
    return module


def test_the_polynomial_is_fitted_to_a_users_function(own_module):
    own_module.largest = lambda expected, given: max(np.abs(expected[name] - given[name]).max() for name in expected)
    model = shaped(chain_model(3))
    layers = read_graph(model, "chain", ModelProfilerSettings()).quantizable
    inputs = [random_inputs(model, seed) for seed in (0, 1)]
    ranges = calibrate(model, layers, inputs)
    everything = frozenset(layers)
    mean, largest = (
        fit_noise(model, layers, ranges, inputs, ModelProfilerSettings(noise_measure=name)).model.predict(everything)
        for name in ("mean-absolute-difference", "own_noise:largest")
    )
    assert largest > 2 * mean


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda expected, given: expected["nowhere"], "failed .KeyError: 'nowhere'"),
        (lambda expected, given: "much", "failed .ValueError"),
        (lambda expected, given: float("nan"), "returned nan; it must return a finite number"),
        (lambda expected: 0.0, "failed .TypeError"),
    ],
)
def test_a_users_function_that_fails_is_named(own_module, function, message):
    own_module.noise = function
    outputs = {"a": np.zeros(2)}
    with pytest.raises(InvalidArgumentError, match=f"'own_noise:noise' {message}"):
        find_measure("own_noise:noise")(outputs, outputs)
