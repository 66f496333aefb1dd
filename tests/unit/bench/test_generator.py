import networkx as nx
import pytest
from networkx.algorithms.approximation import treewidth_min_fill_in

from bench.planning.generator import MOST_OPEN, branched, chain
from bench.planning.yolo import yolo
from core.graph import GENERATOR, RECEIVER
from core.problem import Problem


def width(problem: Problem) -> int:
    """Of the graph in which a tensor joins all the layers that it concerns."""
    graph: nx.Graph[str] = nx.Graph()
    for tensor in problem.model.tensors:
        ends = {tensor.producer, *tensor.targets} - {GENERATOR, RECEIVER}
        graph.add_edges_from((one, other) for one in ends for other in ends if one < other)
    return treewidth_min_fill_in(graph)[0]


@pytest.mark.parametrize("layers", [1, 2, 57])
def test_a_chain_is_a_chain(layers) -> None:
    problem = chain(layers, 3)
    assert len(problem.model.layers) == layers
    assert [len(tensor.targets) for tensor in problem.model.tensors] == [1] * (layers + 1)


@pytest.mark.parametrize("layers", [5, 200, 301])
@pytest.mark.parametrize("seed", range(3))
def test_branched_models_have_the_layers_asked_for_and_few_open_tensors(layers, seed) -> None:
    problem = branched(layers, 2, seed)
    assert len(problem.model.layers) == layers
    position = {name: index for index, name in enumerate(problem.model.by_name)}
    last = {
        tensor.producer: max(position.get(name, layers) for name in tensor.targets) for tensor in problem.model.tensors
    }
    for here in range(layers - 1):
        waiting = [name for name, end in last.items() if position.get(name, -1) < here and end > here + 1]
        # Branches begin where their start still waits, and a skip may begin at the same tensor.
        assert len(waiting) <= MOST_OPEN + 1


def test_branched_models_branch_but_stay_narrow() -> None:
    problem = branched(300, 3)
    assert max(len(tensor.targets) for tensor in problem.model.tensors) >= 2
    assert 2 <= width(problem) <= 3


def test_every_layer_can_run_everywhere_and_feeds_something() -> None:
    for problem in (branched(100, 4), yolo()):
        names = tuple(server.name for server in problem.servers)
        assert all(problem.allowed_servers(layer.name) == names for layer in problem.model.layers)
        graph = problem.model.digraph
        assert all(nx.has_path(graph, GENERATOR, name) for name in problem.model.by_name)
        assert nx.ancestors(graph, RECEIVER) >= problem.model.by_name.keys()


def test_equal_arguments_give_equal_problems_and_seeds_differ() -> None:
    assert branched(80, 3, seed=4) == branched(80, 3, seed=4)
    assert branched(80, 3, seed=4) != branched(80, 3, seed=5)
    assert yolo() == yolo()


def test_yolo_like_models_are_as_large_as_the_real_one() -> None:
    problem = yolo()
    assert 630 <= len(problem.model.layers) <= 670
    assert len(problem.model.quantizable) == 12
    assert problem.noise is not None
    assert len(problem.noise.terms) == 298
    flops = {layer.name: layer.flops for layer in problem.model.layers if layer.operator == "Conv"}
    heaviest = sorted(flops, key=lambda name: -flops[name])[:12]
    assert set(problem.model.quantizable) == set(heaviest)


def test_the_noise_cap_of_yolo_like_models_allows_some_sets_only() -> None:
    problem = yolo()
    assert problem.noise is not None
    assert problem.limits.noise is not None
    layers = problem.model.quantizable
    assert problem.noise.predict(frozenset(layers)) > problem.limits.noise
    assert min(problem.noise.predict(frozenset({layer})) for layer in layers) < problem.limits.noise
