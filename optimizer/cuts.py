"""Every measure of every single cut at once, for the baseline.

A cut at position p of the topological order runs the first p layers on one server and the rest on another.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.cost import Flags, Numbers
from core.problem import Problem

Integers = NDArray[np.int64]
Source = Literal["generator", "first", "second"]
Target = Literal["first", "second", "device"]
SOURCES: tuple[Source, ...] = ("generator", "first", "second")


@dataclass(frozen=True)
class CutCosts:
    """Costs of the cuts between one first server and several second ones: second servers × positions 0 to n.

    Attributes:
        possible: whether every layer may run where the cut puts it and no link is missing.
        latency: seconds.
        energy: joules.
        device_energy: joules of the device.
        first_memory: weight bytes before the cut, by position.
        second_memory: weight bytes after it.
        busiest: seconds that the busiest server computes, or the busiest sender sends to others.
    """

    possible: Flags
    latency: Numbers
    energy: Numbers
    device_energy: Numbers
    first_memory: Numbers
    second_memory: Numbers
    busiest: Numbers


class Cuts:
    """The single cuts of a problem with a fixed set of int8 layers; servers are given by their columns.

    Attributes:
        order: the layers, in topological order.
    """

    def __init__(self, problem: Problem, quantized: frozenset[str]) -> None:
        costs = self._costs = problem.costs
        self.order = [name for name in problem.model.topological_order if name in problem.model.by_name]
        self._count = len(self.order)
        rows = [costs.rows[name] for name in self.order]
        chosen = np.array([name in quantized for name in self.order], dtype=np.int64)
        seconds = costs.seconds[rows, :, chosen].reshape(self._count, -1)
        possible = np.isfinite(seconds)
        seconds = np.where(possible, seconds, 0.0)
        # Servers × positions: the layers before each cut, and those after it.
        self._before = _sums(seconds)
        self._after = _sums(seconds[::-1])[:, ::-1]
        self._may_begin = _sums(~possible) < 1
        self._may_end = _sums(~possible[::-1])[:, ::-1] < 1
        self._memory = _sums(costs.weight_bytes[rows, chosen][:, None])[0]
        self._sent = self._count_transfers({row: position for position, row in enumerate(rows)}, chosen)

    def costs(self, first: int, seconds: Sequence[int]) -> CutCosts:
        """Costs of running the layers before the cut on ``first`` and the others on each of ``seconds``.

        Args:
            first: a server.
            seconds: other servers: either the device alone, or all but the device.
        """
        watts = self._costs.compute_watts
        on = np.array(seconds, dtype=np.int64)
        latency = self._before[first] + self._after[on]
        energy = {"first": self._before[first] * watts[first], "second": self._after[on] * watts[on, None]}
        joules = energy["first"] + energy["second"]
        device = np.zeros_like(joules)
        loads = np.zeros((len(watts), *joules.shape))
        for name, column in (("first", first), ("second", seconds[0])):
            if column == 0:
                device += energy[name]
        possible = self._may_begin[first] & self._may_end[on]
        columns = {"generator": np.zeros_like(on), "first": np.full_like(on, first), "second": on}
        for source, targets, arrive in self._routes(first, seconds):
            sent = self._sent[source, targets]
            pair = columns[source], np.zeros_like(on) if arrive == "device" else columns[arrive]
            spent = self._costs.seconds_per_basis[pair[0], :, pair[1]] @ sent
            # The first basis function counts the tensors.
            possible = possible & ~(self._costs.missing[pair][:, None] & (sent[0] > 0.5))
            latency = latency + spent
            busy = spent - self._costs.delays[pair][:, None] * sent[0]
            loads[pair[0], np.arange(len(on))] += np.where((pair[0] != pair[1])[:, None], busy, 0.0)
            sending = spent * self._costs.transmit_watts[pair][:, None]
            joules = joules + sending
            device = device + np.where(pair[0][:, None] == 0, sending, 0.0)
        computing = np.maximum(self._before[first], self._after[on])
        busiest = np.maximum(computing, loads.max(axis=0))
        return CutCosts(possible, latency, joules, device, self._memory, self._memory[-1] - self._memory, busiest)

    @staticmethod
    def _routes(first: int, seconds: Sequence[int]) -> Iterator[tuple[Source, tuple[Target, ...], Target]]:
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
        groups, end = self._costs.transfers, self._count
        # The generator is before every cut and no layer; positions beyond the order stand for "no layer".
        made = np.array([position.get(group.producer, -1) for group in groups], dtype=np.int64)
        reached = [[position[row] for row in group.targets if row in position] for group in groups]
        low = np.array([min(places, default=end) for places in reached], dtype=np.int64)
        high = np.array([max(places, default=-1) for places in reached], dtype=np.int64)
        received = np.array([len(places) < len(group.targets) for places, group in zip(reached, groups, strict=True)])
        precisions = np.where(made < 0, 0, np.append(chosen, 0)[made])
        basis = self._costs.basis[np.arange(len(groups)), precisions]
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
