"""In which order to eliminate variables: one that keeps the tables small."""

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Sequence

Neighbours = list[set[int]]
Key = Callable[[int, Neighbours, Sequence[float]], tuple[float, float]]

SMALL = 1e6
"""An order whose tables have so few entries in all is good enough."""


def elimination_order(sizes: Sequence[int], scopes: Sequence[tuple[int, ...]]) -> list[int]:
    """Order all variables that occur in a scope and have several states by least fill or least table, as is smaller.

    Least fill eliminates what joins the fewest pairs of its neighbours, least table what makes the smallest table.
    Of the orders that make the same tables, one is returned that finishes a part of the graph before it begins
    another, so that few variables are in use at a time.

    Args:
        sizes: number of states by variable.
        scopes: sets of variables that occur in one table.
    """
    entries, order = _greedy(sizes, scopes, _least_fill)
    if entries > SMALL:
        entries, order = min((entries, order), _greedy(sizes, scopes, _least_table), key=lambda one: one[0])
    return order


def _greedy(sizes: Sequence[int], scopes: Sequence[tuple[int, ...]], key: Key) -> tuple[float, list[int]]:
    """The entries of all tables made, and the order."""
    neighbours: Neighbours = [set() for _ in sizes]
    for scope in scopes:
        for variable in scope:
            neighbours[variable].update(scope)
    logarithms = [math.log(size) for size in sizes]
    for variable, others in enumerate(neighbours):
        others.discard(variable)
    present = {variable for scope in scopes for variable in scope if sizes[variable] > 1}
    heap = [(key(variable, neighbours, logarithms), variable) for variable in present]
    heapq.heapify(heap)
    position: dict[int, int] = {}
    entries = 0.0
    while heap:
        found, variable = heapq.heappop(heap)
        if variable in position:
            continue
        now = key(variable, neighbours, logarithms)
        if now > found:
            heapq.heappush(heap, (now, variable))
            continue
        position[variable] = len(position)
        around = neighbours[variable]
        entries += math.exp(min(logarithms[variable] + sum(logarithms[other] for other in around), 600.0))
        for other in around:
            neighbours[other] |= around
            neighbours[other] -= {other, variable}
        for other in around:
            heapq.heappush(heap, (key(other, neighbours, logarithms), other))
    return entries, _part_by_part(position, neighbours)


def _part_by_part(position: dict[int, int], around: Neighbours) -> list[int]:
    """The order, each variable after those whose messages it gets, and these in a row.

    Args:
        around: by variable its neighbours when it is eliminated.
    """
    senders: dict[int, list[int]] = defaultdict(list)
    weight = dict.fromkeys(position, 1)
    roots = []
    for variable in position:
        receiver = min(around[variable], key=position.__getitem__, default=None)
        if receiver is None:
            roots.append(variable)
        else:
            senders[receiver].append(variable)
            weight[receiver] += weight[variable]
    backwards: list[int] = []
    left = roots
    while left:
        variable = left.pop()
        backwards.append(variable)
        left.extend(sorted(senders[variable], key=weight.__getitem__, reverse=True))
    return backwards[::-1]


def _least_fill(variable: int, neighbours: Neighbours, logarithms: Sequence[float]) -> tuple[float, float]:
    around = neighbours[variable]
    size = sum(logarithms[other] for other in around) + logarithms[variable]
    if len(around) < 2:
        return (0.0, size)
    # Every neighbour misses itself, hence the subtraction; each pair is seen twice.
    missing = sum(len(around - neighbours[other]) for other in around) - len(around)
    return (missing / 2, size)


def _least_table(variable: int, neighbours: Neighbours, logarithms: Sequence[float]) -> tuple[float, float]:
    around = neighbours[variable]
    return (logarithms[variable] + sum(logarithms[other] for other in around), float(len(around)))
