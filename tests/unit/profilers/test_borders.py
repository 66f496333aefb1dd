import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.graph import Layer, ModelGraph, Tensor
from core.problem import LayerTime
from core.profiles import ModelProfilerSettings, RuntimeSettings
from model_pool.admission import admit
from profilers.attribution import RunNode, fused_tensors
from profilers.borders import Coefficients, explain, fit
from profilers.execution import profile_execution
from profilers.model_graph import read_graph
from profilers.model_profiler import profile_model
from profilers.random_parts import Part
from tests.unit.models import branching_model, chain_model

SETTINGS = ModelProfilerSettings(noise_samples=10)
PARTS = st.lists(
    st.tuples(*(st.floats(0, 5) for _ in range(3)), st.floats(-0.01, 0.01), st.floats(1e-5, 0.1)), min_size=1
)


def rows(parts):
    crossing = np.array([[one > 0, one, two * 1e6, three * 1e6, three * 5e5] for one, two, three, _, _ in parts])
    layers = np.diag([max(0.0, part[4] - part[3]) for part in parts])
    return crossing, layers, np.array([part[4] for part in parts])


@settings(deadline=None)
@given(PARTS)
def test_no_coefficient_is_below_zero_and_each_stays_in_bounds(parts):
    crossing, layers, seconds = rows(parts)
    found, factors = fit(crossing, layers, seconds)
    assert factors.min() > 0
    assert min(found.start_seconds, found.tensor_seconds, found.entering_seconds_per_byte) >= 0
    assert found.leaving_seconds_per_byte >= 0
    assert found.breaking_seconds_per_byte >= 0


def test_coefficients_are_found_again_where_parts_say_much_of_them():
    random = np.random.default_rng(0)
    crossing = random.uniform(0, 1, (60, 5)) * [1, 5, 4e6, 4e6, 2e6]
    crossing[:, 0] = crossing[:, 0] > 0.2
    real = np.array([2e-4, 1e-4, 2e-10, 1e-10, 4e-10])
    found, _ = fit(crossing, np.zeros((60, 0)), crossing @ real)
    assert found.start_seconds == pytest.approx(2e-4, rel=0.05)
    assert found.tensor_seconds == pytest.approx(1e-4, rel=0.05)
    assert found.entering_seconds_per_byte == pytest.approx(2e-10, rel=0.05)
    assert found.leaving_seconds_per_byte == pytest.approx(1e-10, rel=0.05)
    assert found.breaking_seconds_per_byte == pytest.approx(4e-10, rel=0.05)


def test_layers_that_were_timed_wrongly_are_corrected_by_their_parts():
    random = np.random.default_rng(0)
    real = random.uniform(1e-3, 5e-3, 20)
    wrong = real * random.uniform(0.6, 1.6, 20)
    wrong *= real.sum() / wrong.sum()
    parts = np.array([np.isin(np.arange(20), half) for _ in range(20) for half in random.permutation(20).reshape(4, 5)])
    _, factors = fit(np.zeros((80, 5)), parts * wrong, parts @ real)
    assert np.abs(wrong * factors / real - 1).max() < 0.25 * np.abs(wrong / real - 1).max()
    assert (wrong * factors).sum() == pytest.approx(real.sum(), rel=0.02)


def test_a_few_tiny_tensors_do_not_tell_what_large_ones_take():
    crossing = np.array([[0.0, 0.0, 0.0, 64.0, 64.0], [0.0] * 5])
    found, _ = fit(crossing, np.array([[5e-4, 0.0], [0.0, 1e-3]]), np.array([1e-3, 1e-3]))
    assert 1e6 * (found.leaving_seconds_per_byte + found.breaking_seconds_per_byte) < 1e-3


def test_borders_by_size_precision_and_group():
    coefficients = Coefficients(1.0, 0.5, 0.01, 0.02, 0.04)
    tensor = Tensor("t", 400, "a", ("b",))
    plain, fused = coefficients.border(tensor, False, 0.5), coefficients.border(tensor, True, 0.5)
    assert plain.leaving == pytest.approx((8.0, 2.0))
    assert plain.entering == fused.entering == pytest.approx((5.0, 2.0))
    assert fused.leaving == pytest.approx((24.0, 2.0))


