"""A planning problem as a network (``optimizer.exact.network``).

Each layer is a variable whose states are its servers; each quantisable layer has a second one, its precision. The
tables add up to every measure of a placement: a layer's computing over its server and precision, what it sends over
these and its consumers' servers. A tensor with many consumers gets auxiliary variables, target by target the set of
servers where it is needed. What has one state only is left out of the scopes.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from core.cost import Flags, Numbers
from core.problem import Problem
from optimizer.clock import unhurried
from optimizer.exact.network import Integers, Network, Sending
from optimizer.measures import DEVICE_ENERGY, ENERGY, LATENCY, NOISE, computing_of, memory_of, sending_of
from optimizer.noise import ENUMERATED

TIMED = 3
"""The first measures, latency, energy and device energy, grow with time; memories follow."""

LARGEST_CLIQUE = 4096
"""A tensor whose table would have more entries gets auxiliary variables."""

MOST_SETS = 256
"""Most states of an auxiliary variable."""

LARGEST_TENSORS = (100_000, 20_000, 4_000)
"""A tensor whose table would have more entries is not laid out; the first is taken that keeps the sum in bounds."""

MOST_ENTRIES = 4_000_000
"""Most entries of all tensors' tables together, of those that need not be laid out."""

AT_ONCE = 1_000_000
"""About so many numbers of tables are made at a time."""

Servers = tuple[int, ...]
"""Columns of the servers where a layer may run."""


@dataclass(frozen=True)
class _Kind:
    """What tensors have in common whose tables can be made together."""

    on: Servers
    precisions: int
    domains: tuple[Servers, ...]

    @property
    def entries(self) -> int:
        """Of one table over a producer's states and its targets'."""
        return self.precisions * len(self.on) * math.prod(map(len, self.domains))


