"""In which order to eliminate variables: one that keeps the tables small."""

import heapq
import math
from collections.abc import Callable, Iterable, Sequence

Neighbours = list[set[int]]
Key = Callable[[int, Neighbours, Sequence[float]], tuple[float, float]]


def elimination_order(sizes: Sequence[int], scopes: Iterable[tuple[int, ...]]) -> list[int]:
    """Order all variables of more than one state, by the better of two greedy rules.

    Least fill eliminates what joins the fewest pairs of its neighbours, least table what makes the smallest table.

    Args:
        sizes: number of states by variable.
        scopes: sets of variables that occur in one table.
    """
    scopes = list(scopes)
    orders = [_greedy(sizes, scopes, key) for key in (_least_fill, _least_table)]
    return min(orders, key=lambda one: one[0])[1]


def _greedy(sizes: Sequence[int], scopes: Iterable[tuple[int, ...]], key: Key) -> tuple[float, list[int]]:
    """The entries of all tables made, and the order."""
    neighbours: Neighbours = [set() for _ in sizes]
    for scope in scopes:
        for variable in scope:
            neighbours[variable].update(scope)
    logarithms = [math.log(size) for size in sizes]
    for variable, others in enumerate(neighbours):
        others.discard(variable)
    heap = [(key(variable, neighbours, logarithms), variable) for variable, size in enumerate(sizes) if size > 1]
    heapq.heapify(heap)
    done: set[int] = set()
    order: list[int] = []
    entries = 0.0
    while heap:
        found, variable = heapq.heappop(heap)
        if variable in done:
            continue
        now = key(variable, neighbours, logarithms)
        if now > found:
            heapq.heappush(heap, (now, variable))
            continue
        done.add(variable)
        order.append(variable)
        around = neighbours[variable]
        entries += math.exp(min(logarithms[variable] + sum(logarithms[other] for other in around), 600.0))
        for other in around:
            neighbours[other] |= around
            neighbours[other] -= {other, variable}
        for other in around:
            heapq.heappush(heap, (key(other, neighbours, logarithms), other))
    return entries, order


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
