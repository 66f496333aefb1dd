import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st

from core.graph import GENERATOR, RECEIVER, Layer, ModelGraph, Tensor
from optimizer.components import group, plan_components
from tests.unit.optimizer.strategies import SERVERS, model_graphs

Placed = tuple[ModelGraph, dict[str, str]]


@st.composite
def placed_graphs(draw: st.DrawFn) -> Placed:
    model = draw(model_graphs(most_layers=25))
    servers = SERVERS[: draw(st.integers(1, 4))]
    return model, {layer: draw(st.sampled_from(servers)) for layer in model.by_name}


def quotient(model: ModelGraph, members: list[list[str]]) -> "nx.DiGraph[int]":
    component = {layer: index for index, layers in enumerate(members) for layer in layers}
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(range(len(members)))
    edges = ((component[source], component[target]) for source, target in model.digraph.edges)
    graph.add_edges_from(edge for edge in edges if edge[0] != edge[1])
    return graph


@settings(deadline=None, max_examples=100)
@given(placed_graphs())
def test_invariants(placed: Placed) -> None:
    model, placement = placed
    members = group(model, placement)
    assert sorted(layer for layers in members for layer in layers) == sorted([GENERATOR, RECEIVER, *model.by_name])
    assert members[0] == [GENERATOR]
    assert members[-1] == [RECEIVER]
    assert all(len({placement[layer] for layer in layers}) == 1 for layers in members[1:-1])
    assert all(nx.is_weakly_connected(model.digraph.subgraph(layers)) for layers in members)
    graph = quotient(model, members)
    assert all(source < target for source, target in graph.edges)


@settings(deadline=None, max_examples=100)
@given(placed_graphs())
def test_no_two_neighbours_could_still_be_one(placed: Placed) -> None:
    model, placement = placed
    members = group(model, placement)
    graph = quotient(model, members)
    for source, target in graph.edges:
        ends = members[source][0], members[target][0]
        if all(end in placement for end in ends) and placement[ends[0]] == placement[ends[1]]:
            merged = nx.contracted_nodes(graph, source, target, self_loops=False, copy=True)
            assert not nx.is_directed_acyclic_graph(merged)


@settings(deadline=None, max_examples=60)
@given(placed_graphs())
def test_every_tensor_goes_where_it_is_needed(placed: Placed) -> None:
    model, placement = placed
    components = plan_components(model, placement, "device")
    home = {layer: component.id for component in components for layer in component.layer_names}
    home |= {GENERATOR: 0, RECEIVER: len(components) - 1}
    assert [component.id for component in components] == list(range(len(components)))
    assert all(component.layers == len(component.layer_names) for component in components)
    for tensor in model.tensors:
        source = home[tensor.producer]
        needed = {home[layer] for layer in tensor.targets} - {source}
        assert set(components[source].outputs.get(tensor.name, ())) == needed
        assert {component.id for component in components if tensor.name in component.inputs} == needed
    assert all(component.server == placement[component.layer_names[0]] for component in components[1:-1])
    assert components[0].server == components[-1].server == "device"
    for component in components:
        first_needed = [targets[0] for targets in component.outputs.values()]
        assert first_needed == sorted(first_needed)


def diamond(middle: str) -> tuple[ModelGraph, dict[str, str]]:
    layers = tuple(Layer(name) for name in "abcd")
    edges = [(None, "a"), ("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", None)]
    tensors = tuple(Tensor(f"t{index}", 1, source, (to,)) for index, (source, to) in enumerate(edges))
    return ModelGraph("diamond", layers, tensors), {"a": "edge", "b": middle, "c": "edge", "d": "edge"}


def test_a_cycle_splits_a_server_in_two() -> None:
    model, placement = diamond("cloud")
    found = [set(layers) for layers in group(model, placement)]
    assert found == [{GENERATOR}, {"a", "c"}, {"b"}, {"d"}, {RECEIVER}]


def test_one_server_is_one_component() -> None:
    assert len(group(*diamond("edge"))) == 3


def test_generator_and_receiver_stay_alone_on_the_device() -> None:
    model, placement = diamond("device")
    components = plan_components(model, dict.fromkeys(placement, "device"), "device")
    assert [component.layers for component in components] == [0, 4, 0]
    assert components[0].outputs == {"t0": (1,)}
    assert components[1].outputs == {"t5": (2,)}