def test_tensors_that_cross_together_share_a_start():
    tensors = (
        Tensor("in", 4, None, ("/0",)),
        Tensor("long", 4, "/0", ("/1", "/2")),
        Tensor("short", 4, "/1", ("/2",)),
        Tensor("alone", 4, "/2", ("/3", None)),
        Tensor("out", 4, "/3", (None,)),
    )
    layers = tuple(Layer(f"/{index}") for index in range(4))
    graph = ModelGraph("fork", layers, tensors)
    times = {layer.name: LayerTime(1.0) for layer in layers}
    # Nothing but starts: one for each part behind the first.
    parts = [
        part_of((f"/{index}",), 0.25 + 0.05 * bool(index), entering=tensors[index : index + 1]) for index in range(4)
    ]
    borders, _ = explain(parts, graph, times, ())
    entering = {name: border.entering_seconds for name, border in borders.items()}
    assert entering.keys() == {"long", "short", "alone"}
    # Alone between the first two layers, with one other between the next two.
    each = entering["short"] / entering["alone"]
    assert entering["long"] / entering["alone"] == pytest.approx((1 + each) / 2, rel=0.1)
    assert each < 1


def part_of(names, share, quantized=(), made_in_int8=(), entering=(), leaving=()):
    return Part(tuple(names), frozenset(quantized), frozenset(made_in_int8), entering, leaving, share)


def test_layers_and_borders_explain_parts():
    tensors = tuple(Tensor(f"t{index}", 4_000_000, f"/{index}", (f"/{index + 1}",)) for index in range(3))
    tensors += (Tensor("out", 4, "/3", (None,)),)
    layers = tuple(Layer(f"/{index}", quantizable=index == 1) for index in range(4))
    graph = ModelGraph("chain", layers, tensors)
    # Each layer takes 1 s in float and the second 0.4 s in int8; the profiler is wrong about some.
    times = {f"/{index}": LayerTime(seconds) for index, seconds in enumerate((0.8, 1.2, 1.0, 1.0))}
    times["/1"] = LayerTime(1.2, 0.6)
    parts = []
    for end in (1, 2, 3):
        names, crossing = [f"/{index}" for index in range(4)], (tensors[end - 1],)
        for int8 in ((), ("/1",)):
            for chosen, border in ((names[:end], {"leaving": crossing}), (names[end:], {"entering": crossing})):
                own = set(int8) & set(chosen)
                parts.append(part_of(chosen, (len(chosen) - 0.6 * len(own)) / 4, own, int8, **border))
    borders, found = explain(parts, graph, times, ())
    assert borders.keys() == {"t0", "t1", "t2"}
    assert sum(time.seconds for time in found.values()) == pytest.approx(4.0)
    assert [time.seconds for time in found.values()] == pytest.approx([1.0] * 4, abs=0.07)
    assert found["/1"].quantized_seconds == pytest.approx(0.4, abs=0.07)
    assert {name for name, time in found.items() if time.quantized_seconds is not None} == {"/1"}


def test_layers_that_only_seem_to_take_more_apart_keep_to_what_they_take_together():
    tensors = tuple(Tensor(f"t{index}", 4, f"/{index}", (f"/{index + 1}",)) for index in range(3))
    graph = ModelGraph("chain", tuple(Layer(f"/{index}", quantizable=True) for index in range(4)), tensors)
    times = {f"/{index}": LayerTime(1.0, 1.0) for index in range(4)}
    names = list(times)
    # Alone each takes 1.5 s in int8, all together 4.4 s.
    parts = [
        part_of([name], share, quantized, quantized)
        for name in names
        for share, quantized in ((0.25, ()), (0.375, (name,)))
    ]
    apart, together = (explain(parts, graph, times, (), seconds)[1] for seconds in (None, 4.4))
    assert sum(time.quantized_seconds for time in apart.values()) > 5.5
    assert sum(time.quantized_seconds for time in together.values()) == pytest.approx(4.4, rel=0.05)
    assert [time.seconds for time in together.values()] == pytest.approx([1.0] * 4, abs=0.05)


def test_without_parts_nothing_is_corrected():
    graph = ModelGraph("one", (Layer("/0"),), (Tensor("out", 4, "/0", (None,)),))
    assert explain([], graph, {"/0": LayerTime(1.0)}, ()) == ({}, {"/0": LayerTime(1.0)})


@pytest.mark.parametrize("make", [branching_model, lambda: chain_model(1)])
def test_borders_of_all_tensors_between_layers_are_measured(make):
    data = admit(make().SerializeToString(), {}).data
    profile = profile_model(data, "hash", "small", [], SETTINGS)
    alone = profile_execution(data, profile, "print", RuntimeSettings(timing="layer-by-layer"))
    assert alone.borders == {}
    found = profile_execution(data, profile, "print", RuntimeSettings())
    expected = {one.name for one in profile.graph.tensors if one.source is not None and any(one.consumers)}
    assert found.borders.keys() == expected
    assert found.layers.keys() == alone.layers.keys()
    assert sum(time.seconds for time in found.layers.values()) == pytest.approx(found.whole_seconds)


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
