"""The times of a runtime's fused nodes, given back to the layers that they came from."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.graph import ModelGraph
from profilers.labels import labels_in


@dataclass(frozen=True)
class RunNode:
    """A node as the runtime executes it: its names, the tensors it reads and makes, its seconds in one run."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    seconds: float


def attribute_seconds(nodes: Sequence[RunNode], graph: ModelGraph) -> dict[str, float]:
    """Divide the nodes' seconds among the layers of ``graph``; the sum stays, unless no node names any layer.

    A node belongs to the layers whose labels (``profilers.labels``) its name or outputs carry; a node without
    labels, such as a change of memory layout, to those of the nodes that read its outputs, else to those that make
    its inputs. A layer that no node carries, because it was fused into another, is a guest of the layer that
    consumes it, else of one that feeds it. What several layers share is divided in proportion to their FLOPs.

    Args:
        nodes: in an order in which producers come first.
        graph: its layers' positions are the labels' numbers.

    Returns:
        Seconds of every layer, 0 for those without a share.
    """
    flops = [layer.flops for layer in graph.layers]
    own = [0.0] * len(flops)
    for node, owners in zip(nodes, _owners(nodes), strict=True):
        for layer, share in _shares(owners, flops).items():
            own[layer] += node.seconds * share
    carried = {layer for owners in _owners(nodes) for layer in owners}
    seconds = [0.0] * len(flops)
    for host, guests in _guests(graph, carried).items():
        for layer, share in _shares((host, *guests), flops).items():
            seconds[layer] += own[host] * share
    return {layer.name: seconds[index] for index, layer in enumerate(graph.layers)}


def fused_tensors(nodes: Sequence[RunNode], graph: ModelGraph) -> frozenset[str]:
    """Names of the tensors that do not exist in the optimised model: one node makes and reads them, or none does."""
    position = {layer.name: index for index, layer in enumerate(graph.layers)}
    groups = [labels_in((node.name, *node.outputs)) for node in nodes]
    homes: defaultdict[int, set[int]] = defaultdict(set)
    for number, group in enumerate(groups):
        for layer in group:
            homes[layer].add(number)
    return frozenset(
        tensor.name
        for tensor in graph.tensors
        if tensor.source is not None
        and any(
            not homes[position[tensor.source]] or homes[position[tensor.source]] & homes[position[consumer]]
            for consumer in tensor.consumers
            if consumer is not None
        )
    )


def _shares(layers: Iterable[int], flops: Sequence[float]) -> dict[int, float]:
    group = tuple(layers)
    total = sum(flops[layer] for layer in group)
    return {layer: flops[layer] / total if total > 0 else 1 / len(group) for layer in group}


def _owners(nodes: Sequence[RunNode]) -> list[frozenset[int]]:
    owners = [labels_in((node.name, *node.outputs)) for node in nodes]
    readers: defaultdict[str, list[int]] = defaultdict(list)
    makers: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for tensor in node.inputs:
            readers[tensor].append(index)
        makers.update(dict.fromkeys(node.outputs, index))
    for index in reversed(range(len(nodes))):
        if not owners[index]:
            owners[index] = frozenset().union(
                *(owners[reader] for tensor in nodes[index].outputs for reader in readers[tensor])
            )
    for index, node in enumerate(nodes):
        if not owners[index]:
            owners[index] = frozenset().union(*(owners[makers[item]] for item in node.inputs if item in makers))
    return owners


def _guests(graph: ModelGraph, carried: set[int]) -> Mapping[int, list[int]]:
    """Find a carried layer for every layer; carried layers are their own hosts and not listed as guests."""
    number = {layer.name: index for index, layer in enumerate(graph.layers)}
    order = [name for name in graph.topological_order if name in number]
    hosts = {index: index for index in carried}
    for names, neighbours in ((reversed(order), graph.digraph.successors), (order, graph.digraph.predecessors)):
        for name in names:
            if number[name] not in hosts:
                found = (hosts.get(number.get(other, -1)) for other in neighbours(name))
                host = next((item for item in found if item is not None), None)
                if host is not None:
                    hosts[number[name]] = host
    guests: dict[int, list[int]] = {index: [] for index in carried}
    for layer, host in hosts.items():
        if layer != host:
            guests[host].append(layer)
    return guests
