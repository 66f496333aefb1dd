"""A model in parts, cut where the fewest bytes cross."""

from collections.abc import Sequence
from itertools import pairwise

from core.graph import ModelGraph

LEAST_SHARE = 0.25
"""Least work of a part, as a share of an equal part."""


def narrowest_cuts(graph: ModelGraph, parts: int) -> list[frozenset[str]]:
    """Layers of each part, where as few bytes as possible cross from part to part.

    Cuts go between neighbours in topological order; every part has ``LEAST_SHARE`` of an equal share of the FLOPs.
    """
    order = [name for name in graph.topological_order if name in graph.by_name]
    crossing = _crossing_bytes(graph, order)
    work = [0.0]
    for name in order:
        work.append(work[-1] + graph.by_name[name].flops)
    least = LEAST_SHARE * work[-1] / parts
    # Dynamic programming: the fewest bytes for so many parts of the layers before each position, and the cut before.
    best: list[dict[int, tuple[float, int]]] = [{0: (0.0, 0)}]
    for _ in range(parts):
        reached: dict[int, tuple[float, int]] = {}
        for end in range(1, len(order) + 1):
            options = [
                (cost + crossing[end], start)
                for start, (cost, _) in best[-1].items()
                if start < end and work[end] - work[start] >= least
            ]
            if options:
                reached[end] = min(options)
        best.append(reached)
    ends = [len(order)]
    for reached in reversed(best[1:]):
        ends.append(reached[ends[-1]][1])
    ends.reverse()
    return [frozenset(order[start:end]) for start, end in pairwise(ends)]


def _crossing_bytes(graph: ModelGraph, order: Sequence[str]) -> list[int]:
    """Bytes of layers' tensors that cross the cut before each position, none at the ends."""
    position = {name: index for index, name in enumerate(order)}
    crossing = [0] * (len(order) + 1)
    for tensor in graph.tensors:
        if tensor.source is not None:
            last = max((position[name] for name in tensor.consumers if name is not None), default=-1)
            for cut in range(position[tensor.source] + 1, last + 1):
                crossing[cut] += tensor.bytes
    return crossing
