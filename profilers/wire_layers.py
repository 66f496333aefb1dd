"""Wire layers in graphs: where sending one tensor in int8 may pay, although nothing is computed in int8 there."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import accumulate

from core.graph import GENERATOR, RECEIVER, ModelGraph, Tensor
from core.profiles import ModelProfilerSettings
from model_divider.quantize import QUANTIZABLE_OPERATORS
from model_divider.wire import is_wire_layer, wire_layer

LEAST_BYTES = 2**16
"""Of a tensor that is worth it: sending less takes hardly longer than sending nothing."""

_SHARE = 0.9
"""How much of what crosses at a place the tensor is."""


@dataclass(frozen=True)
class _Place:
    """Between two layers in topological order.

    Attributes:
        tensor: the one that nearly all of what crosses here is.
        record: whether less crosses here than at any place before: a cut here is then better than those before for
            all that is to run elsewhere.
    """

    tensor: Tensor
    record: bool


def wire_candidates(graph: ModelGraph, settings: ModelProfilerSettings) -> list[str]:
    """Names of the wire layers that promise most: ``settings.wire_count`` of them at most.

    Candidates are float tensors, the model's inputs among them, that are nearly all of what crosses at some place in
    topological order. Best are places where less crosses than at all before; among equal ones those that save most
    bytes, and the first of these. Behind a layer that is usually fused into the one before (an activation) counts as
    the same place as before it. Patterns of ``settings.excluded_layers`` exclude wire layers too.
    """
    if not settings.quantizable_count:
        return []
    found = {
        wire_layer(place.tensor.name): (not place.record, -place.tensor.bytes, number)
        for number, place in enumerate(_places(graph))
    }
    allowed = (name for name in found if not any(fnmatchcase(name, pattern) for pattern in settings.excluded_layers))
    return sorted(allowed, key=found.__getitem__)[: settings.wire_count]


def wired_tensors(graph: ModelGraph) -> dict[str, str]:
    """Result of each wire layer → the tensor that it reads."""
    reads = {name: tensor.name for tensor in graph.tensors for name in tensor.targets if is_wire_layer(name)}
    return {tensor.name: reads[tensor.source] for tensor in graph.tensors if tensor.source in reads}


def without_wire_layers(graph: ModelGraph) -> ModelGraph:
    """The graph of the model before wire layers were added."""
    reads = {read: result for result, read in wired_tensors(graph).items()}
    consumers = {tensor.name: tensor.consumers for tensor in graph.tensors}
    tensors = []
    for tensor in graph.tensors:
        if tensor.source is None or not is_wire_layer(tensor.source):
            kept = tuple(name for name in tensor.consumers if name is None or not is_wire_layer(name))
            tensors.append(replace(tensor, consumers=kept + consumers.get(reads.get(tensor.name, ""), ())))
    layers = tuple(layer for layer in graph.layers if not is_wire_layer(layer.name))
    return ModelGraph(graph.name, layers, tuple(tensors))


def _places(graph: ModelGraph) -> list[_Place]:
    places: list[_Place] = []
    least = float("inf")
    # Whether nothing heavy ran since the last place.
    light = False
    for layer, crossing, tensor in _crossings(graph):
        light = light and (layer == GENERATOR or graph.by_name[layer].operator not in QUANTIZABLE_OPERATORS)
        if tensor is None or any(place.tensor is tensor for place in places):
            continue
        if light and places and places[-1].tensor.bytes == tensor.bytes:
            places[-1] = _Place(tensor, places[-1].record)
        else:
            places.append(_Place(tensor, crossing < least))
        least = min(least, crossing)
        light = True
    return places


def _crossings(graph: ModelGraph) -> Iterator[tuple[str, int, Tensor | None]]:
    """Each layer but the last, the bytes that cross behind it, and the tensor that is nearly all of them, if worth it.

    What goes to the receiver does not count: it goes there from everywhere.
    """
    order = graph.topological_order
    position = {name: index for index, name in enumerate(order)}
    starts: list[list[Tensor]] = [[] for _ in order]
    change = [0] * (len(order) + 1)
    ends: dict[str, int] = {}
    for tensor in graph.tensors:
        inside = [position[name] for name in tensor.targets if name != RECEIVER]
        if inside:
            ends[tensor.name] = max(inside)
            starts[position[tensor.producer]].append(tensor)
            change[position[tensor.producer]] += tensor.bytes
            change[max(inside)] -= tensor.bytes
    open_: list[Tensor] = []
    for index, crossing in enumerate(list(accumulate(change))[: len(order) - 1]):
        open_ = [tensor for tensor in (*open_, *starts[index]) if ends[tensor.name] > index]
        largest = max(open_, key=lambda tensor: tensor.bytes, default=None)
        worth_it = (
            largest is not None
            and largest.dtype == "float32"
            and RECEIVER not in largest.targets
            and largest.bytes >= max(LEAST_BYTES, _SHARE * crossing)
        )
        yield order[index], crossing, largest if worth_it else None
