"""Least cost under caps on several measures, by setting labels with bounds and dominance.

Variables are assigned in the reverse order of an elimination. A *label* is a partial assignment; for every
weighting of the measures the elimination tells, exactly, the least that a completion of it can cost. Labels that
cannot beat the best known value or cannot meet a cap are dropped, and so is a label that another dominates: one
with the same states wherever the rest of the order looks, and no bound above.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.cost import Flags, Numbers
from optimizer.exact.elimination import Eliminated, Elimination
from optimizer.exact.network import Integers

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

    states: Integers | None
    dropped: float


def set_labels(
    elimination: Elimination, eliminated: Eliminated, below: Numbers, bounds_only: int, most: int, deadline: float
) -> Labelled:
    """Find the assignment of least cost within the caps.

    Args:
        eliminated: run for the goal with multipliers, some of them, then the goal and the capped measures.
        bounds_only: how many are with multipliers.
        below: for each of these the value that no label may exceed.
        most: labels kept at a time, those of the least first bound.
        deadline: when to give up, by ``time.perf_counter``.
    """
    bounds = eliminated.values[:, None]
    dropped = math.inf
    live: dict[int, Integers] = {}
    trace: list[tuple[Integers, Integers]] = []
    last_use = _last_uses(elimination)
    if not (bounds <= below[:, None]).all():
        return Labelled(None, math.inf)
    for index in range(len(elimination.steps) - 1, -1, -1):
        if time.perf_counter() > deadline:
            return Labelled(None, min(dropped, float(bounds[0].min())))
        step = elimination.steps[index]
        raised = sum(_raised(elimination, eliminated, bucket, live) for bucket in step.buckets)
        grown = bounds[:, :, None] + raised
        count = grown.shape[-1]
        grown = grown.reshape(len(below), -1)
        within = np.flatnonzero((grown <= below[:, None]).all(axis=0))
        if not len(within):
            return Labelled(None, dropped)
        bounds = grown[:, within]
        parents, states = within // count, within % count
        live = {variable: column[parents] for variable, column in live.items() if last_use[variable] < index}
        if last_use[step.variable] < index:
            live[step.variable] = states
        if len(states) > FEW:
            kept = _undominated(bounds[bounds_only:], list(live.values()))
            if len(kept) > most:
                ranked = kept[np.argsort(bounds[0, kept], kind="stable")]
                dropped = min(dropped, float(bounds[0, ranked[most]]))
                kept = ranked[:most]
            bounds, parents, states = bounds[:, kept], parents[kept], states[kept]
            live = {variable: column[kept] for variable, column in live.items()}
        trace.append((parents, states))
    label = int(bounds[bounds_only].argmin())
    found = np.zeros(len(elimination.sizes), dtype=np.int64)
    for step, (parents, states) in zip(elimination.steps, reversed(trace), strict=True):
        found[step.variable] = states[label]
        label = int(parents[label])
    return Labelled(found, dropped)


def _raised(elimination: Elimination, eliminated: Eliminated, bucket: int, live: dict[int, Integers]) -> Numbers:
    """By how much each state raises the bounds of each label: weightings × labels × states."""
    table, message = eliminated.tables[bucket], eliminated.messages[bucket]
    where: tuple[slice | Integers, ...] = (slice(None), *[live[v] for v in elimination.buckets[bucket].scope])
    count = table.shape[-1]
    raised: Numbers = table[where].reshape(len(table), -1, count) - message[where].reshape(len(table), -1, 1)
    return raised


def _last_uses(elimination: Elimination) -> dict[int, int]:
    """By variable, the earliest step that looks at it."""
    uses = {}
    for index in range(len(elimination.steps) - 1, -1, -1):
        step = elimination.steps[index]
        uses[step.variable] = index
        for bucket in step.buckets:
            uses.update(dict.fromkeys(elimination.buckets[bucket].scope, index))
    return uses


def _undominated(bounds: Numbers, columns: Sequence[Integers]) -> Integers:
    """Positions of the labels to keep, given the bounds of goal and measures and the states that still matter."""
    group = np.zeros(bounds.shape[1], dtype=np.int64)
    for column in columns:
        group = group * (int(column.max()) + 1) + column
        if int(group.max()) > 2**40:
            group = np.unique(group, return_inverse=True)[1].reshape(-1)
    # Sums of the same costs in another order may differ by rounding.
    slack = 1e-13 * np.abs(bounds).max(axis=1, keepdims=True)
    order = np.lexsort((*bounds[::-1], group))
    group, bounds = group[order], bounds[:, order]
    dominated: Flags = np.zeros(len(order), dtype=bool)
    if len(bounds) <= 2:
        # In the order of the goal, a label is dominated if one before it in its group has no more of the measure.
        values = bounds[-1]
        rank = np.searchsorted(np.sort(values), values - slack[-1], side="left")
        new = np.flatnonzero(np.diff(group, prepend=-1))
        block = np.zeros(len(order), dtype=np.int64)
        block[new] = 1
        shifted = rank - np.cumsum(block) * (len(order) + 1)
        sorted_rank = np.searchsorted(np.sort(values), values, side="left") - np.cumsum(block) * (len(order) + 1)
        least = np.minimum.accumulate(sorted_rank)
        dominated[1:] = (
            (least[:-1] <= np.maximum(shifted[1:], shifted[1:])) & (block[1:] == 0) & (least[:-1] <= sorted_rank[1:])
        )
        return order[~dominated]
    for distance in range(1, min(COMPARED, len(order) - 1) + 1):
        same = group[distance:] == group[:-distance]
        dominated[distance:] |= same & (bounds[:, distance:] >= bounds[:, :-distance] - slack).all(axis=0)
    return order[~dominated]
