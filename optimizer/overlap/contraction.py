"""A problem's layers contracted to a few dozen super-nodes, over which a search can afford to look at many placements.

Neighbouring layers are joined, those first that compute little and exchange much, so that no good place for a cut is
lost. Layers that some good plan keeps apart are not joined: every such plan stays within the search.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from core.graph import GENERATOR, RECEIVER
from core.problem import Problem
from optimizer.clock import unhurried
from optimizer.overlap.critical_path import possibly_int8
from optimizer.solution import Solution

FIRST = 1e12
"""What is joined before all else is put ahead by this."""


@dataclass(frozen=True)
class Parcel:
    """Tensors of one layer that the same super-nodes wait for.

    Attributes:
        sender: super-node that sends.
        targets: distinct super-nodes that wait, the sender among them if one of its own layers does.
        seconds: of sending, by source server, precision (float, int8) of the layer and target server.
        layer: number among the quantisable layers; -1 if its precision is fixed.
        tensors: how many there are.
        leaving: for how many seconds sending keeps the source from computing, by server and precision.
        entering: for how many it keeps the target from it.
    """

    sender: int
    targets: tuple[int, ...]
    seconds: list[list[list[float]]]
    layer: int
    tensors: int
    leaving: list[list[float]]
    entering: list[list[float]]


@dataclass(frozen=True)
class Contraction:
    """Super-nodes in topological order, the generator first and the receiver last.

    Attributes:
        members: names of the layers in each.
        servers: numbers of the servers that each may run on.
        seconds: by super-node and server: of computing, all in float.
        weight_bytes: of each, all in float.
        gains: by quantisable layer and server: change of its seconds by int8.
        homes: by quantisable layer: its super-node.
        parcels: by super-node: what it sends.
        feeders: by super-node: the super-nodes whose parcels it waits for, itself included where it sends.
    """

    members: list[list[str]]
    servers: list[list[int]]
    seconds: list[list[float]]
    weight_bytes: list[float]
    gains: list[list[float]]
    homes: list[int]
    parcels: list[list[Parcel]]
    feeders: list[list[int]]

    @property
    def size(self) -> int:
        """How many super-nodes there are."""
        return len(self.members)


def contract(
    problem: Problem, keep: Sequence[Solution], most: int, check: Callable[[], None] = unhurried
) -> Contraction:
    """Join layers until at most ``most`` super-nodes are left, or none can be joined.

    Args:
        keep: plans that must stay possible: what they keep on different servers is not joined.
        check: called now and then; may raise to end it.

    Returns:
        Layers whose time may be below zero, which is a correction for a neighbourhood, are joined to a neighbour
        first where the goal is latency: alone, such a layer would take no time, and its correction would be lost.
    """
    costs = problem.costs
    servers = [server.name for server in problem.servers]
    names = list(costs.rows)
    apart = [tuple(plan.placement.get(name, name) for plan in keep) for name in names]
    apart[-2:] = [(GENERATOR,), (RECEIVER,)]
    joined = _Joining(problem, apart, problem.objective.goal == "latency")
    joined.run(most + 2, check)
    members = joined.groups()
    home = {row: index for index, rows in enumerate(members) for row in rows}
    numbers = {costs.rows[name]: number for number, name in enumerate(problem.model.quantizable)}
    finite = np.isfinite(costs.seconds[:, :, 0])
    seconds = np.where(finite, costs.seconds[:, :, 0], 0.0)
    int8 = np.where(finite, costs.seconds[:, :, 1], 0.0)
    gains = [(int8[row] - seconds[row]).tolist() for row in numbers]
    parcels: list[list[Parcel]] = [[] for _ in members]
    feeders: list[set[int]] = [set() for _ in members]
    # Sending within a server counts in a plan's energy; where it is free, it need not be looked at.
    own = np.arange(len(servers))
    free = not costs.seconds_per_basis[own, :, own].any()
    for group in costs.transfers:
        sender = home[group.producer]
        targets = tuple(dict.fromkeys(home[row] for row in group.targets))
        if free and targets == (sender,):
            continue
        times = costs.transfer_seconds(group)
        times[np.broadcast_to(costs.missing[:, None], times.shape)] = np.inf
        layer = numbers.get(group.producer, -1)
        leaving, entering = (seconds.tolist() for seconds in costs.processor_seconds(group))
        parcels[sender].append(Parcel(sender, targets, times.tolist(), layer, group.tensors, leaving, entering))
        for target in targets:
            feeders[target].add(sender)
    return Contraction(
        members=[[names[row] for row in rows] for rows in members],
        servers=[np.flatnonzero(finite[rows].all(axis=0)).tolist() for rows in members],
        seconds=[seconds[rows].sum(axis=0).tolist() for rows in members],
        weight_bytes=[float(costs.weight_bytes[rows, 0].sum()) for rows in members],
        gains=gains,
        homes=[home[row] for row in numbers],
        parcels=parcels,
        feeders=[sorted(one) for one in feeders],
    )


class _Joining:
    """Layers being joined along their edges, as long as the graph stays acyclic.

    ``_above`` are bit sets of what each group can be reached from; a group that was joined into another may stay in
    them, for nobody asks for it.
    """

    def __init__(self, problem: Problem, apart: Sequence[tuple[str, ...]], mend: bool) -> None:
        costs = problem.costs
        finite = np.isfinite(costs.seconds[:, :, 0])
        count = len(finite)
        self._order = [costs.rows[name] for name in problem.model.topological_order]
        self._apart = list(apart)
        self._may_run = [sum(1 << column for column in np.flatnonzero(row).tolist()) for row in finite]
        self._rows = [[row] for row in range(count)]
        self._alive = [True] * count
        self._work = (np.where(finite, costs.seconds[:, :, 0], 0.0).sum(axis=1) / finite.sum(axis=1)).tolist()
        self._least = costs.seconds[:, :, 0].min(axis=1).tolist()
        for name in possibly_int8(problem) if mend else ():
            row = costs.rows[name]
            self._least[row] = float(costs.seconds[row].min())
        self._edges: list[dict[int, float]] = [defaultdict(float) for _ in range(count)]
        self._parents: list[set[int]] = [set() for _ in range(count)]
        linked = ~costs.missing & ~np.eye(len(problem.servers), dtype=bool)
        sources, targets = np.nonzero(linked)
        per_basis = costs.seconds_per_basis[sources, :, targets].sum(axis=0) / max(1, len(sources))
        per_tensor = float(per_basis[0])
        for group, seconds in zip(costs.transfers, (costs.basis[:, 0] @ per_basis).tolist(), strict=True):
            for target in group.targets:
                self._edges[group.producer][target] += seconds
                self._parents[target].add(group.producer)
        self._above = [0] * count
        for row in self._order:
            for parent in self._parents[row]:
                self._above[row] |= self._above[parent] | 1 << parent
        self._floor = 1e-6 * (per_tensor + max(self._work, default=0.0)) or 1.0

    def run(self, most: int, check: Callable[[], None]) -> None:
        """Join until ``most`` groups are left or nothing can be joined."""
        left = len(self._rows)
        queue = [self._entry(one, other) for one, edges in enumerate(self._edges) for other in edges]
        heapq.heapify(queue)
        while queue and left > most:
            value, one, other = heapq.heappop(queue)
            if not (self._alive[one] and self._alive[other] and other in self._edges[one]):
                continue
            if value != self._entry(one, other)[0] or not self._allowed(one, other):
                continue
            check()
            self._join(one, other)
            left -= 1
            for parent in self._parents[one]:
                heapq.heappush(queue, self._entry(parent, one))
            for child in self._edges[one]:
                heapq.heappush(queue, self._entry(one, child))

    def groups(self) -> list[list[int]]:
        """The rows of each group, groups and rows in topological order."""
        position = {row: index for index, row in enumerate(self._order)}
        generator, receiver = len(self._rows) - 2, len(self._rows) - 1
        waiting = {one: len(self._parents[one]) for one in range(len(self._rows)) if self._alive[one]}

        def rank(one: int) -> int:
            return {generator: -1, receiver: len(position)}.get(one, min(position[row] for row in self._rows[one]))

        queue = [(rank(one), one) for one, count in waiting.items() if not count]
        heapq.heapify(queue)
        found = []
        while queue:
            _, one = heapq.heappop(queue)
            found.append(sorted(self._rows[one], key=position.__getitem__))
            for child in self._edges[one]:
                waiting[child] -= 1
                if not waiting[child]:
                    heapq.heappush(queue, (rank(child), child))
        # Loose ends may come after the receiver.
        found.remove([receiver])
        return [*found, [receiver]]

    def _entry(self, one: int, other: int) -> tuple[float, int, int]:
        value = (self._work[one] + self._work[other]) / (self._edges[one][other] + self._floor)
        return (value if min(self._least[one], self._least[other]) >= 0 else value - FIRST), one, other

    def _allowed(self, one: int, other: int) -> bool:
        return (
            self._apart[one] == self._apart[other]
            and bool(self._may_run[one] & self._may_run[other])
            and not any(self._above[parent] >> one & 1 for parent in self._parents[other] if parent != one)
        )

    def _join(self, one: int, other: int) -> None:
        """Take ``other``, which ``one`` feeds, into ``one``."""
        self._alive[other] = False
        self._rows[one] += self._rows[other]
        self._work[one] += self._work[other]
        self._least[one] += self._least[other]
        self._may_run[one] &= self._may_run[other]
        for child, seconds in self._edges[other].items():
            self._edges[one][child] += seconds
            self._parents[child].discard(other)
            self._parents[child].add(one)
        for parent in self._parents[other] - {one}:
            self._edges[parent][one] += self._edges[parent].pop(other)
            self._parents[one].add(parent)
        del self._edges[one][other]
        # What lies above other now lies above one and all that one feeds.
        above = self._above[other] & ~(1 << one)
        waiting = [one]
        while waiting:
            row = waiting.pop()
            if above & ~self._above[row]:
                self._above[row] |= above
                waiting += self._edges[row]
