"""A planning problem as a network: variables with few states, and tables of costs over few of them.

Each layer is a variable whose states are its servers; each quantisable layer has a second one, its precision. The
tables add up to every measure of a placement: a layer's computing over its server and precision, what it sends over
these and its consumers' servers. A tensor with many consumers gets auxiliary variables, target by target the set of
servers where it is needed. What has one state only is left out of the scopes.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.cost import Flags, Numbers, Transfers
from core.problem import Problem
from optimizer.measures import DEVICE_ENERGY, ENERGY, LATENCY, NOISE, computing_of, memory_of, sending_of
from optimizer.noise import ENUMERATED

Integers = NDArray[np.int64]

TIMED = 3
"""The first measures, latency, energy and device energy, grow with time; memories follow."""

LARGEST_CLIQUE = 4096
"""A tensor whose table would have more entries gets auxiliary variables."""

MOST_SETS = 256
"""Most states of an auxiliary variable."""

LARGEST_TENSORS = (100_000, 20_000, 4_000)
"""A tensor whose table would have more entries is estimated; the first is taken that keeps the sum in bounds."""

MOST_ENTRIES = 4_000_000
"""Most entries of all tensors' tables together, of those that can be estimated instead."""


@dataclass(frozen=True)
class Table:
    """Costs over the states of some variables.

    Attributes:
        scope: variables, in the order of the axes.
        values: measures × states of the scope.
        forbidden: which states are impossible; ``None`` if none is.
    """

    scope: tuple[int, ...]
    values: Numbers
    forbidden: Flags | None


@dataclass
class Network:
    """Variables and tables.

    Attributes:
        measures: names of the tables' measures.
        sizes: number of states of each variable.
        tables: the costs; a placement's measures are the sums over them.
    """

    measures: tuple[str, ...]
    sizes: list[int] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def variable(self, size: int) -> int:
        """Add a variable."""
        self.sizes.append(size)
        return len(self.sizes) - 1

    def add(self, scope: Sequence[int], values: Numbers, forbidden: Flags | None = None) -> None:
        """Add a table; variables of one state are dropped, and so is a table that says nothing."""
        if forbidden is not None and not forbidden.any():
            forbidden = None
        if forbidden is None and not values.any():
            return
        kept = tuple(variable for variable in scope if self.sizes[variable] > 1)
        shape = tuple(self.sizes[variable] for variable in kept)
        flags = None if forbidden is None else forbidden.reshape(shape)
        self.tables.append(Table(kept, values.reshape(-1, *shape), flags))

    def restricted(self, variable: int, states: Integers) -> "Network":
        """The network with only some states of one variable."""
        sizes = list(self.sizes)
        sizes[variable] = len(states)
        network = Network(self.measures, sizes)
        for table in self.tables:
            if variable in table.scope:
                axis = table.scope.index(variable)
                flags = None if table.forbidden is None else table.forbidden.take(states, axis=axis)
                network.add(table.scope, table.values.take(states, axis=axis + 1), flags)
            else:
                network.tables.append(table)
        return network