class PlacementNetwork:
    """The network of a problem, and how its states read as servers and int8 layers.

    Args:
        problem: every layer must have an allowed server.
        loads: whether to measure also what each server computes and what it sends to others.
        check: called now and then; may raise to end it.

    Attributes:
        network: with the measures latency, energy, device energy and the memory of each server that has a limit;
            with ``loads`` then the seconds that each server computes, then those that each sends to others; at last a
            row for noise where the quantisable layers are too many to enumerate their sets.
        precision: variable of each quantisable layer: 0 float, 1 int8.
    """

    def __init__(self, problem: Problem, loads: bool = False, check: Callable[[], None] = unhurried) -> None:
        self._costs = problem.costs
        self._layers = tuple(problem.model.by_name)
        self._servers = [server.name for server in problem.servers]
        limited = [column for column, server in enumerate(problem.servers) if server.memory_bytes is not None]
        self._memory_row = {column: TIMED + row for row, column in enumerate(limited)}
        names = (memory_of(self._servers[column]) for column in limited)
        self._computing_row = TIMED + len(limited) if loads else None
        loaded = [load(name) for load in (computing_of, sending_of) for name in self._servers] if loads else []
        noise = (NOISE,) if len(problem.model.quantizable) > ENUMERATED else ()
        self.network = Network((LATENCY, ENERGY, DEVICE_ENERGY, *names, *loaded, *noise))
        self._float = self.network.variable(1)
        rows = self._costs.rows
        known: dict[bytes, Servers] = {}
        allowed = np.isfinite(self._costs.seconds[:, :, 0])
        self._on = [known.setdefault(row.tobytes(), tuple(np.flatnonzero(row).tolist())) for row in allowed]
        self._place = [self.network.variable(len(on)) for on in self._on]
        self.precision = {name: self.network.variable(2) for name in problem.model.quantizable}
        self._precision = {rows[name]: variable for name, variable in self.precision.items()}
        watts = self._costs.transmit_watts
        on_device = np.zeros_like(watts)
        on_device[0] = watts[0]
        # What a second of each transfer adds to latency, energy and device energy, and to its sender's load.
        self._transfer_weights = np.stack((np.ones_like(watts), watts, on_device))
        self._transfer_rows = list(range(TIMED))
        if self._computing_row is not None:
            count = len(self._servers)
            senders = np.eye(count)[:, :, None] * (1 - np.eye(count))
            self._transfer_weights = np.concatenate((self._transfer_weights, senders))
            self._transfer_rows += range(self._computing_row + count, self._computing_row + 2 * count)
        for rows_alike in self._rows_alike(check):
            self._add_layers(rows_alike)
        alike: dict[_Kind, list[int]] = defaultdict(list)
        for index, group in enumerate(self._costs.transfers):
            domains = tuple(self._on[target] for target in group.targets)
            precisions = 2 if group.producer in self._precision else 1
            alike[_Kind(self._on[group.producer], precisions, domains)].append(index)
        shared = [(kind.entries, len(indices)) for kind, indices in alike.items() if len(kind.domains) > 1]
        fitting = (
            most for most in LARGEST_TENSORS if sum(size * n for size, n in shared if size <= most) <= MOST_ENTRIES
        )
        self._largest_tensor = next(fitting, 0)
        for kind, indices in alike.items():
            for some in _in_parts(indices, kind.entries * len(self.network.measures)):
                check()
                self._add_transfers(kind, some)

    def read(self, states: Integers) -> tuple[dict[str, str], frozenset[str]]:
        """Placement and int8 layers of one state for each variable."""
        placement = {
            name: self._servers[self._on[row][states[self._place[row]]]] for row, name in enumerate(self._layers)
        }
        return placement, frozenset(name for name, variable in self.precision.items() if states[variable])

    def _rows_alike(self, check: Callable[[], None]) -> Iterator[list[int]]:
        """Layers that may run on the same servers and in the same precisions."""
        alike: dict[tuple[Servers, bool], list[int]] = defaultdict(list)
        for row in range(len(self._layers)):
            alike[self._on[row], row in self._precision].append(row)
        for (on, _), rows in alike.items():
            for some in _in_parts(rows, 2 * len(on) * len(self.network.measures)):
                check()
                yield some

    def _add_layers(self, rows: list[int]) -> None:
        on = self._on[rows[0]]
        precisions = slice(2 if rows[0] in self._precision else 1)
        seconds = self._costs.seconds[rows][:, on, precisions]
        values = np.zeros((len(rows), len(self.network.measures), *seconds.shape[1:]))
        values[:, 0] = seconds
        values[:, 1] = seconds * self._costs.compute_watts[on, None]
        for state, column in enumerate(on):
            if column == 0:
                values[:, 2, state] = values[:, 1, state]
            if self._computing_row is not None:
                values[:, self._computing_row + column, state] = seconds[:, state]
            if column in self._memory_row:
                values[:, self._memory_row[column], state] = self._costs.weight_bytes[rows, precisions]
        scopes = [(self._place[row], self._precision.get(row, self._float)) for row in rows]
        self.network.add_alike(scopes, values)

    def _add_transfers(self, kind: _Kind, indices: list[int]) -> None:
        """Add the tables of tensors of one kind."""
        basis, watts = self._costs.basis[indices, : kind.precisions], self._transfer_weights[:, kind.on, None]
        # Tables × measures × producer's servers × its precisions × destinations.
        seconds = np.moveaxis(basis @ self._costs.seconds_per_basis[kind.on, None], 0, 1)
        costs = watts * seconds[:, None]
        if self._computing_row is not None:
            # Senders are at it for the time without the delays.
            delays = np.moveaxis(basis[..., :1] @ self._costs.seconds_per_basis[kind.on, None, :1], 0, 1)
            costs[:, TIMED:] -= watts[TIMED:] * delays[:, None]
        missing = np.broadcast_to(self._costs.missing[kind.on, None], seconds.shape[1:])
        groups = [self._costs.transfers[index] for index in indices]
        variables = [[self._place[target] for target in group.targets] for group in groups]
        producers = [group.producer for group in groups]
        count = len(kind.domains)
        if count == 1:
            self._add_costs(producers, variables, costs[..., kind.domains[0]], missing[..., kind.domains[0]])
            return
        if self._has_union(kind):
            unions = [self._union(group.targets) for group in groups]
            variables, reached = [[variable] for variable, _ in unions], unions[0][1]
        elif kind.entries > self._largest_tensor:
            domains = tuple(np.array(on) for on in kind.domains)
            for producer, targets, values in zip(producers, variables, self._padded(costs), strict=True):
                own = self._precision.get(producer, self._float)
                self.network.sendings.append(
                    Sending((self._place[producer], own, *targets), values, np.array(missing), domains)
                )
            return
        else:
            reached = self._reached(kind.domains)
        forbidden = np.tensordot(missing, reached, 1) > 0
        self._add_costs(producers, variables, np.tensordot(costs, reached, 1), forbidden)

    def _add_costs(
        self, producers: Sequence[int], variables: Sequence[Sequence[int]], values: Numbers, forbidden: Flags
    ) -> None:
        scopes = [
            (self._place[row], self._precision.get(row, self._float), *own)
            for row, own in zip(producers, variables, strict=True)
        ]
        self.network.add_alike(scopes, self._padded(values), forbidden)

    def _padded(self, values: Numbers) -> Numbers:
        """Tables × all measures, of those that sending counts in."""
        padded = np.zeros((len(values), len(self.network.measures), *values.shape[2:]))
        padded[:, self._transfer_rows] = values
        return padded

    def _has_union(self, kind: _Kind) -> bool:
        """Whether auxiliary variables for the set of destinations are worth their while."""
        everywhere = set().union(*kind.domains)
        return len(kind.domains) > 2 and kind.entries > LARGEST_CLIQUE and 2 ** len(everywhere) <= MOST_SETS

    def _reached(self, domains: Sequence[Servers]) -> Numbers:
        """Servers × states of the targets: 1 where one of the targets is on the server."""
        reached = np.zeros((len(self._servers), *map(len, domains)))
        for axis, domain in enumerate(domains):
            for state, column in enumerate(domain):
                np.moveaxis(reached[column], axis, 0)[state] = 1.0
        return reached

    def _union(self, targets: Sequence[int]) -> tuple[int, Numbers]:
        """A variable whose states are the sets of servers that the targets may be on, target by target.

        Returns:
            The variable, and servers × sets: 1 where the set has the server.
        """
        variable = self._place[targets[0]]
        sets = [frozenset((column,)) for column in self._on[targets[0]]]
        for target in targets[1:]:
            joined = [[one | {column} for column in self._on[target]] for one in sets]
            after = list(dict.fromkeys(itertools.chain.from_iterable(joined)))
            position = {one: index for index, one in enumerate(after)}
            forbidden = np.ones((len(sets), len(self._on[target]), len(after)), dtype=bool)
            for before, ones in enumerate(joined):
                for state, one in enumerate(ones):
                    forbidden[before, state, position[one]] = False
            union = self.network.variable(len(after))
            values = np.zeros((len(self.network.measures), *forbidden.shape))
            self.network.add((variable, self._place[target], union), values, forbidden)
            variable, sets = union, after
        return variable, np.array([[float(column in one) for one in sets] for column in range(len(self._servers))])


def _in_parts(indices: list[int], size: int) -> Iterator[list[int]]:
    """Divide so that about ``AT_ONCE`` numbers are made at a time, of ``size`` for each."""
    step = max(1, AT_ONCE // size)
    for begin in range(0, len(indices), step):
        yield indices[begin : begin + step]
