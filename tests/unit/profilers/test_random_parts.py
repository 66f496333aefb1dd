import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.profiles import ModelProfilerSettings, RuntimeSettings
from core.progress import no_progress
from model_divider.quantize import calibrate, quantize
from model_pool.admission import admit
from profilers.model_graph import read_graph
from profilers.random_parts import _likely_cuts, time_random_parts
from tests.unit.models import Builder, chain_model, random_inputs, residual_model
from tests.unit.profilers.shapes import shaped

SETTINGS = ModelProfilerSettings(wire_count=0)


def alike(graph):
    return dict.fromkeys(graph.by_name, 1e-3)


@pytest.mark.parametrize("make", [residual_model, lambda: chain_model(2)])
def test_parts_of_each_cut_are_the_whole_model(make):
    model = onnx.load_model_from_string(admit(make().SerializeToString(), {}).data)
    graph = read_graph(model, "small", SETTINGS)
    inputs = random_inputs(model)
    ranges = calibrate(model, graph.quantizable, [inputs])
    asked = []

    def quantized(layers):
        asked.append(frozenset(layers))
        return quantize(model, layers, ranges, SETTINGS.quantization)

    parts = time_random_parts(graph, quantized, RuntimeSettings(slowdown=1e9), inputs, alike(graph), 0, no_progress)
    assert all(part.share > 0 for part in parts)
    tensors = {tensor.name: tensor for tensor in graph.tensors}
    cuts, layers = [[]], []
    for part in parts:
        cuts[-1].append(part)
        layers += part.layers
        if len(layers) == len(graph.layers):
            assert {*layers} == graph.by_name.keys()
            cuts.append([])
            layers = []
    assert not cuts.pop()
    for cut in cuts:
        assert frozenset().union(*(part.quantized for part in cut)) == cut[0].made_in_int8
        for part in cut:
            assert all(tensor.source in part.layers for tensor in part.leaving)
            assert all(tensor.source not in part.layers for tensor in part.entering)
            assert all({*part.layers} & {*tensors[tensor.name].consumers} for tensor in part.entering)
    # The first is the whole model in float; then every other cut has int8 layers.
    assert asked[:2] == [frozenset()] * 2
    assert {cut[0].made_in_int8 for cut in cuts} == {*asked}
    assert len({*asked}) > 1


def test_a_single_layer_is_not_cut():
    net = Builder()
    net.node("Relu", "x", result="y")
    model = shaped(net.model({"x": [1, 4]}, {"y": [1, 4]}))
    graph = read_graph(model, "relu", SETTINGS)
    inputs = random_inputs(model)
    assert not time_random_parts(graph, lambda _: model, RuntimeSettings(), inputs, alike(graph), 0, no_progress)


def test_cuts_are_more_likely_beside_layers_that_take_long():
    assert _likely_cuts(np.array([1.0, 1.0, 1.0, 1.0, 1.0])) == pytest.approx([0.25] * 4)
    assert _likely_cuts(np.array([0.0, 0.0, 8.0, 0.0, 0.0])) == pytest.approx(
        [1 / 8, 1 / 8 + 1 / 4, 1 / 8 + 1 / 4, 1 / 8]
    )
    # Nothing is known of times that are all nothing.
    assert _likely_cuts(np.zeros(3)) == pytest.approx([0.5] * 2)
    assert not _likely_cuts(np.ones(1)).size


@given(arrays(np.float64, st.integers(2, 50), elements=st.floats(0, 1e3)))
def test_cuts_are_somewhere_and_possible_everywhere(seconds):
    likely = _likely_cuts(seconds)
    assert likely.sum() == pytest.approx(1)
    assert likely.min() >= 0.4999 / len(likely)
