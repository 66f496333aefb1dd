import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.graph import Tensor
from core.profiles import ModelProfilerSettings, RuntimeSettings
from model_pool.admission import admit
from profilers.attribution import RunNode, fused_tensors
from profilers.borders import Coefficients, fit, time_borders
from profilers.execution import profile_execution
from profilers.model_graph import read_graph
from profilers.model_profiler import profile_model
from tests.unit.models import branching_model, chain_model, random_inputs, residual_model

SETTINGS = ModelProfilerSettings(noise_samples=10)
PARTS = st.lists(
    st.tuples(*(st.floats(0, 5) for _ in range(3)), st.floats(-0.01, 0.01), st.floats(1e-5, 0.1)), min_size=1
)


def rows(parts):
    crossing = np.array([[one, two * 1e6, three * 1e6, three * 5e5] for one, two, three, _, _ in parts])
    layers = np.diag([max(0.0, part[4] - part[3]) for part in parts])
    return crossing, layers, np.array([part[4] for part in parts])


@settings(deadline=None)
@given(PARTS)
def test_no_coefficient_is_below_zero_and_each_stays_in_bounds(parts):
    crossing, layers, seconds = rows(parts)
    found, factors = fit(crossing, layers, seconds)
    assert factors.min() > 0
    values = np.array([found.start_seconds, *(1e6 * one for one in (found.entering_seconds_per_byte,))])
    assert (values >= 0).all()
    assert found.leaving_seconds_per_byte >= 0
    assert found.breaking_seconds_per_byte >= 0


def test_coefficients_are_found_again_where_parts_say_much_of_them():
    random = np.random.default_rng(0)
    crossing = random.uniform(0, 1, (60, 4)) * [5, 4e6, 4e6, 2e6]
    real = np.array([1e-4, 2e-10, 1e-10, 4e-10])
    found, _ = fit(crossing, np.zeros((60, 0)), crossing @ real)
    assert found.start_seconds == pytest.approx(1e-4, rel=0.05)
    assert found.entering_seconds_per_byte == pytest.approx(2e-10, rel=0.05)
    assert found.leaving_seconds_per_byte == pytest.approx(1e-10, rel=0.05)
    assert found.breaking_seconds_per_byte == pytest.approx(4e-10, rel=0.05)


def test_layers_that_were_timed_wrongly_are_corrected_by_their_parts():
    random = np.random.default_rng(0)
    real = random.uniform(1e-3, 5e-3, 20)
    wrong = real * random.uniform(0.6, 1.6, 20)
    wrong *= real.sum() / wrong.sum()
    parts = np.array([np.isin(np.arange(20), half) for _ in range(20) for half in random.permutation(20).reshape(4, 5)])
    _, factors = fit(np.zeros((80, 4)), parts * wrong, parts @ real)
    assert np.abs(wrong * factors / real - 1).max() < 0.25 * np.abs(wrong / real - 1).max()
    assert (wrong * factors).sum() == pytest.approx(real.sum(), rel=0.02)


def test_a_few_tiny_tensors_do_not_tell_what_large_ones_take():
    crossing = np.array([[0.0, 0.0, 64.0, 64.0], [0.0, 0.0, 0.0, 0.0]])
    found, _ = fit(crossing, np.array([[5e-4, 0.0], [0.0, 1e-3]]), np.array([1e-3, 1e-3]))
    assert 1e6 * (found.leaving_seconds_per_byte + found.breaking_seconds_per_byte) < 1e-3


def test_borders_by_size_precision_and_group():
    coefficients = Coefficients(1.0, 0.01, 0.02, 0.04)
    tensor = Tensor("t", 400, "a", ("b",))
    plain, fused = coefficients.border(tensor, False), coefficients.border(tensor, True)
    assert plain.leaving == pytest.approx((8.0, 2.0))
    assert plain.entering == fused.entering == pytest.approx((5.0, 2.0))
    assert fused.leaving == pytest.approx((24.0, 2.0))


@pytest.mark.parametrize("make", [branching_model, lambda: chain_model(1)])
def test_borders_of_all_tensors_between_layers_are_measured(make):
    data = admit(make().SerializeToString(), {}).data
    model = onnx.load_model_from_string(data)
    profile = profile_model(data, "hash", "small", [], SETTINGS)
    times = profile_execution(data, profile, "print", RuntimeSettings(timing="layer-by-layer"))
    assert times.borders == {}
    inputs = random_inputs(model)
    found, floats = time_borders(model, profile.graph, times.layers, (), RuntimeSettings(), inputs, seed=0)
    expected = {one.name for one in profile.graph.tensors if one.source is not None and any(one.consumers)}
    assert found.keys() == expected
    assert floats.keys() == times.layers.keys()
    assert sum(floats.values()) == pytest.approx(sum(time.seconds for time in times.layers.values()))


def test_a_slow_down_slows_borders():
    data = admit(residual_model().SerializeToString(), {}).data
    profile = profile_model(data, "hash", "small", [], SETTINGS)
    result = profile_execution(data, profile, "print", RuntimeSettings(slowdown=1e9))
    total = sum(sum((*border.leaving, *border.entering)) for border in result.borders.values())
    assert total > 100


def test_tensors_inside_one_node_are_fused():
    model = onnx.load_model_from_string(admit(chain_model(2).SerializeToString(), {}).data)
    graph = read_graph(model, "chain", SETTINGS)
    conv, relu = (node.output[0] for node in model.graph.node[:2])
    label = "partita-layer-{}-0".format
    nodes = [
        RunNode("partita-layer-0-node", (), (label(1),), 1.0),
        RunNode("partita-layer-2-node", (), (label(2),), 1.0),
    ]
    nodes.append(RunNode("partita-layer-3-node", (), (label(3),), 1.0))
    assert fused_tensors(nodes, graph) == {conv}
    assert relu not in fused_tensors(nodes, graph)