class PlacementNetwork:
    """The network of a problem, and how its states read as servers and int8 layers.

    Args:
        problem: every layer must have an allowed server.
        loads: whether to measure also what each server computes and what it sends to others.

    Attributes:
        network: with the measures latency, energy, device energy and the memory of each server that has a limit;
            with ``loads`` then the seconds that each server computes, then those that each sends to others; at last a
            row for noise where the quantisable layers are too many to enumerate their sets.
        precision: variable of each quantisable layer: 0 float, 1 int8.
        relaxed: whether the costs are only a lower bound: a tensor with very many destinations counts each by its
            share in the number of consumers, for what it costs is at least the mean over these.
    """

    def __init__(self, problem: Problem, loads: bool = False) -> None:
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
        self.relaxed = False
        self._float = self.network.variable(1)
        rows = self._costs.rows
        self._on: list[list[int]] = [np.flatnonzero(row).tolist() for row in np.isfinite(self._costs.seconds[:, :, 0])]
        self._known: dict[tuple[tuple[int, ...], ...], Numbers] = {}
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
        shared = [self._entries(group) for group in self._costs.transfers if len(group.targets) > 1]
        fitting = (most for most in LARGEST_TENSORS if sum(size for size in shared if size <= most) <= MOST_ENTRIES)
        self._largest_tensor = next(fitting, 0)
        for row in range(len(self._layers)):
            self._add_layer(row)
        for group in self._costs.transfers:
            self._add_transfers(group)

    def read(self, states: Integers) -> tuple[dict[str, str], frozenset[str]]:
        """Placement and int8 layers of one state for each variable."""
        placement = {
            name: self._servers[self._on[row][states[self._place[row]]]] for row, name in enumerate(self._layers)
        }
        return placement, frozenset(name for name, variable in self.precision.items() if states[variable])

    def _with_precision(self, row: int) -> tuple[int, slice]:
        """The variable of a row's precision, and which precisions it can have."""
        return self._precision.get(row, self._float), slice(2 if row in self._precision else 1)

    def _add_layer(self, row: int) -> None:
        on = self._on[row]
        variable, precisions = self._with_precision(row)
        seconds = self._costs.seconds[row, on, precisions]
        values = np.zeros((len(self.network.measures), *seconds.shape))
        values[0] = seconds
        values[1] = seconds * self._costs.compute_watts[on, None]
        for state, column in enumerate(on):
            if column == 0:
                values[2, state] = values[1, state]
            if self._computing_row is not None:
                values[self._computing_row + column, state] = seconds[state]
            if column in self._memory_row:
                values[self._memory_row[column], state] = self._costs.weight_bytes[row, precisions]
        self.network.add((self._place[row], variable), values)

    def _add_transfers(self, group: Transfers) -> None:
        on = self._on[group.producer]
        _, precisions = self._with_precision(group.producer)
        seconds = self._costs.transfer_seconds(group)[on, precisions]
        missing = self._costs.missing[on][:, None]
        if not seconds.any() and not missing.any():
            return
        # Measures × producer's servers × its precisions × destinations.
        costs = self._transfer_weights[:, on][:, :, None] * seconds
        # Senders are at it for the time without the delays.
        costs[TIMED:] -= self._transfer_weights[TIMED:, on][:, :, None] * (
            group.tensors * self._costs.delays[on][:, None]
        )
        missing = np.broadcast_to(missing, seconds.shape)
        domains = [self._on[target] for target in group.targets]
        variables = [self._place[target] for target in group.targets]
        if len(domains) == 1:
            values, forbidden = costs[..., domains[0]], missing[..., domains[0]]
        else:
            if self._has_union(group):
                variables, reached = self._union(group.targets)
            elif self._entries(group) > self._largest_tensor:
                self.relaxed = True
                for target in group.targets:
                    self._add_costs(
                        group.producer,
                        [self._place[target]],
                        costs[..., self._on[target]] / len(domains),
                        missing[..., self._on[target]],
                    )
                return
            else:
                reached = self._reached(domains)
            values, forbidden = np.tensordot(costs, reached, 1), np.tensordot(missing, reached, 1) > 0
        self._add_costs(group.producer, variables, values, forbidden)

    def _add_costs(self, producer: int, variables: Sequence[int], values: Numbers, forbidden: Flags) -> None:
        padded = np.zeros((len(self.network.measures), *values.shape[1:]))
        padded[self._transfer_rows] = values
        variable, _ = self._with_precision(producer)
        self.network.add((self._place[producer], variable, *variables), padded, forbidden)

    def _entries(self, group: Transfers) -> int:
        """Of the table over a producer's states and its targets'."""
        _, precisions = self._with_precision(group.producer)
        rows = (group.producer, *group.targets)
        return int(precisions.stop) * math.prod(len(self._on[row]) for row in rows)

    def _has_union(self, group: Transfers) -> bool:
        """Whether auxiliary variables for the set of destinations are worth their while."""
        everywhere = set().union(*(self._on[target] for target in group.targets))
        return len(group.targets) > 2 and self._entries(group) > LARGEST_CLIQUE and 2 ** len(everywhere) <= MOST_SETS

    def _reached(self, domains: Sequence[Sequence[int]]) -> Numbers:
        """Servers × states of the targets: 1 where one of the targets is on the server."""
        key = tuple(map(tuple, domains))
        if key in self._known:
            return self._known[key]
        reached = np.zeros((len(self._servers), *map(len, domains)))
        for axis, domain in enumerate(domains):
            for state, column in enumerate(domain):
                np.moveaxis(reached[column], axis, 0)[state] = 1.0
        self._known[key] = reached
        return reached

    def _union(self, targets: Sequence[int]) -> tuple[list[int], Numbers]:
        """A variable whose states are the sets of servers that the targets may be on, target by target.

        Returns:
            The variable alone, and servers × sets: 1 where the set has the server.
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
        return [variable], np.array([[float(column in one) for one in sets] for column in range(len(self._servers))])
