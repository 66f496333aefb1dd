import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.graph import Layer, ModelGraph, Tensor
from core.profiles import ModelProfilerSettings, RuntimeSettings
from inferencer.session import Session
from model_divider.quantize import calibrate, quantize
from profilers.attribution import RunNode, attribute_seconds
from profilers.labels import labelled, labels_in
from profilers.model_graph import read_graph
from profilers.node_times import time_nodes
from tests.unit.models import SMALL_MODELS, branching_model, random_inputs
from tests.unit.profilers.shapes import shaped


def chain(*flops: float) -> ModelGraph:
    names = [f"/{index}" for index in range(len(flops))]
    tensors = [
        Tensor(f"t{index}", 4, name, (after,))
        for index, (name, after) in enumerate(zip(names, [*names[1:], None], strict=True))
    ]
    return ModelGraph(
        "chain",
        tuple(Layer(name, flops=value) for name, value in zip(names, flops, strict=True)),
        (Tensor("x", 4, None, (names[0],)), *tensors),
    )


def label(layer: int) -> str:
    return f"partita-layer-{layer}-"


def test_a_node_belongs_to_the_layer_its_name_or_output_tells():
    nodes = [
        RunNode(f"{label(0)}node_nchwc", ("x",), ("token",), 1.0),
        RunNode("whatever", ("token",), (f"{label(1)}0",), 2.0),
    ]
    assert attribute_seconds(nodes, chain(1, 1)) == {"/0": 1.0, "/1": 2.0}


def test_a_fused_layer_shares_by_flops_with_its_consumer():
    nodes = [RunNode(f"{label(1)}fused", ("x",), ("token",), 4.0), RunNode(f"{label(2)}node", ("token",), ("y",), 1.0)]
    assert attribute_seconds(nodes, chain(3, 1, 5)) == {"/0": 3.0, "/1": 1.0, "/2": 1.0}


def test_a_change_of_layout_belongs_to_its_reader_else_to_its_maker():
    nodes = [
        RunNode("ReorderInput", ("x",), ("a",), 0.5),
        RunNode(f"{label(0)}node", ("a",), ("b",), 1.0),
        RunNode(f"{label(1)}node", ("b",), ("c",), 1.0),
        RunNode("ReorderOutput", ("c",), ("y",), 0.25),
    ]
    assert attribute_seconds(nodes, chain(1, 1)) == {"/0": 1.5, "/1": 1.25}


def test_one_node_for_the_whole_model_is_divided_by_flops():
    nodes = [RunNode("engine", ("x",), (f"{label(3)}0",), 10.0)]
    assert attribute_seconds(nodes, chain(4, 0, 5, 1)) == {"/0": 4.0, "/1": 0.0, "/2": 5.0, "/3": 1.0}


@settings(deadline=None)
@given(st.data())
def test_time_is_neither_lost_nor_made(data):
    count = data.draw(st.integers(1, 8))
    flops = data.draw(st.lists(st.floats(0, 1e9), min_size=count, max_size=count))
    labels = data.draw(st.lists(st.one_of(st.none(), st.integers(0, count - 1)), min_size=1, max_size=12))
    labels[0] = 0
    seconds = data.draw(st.lists(st.floats(0, 10), min_size=len(labels), max_size=len(labels)))
    nodes = [
        RunNode("helper" if number is None else f"{label(number)}n", (f"t{index}",), (f"t{index + 1}",), value)
        for index, (number, value) in enumerate(zip(labels, seconds, strict=True))
    ]
    times = attribute_seconds(nodes, chain(*flops))
    assert sum(times.values()) == pytest.approx(sum(seconds))
    assert min(times.values()) >= 0


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_labels_change_names_only(name):
    model = shaped(SMALL_MODELS[name]())
    layers = read_graph(model, name, ModelProfilerSettings()).quantizable
    inputs = random_inputs(model)
    mixed = quantize(model, layers, calibrate(model, layers, [inputs]), ModelProfilerSettings().quantization)
    for version in (model, mixed):
        renamed = labelled(version, model)
        onnx.checker.check_model(renamed, full_check=True)
        expected = Session(version.SerializeToString(), RuntimeSettings()).run(inputs)
        given_out = Session(renamed.SerializeToString(), RuntimeSettings()).run(inputs)
        for one, other in zip(expected.values(), given_out.values(), strict=True):
            assert (one == other).all()
        numbers = [labels_in([node.name]) for node in renamed.graph.node]
        assert {number for found in numbers for number in found} == set(range(len(model.graph.node)))
        for node, found in zip(renamed.graph.node, numbers, strict=True):
            assert not found or labels_in(node.output) == found  # fused nodes may be named after either


def test_labels_reach_into_bodies():
    model = branching_model()
    for node in model.graph.node:
        node.name = f"/{node.output[0]}"
    renamed = labelled(model, model)
    onnx.checker.check_model(renamed, full_check=True)
    inputs = random_inputs(model)
    one = Session(model.SerializeToString(), RuntimeSettings()).run(inputs)
    other = Session(renamed.SerializeToString(), RuntimeSettings()).run(inputs)
    assert (one["x"] == other["x"]).all()
    assert (one["y"] == other[f"{label(2)}0"]).all()


def test_every_node_of_an_optimised_session_finds_its_layers():
    model = SMALL_MODELS["residual"]()
    graph = read_graph(model, "residual", ModelProfilerSettings())
    nodes = time_nodes(labelled(model, model).SerializeToString(), RuntimeSettings(), random_inputs(model), 3)
    assert len(nodes) != len(graph.layers)
    times = attribute_seconds(nodes, graph)
    assert sum(times.values()) == pytest.approx(sum(node.seconds for node in nodes))
    assert times.keys() == graph.by_name.keys()
