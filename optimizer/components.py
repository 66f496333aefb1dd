"""From a placement to components whose graph is acyclic (thesis 4.10, algorithms 1 and 2).

Layers are taken in topological order. Each begins as a component of its own and is merged with the components
of its producers on the same server, unless a path between the two through a third component would then close a
cycle. A last pass merges neighbours whose obstacle vanished by later merges. So every component is connected,
and no two neighbours on one server could still be merged.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import networkx as nx

from core.graph import GENERATOR, RECEIVER, ModelGraph
from core.plan import PlannedComponent
from core.problem import Problem

Members = list[list[str]]
"""Layers of each component."""


class _Merging:
    """Components under construction, joined by the edges of their layers.

    What lies above a component is a bit set of ids. Ids are not used twice, so those of components that were merged
    into others may stay in the sets: nobody asks for them.
    """

    def __init__(self) -> None:
        self.members: list[list[str]] = []
        self._above: list[int] = []
        self._parents: list[set[int]] = []
        self._children: list[set[int]] = []

    def add(self, layer: str, parents: set[int]) -> int:
        """Begin a component with one layer, fed by ``parents``."""
        new = len(self.members)
        above = 0
        for parent in parents:
            above |= self._above[parent] | 1 << parent
            self._children[parent].add(new)
        self.members.append([layer])
        self._above.append(above)
        self._parents.append(set(parents))
        self._children.append(set())
        return new

    def merge(self, kept: int, gone: int) -> bool:
        """Join ``gone`` into ``kept``, which feeds it, unless a path through a third component makes that a cycle."""
        if any(self._above[other] >> kept & 1 for other in self._parents[gone] if other != kept):
            return False
        for parent in self._parents[gone]:
            self._children[parent].discard(gone)
            self._children[parent].add(kept)
        for child in self._children[gone]:
            self._parents[child].discard(gone)
            self._parents[child].add(kept)
        for edges in (self._parents, self._children):
            edges[kept] = (edges[kept] | edges[gone]) - {kept, gone}
        self._put_below(kept, self._above[gone] & ~(1 << kept))
        self.members[kept] += self.members[gone]
        self.members[gone] = []
        return True

    def _put_below(self, component: int, above: int) -> None:
        """Add ``above`` to what lies above a component and above everything that it feeds."""
        waiting = [component]
        while waiting:
            one = waiting.pop()
            if above & ~self._above[one]:
                self._above[one] |= above
                waiting += self._children[one]


def group(model: ModelGraph, placement: Mapping[str, str]) -> Members:
    """Partition the layers into components, in topological order of the component graph.

    Args:
        placement: layer → server.

    Returns:
        Layer names by component; first the generator alone, last the receiver alone.
    """
    merging = _Merging()
    component: dict[str, int] = {}

    def unite(kept: int, gone: int) -> bool:
        moved = merging.members[gone]
        if not merging.merge(kept, gone):
            return False
        component.update(dict.fromkeys(moved, kept))
        return True

    feeding = model.digraph.pred
    for layer in model.topological_order:
        parents = {component[name] for name in feeding[layer]}
        if len(parents) == 1:
            # No other path can close a cycle.
            (parent,) = parents
            if _same_server(placement, merging.members[parent][0], layer):
                component[layer] = parent
                merging.members[parent].append(layer)
                continue
        own = component[layer] = merging.add(layer, parents)
        for parent in sorted(parents):
            if _same_server(placement, merging.members[parent][0], layer) and unite(parent, own):
                own = parent
    apart = [edge for edge in model.edges if component[edge[0]] != component[edge[1]]]
    apart = [edge for edge in apart if _same_server(placement, *edge)]
    changed = True
    while changed:
        changed = False
        for source, target in apart:
            kept, gone = component[source], component[target]
            if kept != gone:
                changed |= unite(kept, gone)
    return _sorted(model, [layers for layers in merging.members if layers])


def _same_server(placement: Mapping[str, str], one: str, other: str) -> bool:
    # Generator and receiver have no entry, so they stay alone.
    return one in placement and other in placement and placement[one] == placement[other]


def _sorted(model: ModelGraph, members: Members) -> Members:
    position = {layer: index for index, layer in enumerate(model.topological_order)}
    component = {layer: index for index, layers in enumerate(members) for layer in layers}
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(range(len(members)))
    edges = {(component[source], component[target]) for source, target in model.edges}
    graph.add_edges_from(edge for edge in edges if edge[0] != edge[1])

    def rank(index: int) -> int:
        first = members[index][0]
        return {GENERATOR: -1, RECEIVER: len(position)}.get(first, min(map(position.__getitem__, members[index])))

    order = nx.lexicographical_topological_sort(graph, key=rank)
    return [sorted(members[index], key=position.__getitem__) for index in order]


def plan_components(model: ModelGraph, placement: Mapping[str, str], device: str) -> tuple[PlannedComponent, ...]:
    """Turn a placement into a plan's components with the tensors that pass between them.

    Args:
        placement: layer → server.
        device: server of generator and receiver.
    """
    return _connected(model, group(model, placement), placement, device)


def components_of(
    model: ModelGraph, members: Members, placement: Mapping[str, str], device: str
) -> tuple[PlannedComponent, ...]:
    """As ``plan_components``, with the layers of each component given; generator and receiver are alone in theirs."""
    return _connected(model, _sorted(model, members), placement, device)


def _connected(
    model: ModelGraph, members: Members, placement: Mapping[str, str], device: str
) -> tuple[PlannedComponent, ...]:
    """Components of sorted layers."""
    component = {layer: index for index, layers in enumerate(members) for layer in layers}
    inputs: list[list[str]] = [[] for _ in members]
    outputs: list[dict[str, tuple[int, ...]]] = [{} for _ in members]
    for tensor in model.tensors:
        source = component[tensor.producer]
        reached = {component[name] for name in tensor.targets}
        reached.discard(source)
        if not reached:
            continue
        targets = sorted(reached)
        outputs[source][tensor.name] = tuple(targets)
        for target in targets:
            inputs[target].append(tensor.name)
    # In the order in which they leave: what is needed first goes first.
    outputs = [dict(sorted(sent.items(), key=lambda one: one[1][0])) for sent in outputs]
    return tuple(
        PlannedComponent(
            id=index,
            server=placement.get(layers[0], device),
            layers=0 if layers[0] in (GENERATOR, RECEIVER) else len(layers),
            inputs=tuple(inputs[index]),
            outputs=outputs[index],
            layer_names=() if layers[0] in (GENERATOR, RECEIVER) else tuple(layers),
        )
        for index, layers in enumerate(members)
    )


def with_compression(
    problem: Problem, components: Sequence[PlannedComponent], quantized: Collection[str]
) -> tuple[PlannedComponent, ...]:
    """State which tensors go compressed, and where to: those that then arrive sooner.

    Args:
        quantized: layers that are int8.
    """
    tensors = {tensor.name: tensor for tensor in problem.model.tensors}
    servers = {component.id: component.server for component in components}

    def smaller(component: PlannedComponent, name: str) -> tuple[str, ...]:
        tensor, targets = tensors[name], dict.fromkeys(servers[one] for one in component.outputs[name])
        made = tensor.producer in quantized
        return tuple(one for one in targets if problem.compression_gain(tensor, component.server, one, made))

    return tuple(
        replace(one, compressed={name: found for name in one.outputs if (found := smaller(one, name))})
        for one in components
    )
