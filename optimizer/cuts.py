"""Every measure of every single cut at once, for the baseline.

A cut at position p of the topological order runs the first p layers on one server and the rest on another.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.cost import Flags, Numbers
from core.problem import Problem

Integers = NDArray[np.int64]
Source = Literal["generator", "first", "second"]
Target = Literal["first", "second", "device"]
Route = tuple[Source, tuple[Target, ...], Target]
"""Who sends, targets on one server, to which a tensor goes once for all of them, and which server that is."""

SOURCES: tuple[Source, ...] = ("generator", "first", "second")


class CutCosts:
    """Costs of the cuts between one first server and several second ones: second servers × positions 0 to n.

    Args:
        cuts: what they are of.
        first: column of the first server.
        seconds: those of the second ones.

    Attributes:
        first_memory: weight bytes before the cut, by position.
        second_memory: weight bytes after it.
    """

    def __init__(self, cuts: "Cuts", first: int, seconds: Sequence[int]) -> None:
        self._cuts = cuts
        self._costs = cuts.problem_costs
        self._first = first
        self._on = on = np.array(seconds, dtype=np.int64)
        self.first_memory: Numbers = cuts.memory
        self.second_memory: Numbers = cuts.memory[-1] - cuts.memory
        routes, self._sent = cuts.sent(first, seconds)
        columns: dict[str, Integers] = {"generator": np.zeros_like(on), "first": np.full_like(on, first), "second": on}
        columns["device"] = columns["generator"]
        # Routes × second servers.
        self._sources = np.array([columns[source] for source, _, _ in routes], dtype=np.int64).reshape(-1, len(on))
        self._targets = np.array([columns[to] for _, _, to in routes], dtype=np.int64).reshape(-1, len(on))

    @property
    def possible(self) -> Flags:
        """Whether every layer may run where the cut puts it and no link is missing."""
        possible: Flags = self._cuts.may_begin[self._first] & self._cuts.may_end[self._on]
        missing = self._costs.missing[self._sources, self._targets]
        if missing.any():
            # The first basis function counts the tensors.
            possible = possible & (missing.T.astype(float) @ (self._sent[:, 0] > 0.5) == 0)
        return possible

    @property
    def latency(self) -> Numbers:
        """Seconds."""
        return self.weighted(1.0, 0.0)

    @property
    def energy(self) -> Numbers:
        """Joules."""
        return self.weighted(0.0, 1.0)

    def weighted(self, latency: float, energy: float) -> Numbers:
        """A sum of seconds and joules by their weights."""
        computing = latency + energy * self._costs.compute_watts
        return self._added(computing, latency + energy * self._costs.transmit_watts)

    @property
    def device_energy(self) -> Numbers:
        """Joules of the device."""
        computing, sending = np.zeros_like(self._costs.compute_watts), np.zeros_like(self._costs.transmit_watts)
        computing[0], sending[0] = self._costs.compute_watts[0], self._costs.transmit_watts[0]
        return self._added(computing, sending)

    @property
    def busiest(self) -> Numbers:
        """Seconds that the busiest server computes or handles tensors, or the busiest sender sends to others."""
        costs, on = self._costs, np.arange(len(self._on))
        after = self._cuts.after[self._on]
        sending = np.zeros((len(costs.compute_watts), *after.shape))
        computing = np.zeros_like(sending)
        computing[self._first] += self._cuts.before[self._first]
        computing[self._on, on] += after
        for source, target, sent in zip(self._sources, self._targets, self._sent, strict=True):
            crossing = (source != target)[:, None]
            # Senders do not wait out the delays.
            spent = costs.seconds_per_basis[source, 1:, target] @ sent[1:]
            sending[source, on] += np.where(crossing, spent, 0.0)
            computing[source, on] += np.where(crossing, costs.leaving_per_basis[source] @ sent, 0.0)
            computing[target, on] += np.where(crossing, costs.entering_per_basis[target] @ sent, 0.0)
        busiest: Numbers = np.maximum(computing, sending).max(axis=0)
        return busiest

    def _added(self, computing: Numbers, sending: Numbers) -> Numbers:
        """Weighted seconds: weights of computing by server, of sending by source and target."""
        total: Numbers = computing[self._on, None] * self._cuts.after[self._on]
        total += computing[self._first] * self._cuts.before[self._first]
        weights = self._costs.seconds_per_basis[self._sources, :, self._targets]
        weights = weights * sending[self._sources, self._targets][..., None]
        count = len(self._on)
        total += weights.transpose(1, 0, 2).reshape(count, -1) @ self._sent.reshape(-1, total.shape[1])
        return total


class Cuts:
    """The single cuts of a problem with a fixed set of int8 layers; servers are given by their columns.

    Attributes:
        order: the layers, in topological order.
        problem_costs: the cost model's numbers.
        before: servers × positions: seconds of the layers before each cut.
        after: of those after it.
        may_begin: servers × positions: whether all layers before the cut may run there.
        may_end: whether all after it may.
        memory: weight bytes before the cut, by position.
    """

    def __init__(self, problem: Problem, quantized: frozenset[str]) -> None:
        costs = self.problem_costs = problem.costs
        self.order = [name for name in problem.model.topological_order if name in problem.model.by_name]
        self._count = len(self.order)
        rows = [costs.rows[name] for name in self.order]
        chosen = np.array([name in quantized for name in self.order], dtype=np.int64)
        seconds = costs.seconds[rows, :, chosen].reshape(self._count, -1)
        possible = np.isfinite(seconds)
        seconds = np.where(possible, seconds, 0.0)
        self.before = _sums(seconds)
        self.after = _sums(seconds[::-1])[:, ::-1]
        self.may_begin = _sums(~possible) < 1
        self.may_end = _sums(~possible[::-1])[:, ::-1] < 1
        self.memory = _sums(costs.weight_bytes[rows, chosen][:, None])[0]
        self._sent = self._count_transfers({row: position for position, row in enumerate(rows)}, chosen)
        self._stacked: dict[tuple[bool, bool], tuple[list[Route], Numbers]] = {}

    def costs(self, first: int, seconds: Sequence[int]) -> CutCosts:
        """Costs of running the layers before the cut on ``first`` and the others on each of ``seconds``.

        Args:
            first: a server.
            seconds: other servers: either the device alone, or all but the device.
        """
        return CutCosts(self, first, seconds)

    def sent(self, first: int, seconds: Sequence[int]) -> tuple[list[Route], Numbers]:
        """The routes on which anything is sent, and what: routes × basis functions of its seconds × positions."""
        kind = first == 0, seconds[0] == 0
        if kind not in self._stacked:
            routes = [route for route in self._routes(first, seconds) if self._sent[route[0], route[1]].any()]
            sent = [self._sent[source, targets] for source, targets, _ in routes]
            nothing = np.zeros((0, self.problem_costs.basis.shape[2], self._count + 1))
            self._stacked[kind] = routes, np.array(sent) if sent else nothing
        return self._stacked[kind]

    @staticmethod
    def _routes(first: int, seconds: Sequence[int]) -> Iterator[Route]:
        """Sources, and targets on one server, to which a tensor goes once for all of them."""
        arrivals: tuple[tuple[tuple[Target, ...], Target], ...]
        if first == 0:
            arrivals = ((("first", "device"), "device"), (("second",), "second"))
        elif seconds[0] == 0:
            arrivals = ((("first",), "first"), (("second", "device"), "device"))
        else:
            arrivals = ((("first",), "first"), (("second",), "second"), (("device",), "device"))
        for source in SOURCES:
            for targets, arrive in arrivals:
                yield source, targets, arrive

    def _count_transfers(
        self, position: dict[int, int], chosen: Integers
    ) -> dict[tuple[Source, tuple[Target, ...]], Numbers]:
        """What goes from a source to any of some targets, in basis functions of its seconds × positions of the cut."""
        groups, end = self.problem_costs.transfers, self._count
        # The generator is before every cut and no layer; positions beyond the order stand for "no layer".
        made = np.array([position.get(group.producer, -1) for group in groups], dtype=np.int64)
        reached = [[position[row] for row in group.targets if row in position] for group in groups]
        low = np.array([min(places, default=end) for places in reached], dtype=np.int64)
        high = np.array([max(places, default=-1) for places in reached], dtype=np.int64)
        received = np.array([len(places) < len(group.targets) for places, group in zip(reached, groups, strict=True)])
        precisions = np.where(made < 0, 0, np.append(chosen, 0)[made])
        basis = self.problem_costs.basis[np.arange(len(groups)), precisions]
        generated, whole, none = made < 0, (np.zeros_like(made), np.full_like(made, end)), end + 1
        # First and last position of the cut at which a source makes a tensor, and at which a target needs it.
        sources: dict[Source, tuple[Integers, Integers]] = {
            "generator": (np.where(generated, 0, none), whole[1]),
            "first": (np.where(generated, none, made + 1), whole[1]),
            "second": (whole[0], np.where(generated, -1, made)),
        }
        targets: dict[tuple[Target, ...], tuple[Integers, Integers]] = {
            ("first",): (low + 1, whole[1]),
            ("second",): (whole[0], high),
            ("device",): (np.where(received, 0, none), whole[1]),
            ("first", "device"): (np.where(received, 0, low + 1), whole[1]),
            ("second", "device"): (whole[0], np.where(received, end, high)),
        }
        return {
            (source, names): self._covering(np.maximum(begin, earliest), np.minimum(stop, latest), basis)
            for source, (begin, stop) in sources.items()
            for names, (earliest, latest) in targets.items()
        }

    def _covering(self, low: Integers, high: Integers, values: Numbers) -> Numbers:
        """Sums of the rows whose interval of positions covers each position; low > high is an empty one.

        Returns:
            Columns of ``values`` × positions.
        """
        covered = low <= high
        steps = np.zeros((self._count + 2, values.shape[1]))
        np.add.at(steps, low[covered], values[covered])
        np.add.at(steps, high[covered] + 1, -values[covered])
        sums: Numbers = np.cumsum(steps, axis=0)[:-1].T
        return sums


def _sums(values: Numbers | Flags) -> Numbers:
    """Columns × (rows + 1): what is above each position."""
    sums: Numbers = np.vstack((np.zeros(values.shape[1]), np.cumsum(values, axis=0, dtype=float))).T
    return sums
