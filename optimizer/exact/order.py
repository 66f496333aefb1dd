"""In which order to eliminate variables: one that keeps the tables small and makes many at a time."""

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from optimizer.clock import unhurried

Neighbours = list[set[int]]
Key = Callable[[int, Neighbours, float], tuple[float, float]]

SMALL_TABLE = 512
"""Tables of so few entries cost no more than smaller ones."""

LEVEL = 2_000
"""So many entries cost as much time as a level more."""

MANY_LEVELS = 100
"""What has fewer levels need not be made flatter."""


@dataclass(frozen=True)
class _Order:
    """Variables in order, entries of all tables, how many wait for one another, and whether any key was positive."""

    variables: list[int]
    entries: float
    levels: int
    fills: bool

    @property
    def cost(self) -> float:
        return self.entries + LEVEL * self.levels


def elimination_order(
    sizes: Sequence[int], scopes: Sequence[tuple[int, ...]], check: Callable[[], None] = unhurried
) -> list[int]:
    """Order all variables that occur in a scope and have several states.

    By least fill: first what joins the fewest pairs of its neighbours, of these what makes the smallest table, of
    these what waits for the fewest others. Where that makes large tables, least table is tried instead; where many
    variables wait for one another, all small tables count alike.

    Args:
        sizes: number of states by variable.
        scopes: sets of variables that occur in one table.
        check: called now and then; may raise to end it.
    """
    order = _greedy(sizes, scopes, _least_fill, check)
    if order.fills and order.entries > LEVEL * MANY_LEVELS:
        order = min(order, _greedy(sizes, scopes, _least_table, check), key=lambda one: one.cost)
    # A variable between two others makes a table over three.
    least = min((size for size in sizes if size > 1), default=1) ** 3
    if order.levels > MANY_LEVELS and least <= SMALL_TABLE:
        order = min(order, _greedy(sizes, scopes, _small_alike, check), key=lambda one: one.cost)
    return order.variables


def _greedy(sizes: Sequence[int], scopes: Sequence[tuple[int, ...]], key: Key, check: Callable[[], None]) -> _Order:
    neighbours: Neighbours = [set() for _ in sizes]
    for scope in scopes:
        for variable in scope:
            neighbours[variable].update(scope)
    logarithms = [math.log(size) for size in sizes]
    for variable, others in enumerate(neighbours):
        others.discard(variable)
    levels = [0] * len(sizes)

    def keyed(variable: int) -> tuple[float, float, int]:
        size = logarithms[variable] + sum([logarithms[other] for other in neighbours[variable]])
        return (*key(variable, neighbours, size), levels[variable])

    present = {variable for scope in scopes for variable in scope if sizes[variable] > 1}
    heap = [(keyed(variable), variable) for variable in present]
    heapq.heapify(heap)
    current = {variable: found for found, variable in heap}
    order: list[int] = []
    entries, fills = 0.0, False
    while heap:
        found, variable = heapq.heappop(heap)
        if current.get(variable) != found:
            continue
        check()
        del current[variable]
        fills |= found[0] > 0
        order.append(variable)
        around = neighbours[variable]
        entries += math.exp(min(logarithms[variable] + sum([logarithms[other] for other in around]), 600.0))
        for other in around:
            neighbours[other] |= around
            neighbours[other] -= {other, variable}
            levels[other] = max(levels[other], levels[variable] + 1)
        for other in around:
            current[other] = keyed(other)
            heapq.heappush(heap, (current[other], other))
    return _Order(order, entries, 1 + max(levels, default=0), fills)


def _least_fill(variable: int, neighbours: Neighbours, size: float) -> tuple[float, float]:
    around = neighbours[variable]
    if len(around) < 2:
        return (0.0, size)
    # Every neighbour misses itself, hence the subtraction; each pair is seen twice.
    missing = sum([len(around - neighbours[other]) for other in around]) - len(around)
    return (missing / 2, size)


def _least_table(variable: int, neighbours: Neighbours, size: float) -> tuple[float, float]:
    return (size, float(len(neighbours[variable])))


def _small_alike(variable: int, neighbours: Neighbours, size: float) -> tuple[float, float]:
    return (-1.0, 0.0) if size <= math.log(SMALL_TABLE) else _least_fill(variable, neighbours, size)
