"""Least cost under caps on several measures, by setting labels with bounds and dominance.

Variables are assigned in the reverse order of an elimination. A *label* is a partial assignment; for every
weighting of the measures the elimination tells, exactly, the least that a completion of it can cost. Labels that
cannot beat the best known value or cannot meet a cap are dropped, and so is a label that another dominates: one
with the same states wherever the rest of the order looks, and no bound above.
"""

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.exact.elimination import Eliminated, Elimination
from optimizer.exact.network import Flags, Numbers

Integers = NDArray[np.int64]

COMPARED = 8
"""With how many cheaper labels each one is compared."""

FEW = 16
"""So few labels are not worth comparing."""


@dataclass(frozen=True)
class Labelled:
    """What became of the labels.

    Attributes:
        states: the best complete assignment; ``None`` if no label survived.
        dropped: least first bound of the labels that had to be left out; infinite if none, so that the answer is exact.
    """

    states: list[int] | None
    dropped: float


def set_labels(
    elimination: Elimination, eliminated: Eliminated, below: Numbers, most: int, deadline: float
) -> Labelled:
    """Find the assignment of least cost within the caps.

    Args:
        eliminated: run for the goal with multipliers, the goal and the capped measures.
        below: for each of these the value that no label may exceed.
        most: labels kept at a time, those of the least first bound.
        deadline: when to give up, by ``time.perf_counter``.
    """
    bounds = eliminated.values[:, None]
    dropped = math.inf
    live: dict[int, Integers] = {}
    steps: list[tuple[Integers, Integers]] = []
    last_use = _last_uses(elimination)
    below = np.minimum(below, sys.float_info.max)
    if not (bounds <= below[:, None]).all():
        return Labelled(None, math.inf)
    for index in range(len(elimination.buckets) - 1, -1, -1):
        if time.perf_counter() > deadline:
            return Labelled(None, min(dropped, float(bounds[0].min())))
        bucket = elimination.buckets[index]
        table, message = eliminated.tables[index], eliminated.messages[index]
        where: tuple[slice | Integers, ...] = (slice(None), *[live[variable] for variable in bucket.scope])
        count = table.shape[-1]
        raised = table[where].reshape(len(below), -1, count) - message[where].reshape(len(below), -1, 1)
        grown = (bounds[:, :, None] + raised).reshape(len(below), -1)
        with_all = np.flatnonzero((grown <= below[:, None]).all(axis=0))
        if not len(with_all):
            return Labelled(None, dropped)
        bounds = grown[:, with_all]
        parents, states = with_all // count, with_all % count
        live = {variable: column[parents] for variable, column in live.items() if last_use[variable] < index}
        if last_use[bucket.variable] < index:
            live[bucket.variable] = states
        if len(states) > FEW:
            kept = _undominated(bounds[1:], list(live.values()))
            if len(kept) > most:
                ranked = kept[np.argsort(bounds[0, kept], kind="stable")]
                dropped = min(dropped, float(bounds[0, ranked[most]]))
                kept = ranked[:most]
            bounds, parents, states = bounds[:, kept], parents[kept], states[kept]
            live = {variable: column[kept] for variable, column in live.items()}
        steps.append((parents, states))
    label = int(bounds[1].argmin())
    found = [0] * elimination.variables
    for bucket, (parents, states) in zip(elimination.buckets, reversed(steps), strict=True):
        found[bucket.variable] = int(states[label])
        label = int(parents[label])
    return Labelled(found, dropped)


def _last_uses(elimination: Elimination) -> dict[int, int]:
    """By variable, the earliest bucket that looks at it."""
    uses = {}
    for index in range(len(elimination.buckets) - 1, -1, -1):
        uses[elimination.buckets[index].variable] = index
        uses.update(dict.fromkeys(elimination.buckets[index].scope, index))
    return uses


def _undominated(bounds: Numbers, columns: Sequence[Integers]) -> Integers:
    """Positions of the labels to keep, given the bounds of goal and measures and the states that still matter."""
    # Sums of the same costs in another order may differ by rounding.
    slack = 1e-13 * np.abs(bounds).max(axis=1, keepdims=True)
    group = np.zeros(bounds.shape[1], dtype=np.int64)
    for column in columns:
        group = group * (int(column.max()) + 1) + column
        if int(group.max()) > 2**40:
            group = np.unique(group, return_inverse=True)[1].reshape(-1)
    order = np.lexsort((*bounds[::-1], group))
    group, bounds = group[order], bounds[:, order]
    dominated: Flags = np.zeros(len(order), dtype=bool)
    for distance in range(1, min(COMPARED, len(order) - 1) + 1):
        same = group[distance:] == group[:-distance]
        dominated[distance:] |= same & (bounds[:, distance:] >= bounds[:, :-distance] - slack).all(axis=0)
    return order[~dominated]
