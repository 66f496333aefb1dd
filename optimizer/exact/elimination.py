"""Elimination of variables by min-plus products: the least cost of a network, exactly or from below.

Eliminating a variable adds up all tables that it occurs in and takes the least over its states, which leaves a
table over its neighbours, the *message*. Chains and series-parallel parts shrink to nothing by messages over one
and two variables. Going back through the order, the tables' own choice gives the variable's best state.

Where the sum would be too large a table, it is split into *mini-buckets*, whose least values add up to a lower
bound (Dechter and Rish, Mini-buckets, 2003). Their costs are first shifted between them so that all have the same
least cost for each state of the variable, which tightens the bound (Ihler et al., Join-graph based cost-shifting
schemes, 2012).
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from core.cost import Flags, Numbers
from optimizer.exact.network import Integers, Network, Table
from optimizer.exact.order import elimination_order

LARGEST_TABLES = (400_000, 40_000, 4_000)
"""Most entries of one table; what would need more is split. The first is taken that keeps the sum in bounds."""

MOST_ENTRIES = 8_000_000
"""Most entries of all tables together, for some hundreds of megabytes in all."""


class TooLargeError(Exception):
    """The tables would be too large; the message says how large."""


@dataclass(frozen=True)
class _Message:
    """From which bucket, over which variables."""

    source: int
    scope: tuple[int, ...]


@dataclass(frozen=True)
class _Part:
    """What is added up in a bucket, over which variables, the one to eliminate last."""

    scope: tuple[int, ...]
    tables: list[Table]
    messages: list[_Message]


@dataclass(frozen=True)
class Bucket:
    """Tables that are added up to eliminate a variable.

    Attributes:
        scope: its neighbours, the first to be eliminated last; the variable itself is a further, last axis.
        start: where its own costs begin in the flat vector of all costs; ``stop``: where they end.
        shape: of its own costs, 1 for what they do not depend on.
        inputs: for every message that comes in here, the bucket it comes from and its shape here.
    """

    scope: tuple[int, ...]
    start: int
    stop: int
    shape: tuple[int, ...]
    inputs: list[tuple[int, tuple[int, ...]]]


@dataclass(frozen=True)
class Step:
    """The elimination of a variable: by one bucket, or by several mini-buckets."""

    variable: int
    buckets: range


@dataclass(frozen=True)
class Eliminated:
    """An elimination for several weightings of the measures at once.

    Attributes:
        values: the least cost of each weighting, or a lower bound where the elimination is not exact.
        tables: for each bucket: weightings × scope × variable, the least cost of all that is eliminated so far.
        messages: for each bucket its table's least over the variable.
    """

    values: Numbers
    tables: list[Numbers]
    messages: list[Numbers]


class Elimination:
    """The order and the shapes of a network's elimination, made once for all weightings.

    Attributes:
        measures: what the weightings weigh.
        sizes: number of states of each of the network's variables.
        steps: the variables in order.
        buckets: of all steps.
        exact: whether no bucket had to be split.
        entries: of all tables.

    Raises:
        TooLargeError: even split, the tables would have more than ``MOST_ENTRIES`` entries.
    """

    def __init__(self, network: Network) -> None:
        self.measures = network.measures
        self.sizes = network.sizes
        order = elimination_order(network.sizes, [table.scope for table in network.tables])
        self._position = {variable: index for index, variable in enumerate(order)}
        for self._largest in LARGEST_TABLES:
            layout = self._laid_out(network, order)
            self.entries = sum(self._entries(part.scope) for parts in layout for part in parts)
            if self.entries <= MOST_ENTRIES:
                break
        else:
            raise TooLargeError(f"elimination would take {self.entries:.2g} table entries")
        self.exact = all(len(parts) == 1 for parts in layout)
        self._build(network, order, layout)

    def run(self, weightings: Numbers) -> Eliminated:
        """Eliminate all variables.

        Args:
            weightings: weightings × measures.
        """
        costs = weightings @ self._costs
        costs += self._penalties
        count = len(weightings)
        tables: list[Numbers] = []
        messages: list[Numbers] = []
        for step in self.steps:
            for index in step.buckets:
                bucket = self.buckets[index]
                table = costs[:, bucket.start : bucket.stop].reshape(count, *bucket.shape)
                for source, shape in bucket.inputs:
                    table = table + messages[source].reshape(count, *shape)
                tables.append(table)
                if len(step.buckets) == 1:
                    messages.append(table.min(axis=-1))
            if len(step.buckets) > 1:
                self._match(tables, step.buckets)
                messages.extend(tables[index].min(axis=-1) for index in step.buckets)
        values = weightings @ self._constant + self._impossible
        for root in self._roots:
            values = values + messages[root]
        return Eliminated(values, tables, messages)

    def best(self, eliminated: Eliminated) -> Integers:
        """By weighting, a state for each variable: of least cost if the elimination is exact, else a good guess."""
        count = len(eliminated.values)
        rows = np.arange(count)
        states = np.zeros((len(self.sizes), count), dtype=np.int64)
        for step in reversed(self.steps):
            total: Numbers | float = 0.0
            for index in step.buckets:
                total = total + eliminated.tables[index][(rows, *[states[v] for v in self.buckets[index].scope])]
            states[step.variable] = np.argmin(total, axis=-1)
        return states.T

    def reduced(self, excluded: Sequence[Flags]) -> tuple[Network, list[Integers]]:
        """The network without what is excluded, and for each of its variables the states that are left.

        A variable that occurs in no table keeps its first state. Where a variable has none left, nothing is possible,
        and the network has no tables.
        """
        first = np.zeros(1, dtype=np.int64)
        kept = [first] * len(self.sizes)
        for step in self.steps:
            flags = [excluded[index].reshape(-1, self.sizes[step.variable]).all(axis=0) for index in step.buckets]
            kept[step.variable] = np.flatnonzero(~np.logical_or.reduce(flags))
        network = Network(self.measures, [len(states) for states in kept])
        if min(network.sizes) == 0:
            return network, kept
        settled = np.array([states[0] for states in kept])
        measured = self._constant.copy()
        positions = self._positions(settled)
        for step, index in ((one, index) for one in self.steps for index in one.buckets):
            bucket = self.buckets[index]
            scope = (*bucket.scope, step.variable)
            if all(len(kept[variable]) == 1 for variable in scope):
                measured += self._costs[:, positions[index]]
                continue
            values = self._costs[:, bucket.start : bucket.stop].reshape(-1, *bucket.shape)
            left = excluded[index]
            used = []
            for axis, (variable, size) in enumerate(zip(scope, bucket.shape, strict=True)):
                if size > 1:
                    used.append(variable)
                    values = values.take(kept[variable], axis=axis + 1)
                left = left.take(kept[variable], axis=axis)
            network.add(used, values)
            network.add(scope, np.zeros((len(values), *left.shape)), left)
        network.tables.append(Table((), measured, None))
        return network, kept

    def _positions(self, states: Integers) -> Integers:
        """Where in the vector of all costs each bucket's own are, for one state of each variable."""
        offsets = np.bincount(self._stride_of, self._strides * states[self._strided], len(self.buckets))
        return self._starts + offsets.astype(np.int64)

    def measure(self, states: Integers) -> Numbers:
        """Every measure of one state for each variable; infinite where that is impossible."""
        positions = self._positions(states)
        measured: Numbers = self._costs[:, positions].sum(axis=1) + self._constant
        measured += self._penalties[positions].sum() + self._impossible
        return measured

    def excluded(self, eliminated: Eliminated, below: Numbers) -> list[Flags]:
        """For each bucket the entries of its table that no assignment within ``below`` has.

        Args:
            eliminated: for the same weightings.
            below: for each weighting the cost that an assignment may have at most.
        """
        excluded: list[Flags] = [np.zeros(0, dtype=bool)] * len(self.buckets)
        # The least cost of all that is not in a bucket's table, by the states of its scope.
        outside: dict[int, Numbers] = {}
        for root in self._roots:
            outside[root] = (eliminated.values - eliminated.messages[root])[:, None]
        for index in range(len(self.buckets) - 1, -1, -1):
            # Axes from here on: weightings × scope × variable.
            around = outside.pop(index)
            through = eliminated.tables[index] + around.reshape(*around.shape[: len(self.buckets[index].scope) + 1], 1)
            possible = through <= below.reshape(-1, *(1,) * (through.ndim - 1))
            excluded[index] = ~np.logical_and.reduce(possible, axis=0)
            for source, shape in self.buckets[index].inputs:
                absent = tuple(axis + 1 for axis, size in enumerate(shape) if size == 1 and through.shape[axis + 1] > 1)
                message = eliminated.messages[source]
                least = through.min(axis=absent).reshape(message.shape)
                with np.errstate(invalid="ignore"):
                    outside[source] = np.where(np.isfinite(message), least - message, np.inf)
        return excluded

    def _match(self, tables: list[Numbers], buckets: range) -> None:
        """Shift costs between mini-buckets, so that each has the same least cost by state of the variable."""
        least = [tables[index].min(axis=tuple(range(1, tables[index].ndim - 1))) for index in buckets]
        # What one bucket forbids all others need not pay for.
        possible = np.isfinite(np.sum(least, axis=0))
        mean = np.where(possible, np.mean(least, axis=0), 0.0)
        for index, own in zip(buckets, least, strict=True):
            shift = np.where(possible, mean - np.where(possible, own, 0.0), 0.0)
            axes = (len(shift), *(1,) * (tables[index].ndim - 2), shift.shape[-1])
            tables[index] = tables[index] + shift.reshape(axes)

    def _laid_out(self, network: Network, order: Sequence[int]) -> list[list[_Part]]:
        """What is added up in each bucket of each step."""
        own: dict[int, list[Table]] = defaultdict(list)
        for table in network.tables:
            if table.scope:
                own[min(self._position[variable] for variable in table.scope)].append(table)
        arrived: dict[int, list[_Message]] = defaultdict(list)
        layout = []
        count = 0
        for index, variable in enumerate(order):
            parts = []
            for tables, messages in self._mini_buckets(variable, own.pop(index, []), arrived.pop(index, [])):
                scopes = [table.scope for table in tables] + [message.scope for message in messages]
                scope = self._ordered({variable}.union(*scopes))
                if len(scope) > 1:
                    arrived[self._position[scope[-2]]].append(_Message(count, scope[:-1]))
                parts.append(_Part(scope, tables, messages))
                count += 1
            layout.append(parts)
        return layout

    def _build(self, network: Network, order: Sequence[int], layout: list[list[_Part]]) -> None:
        alone = [table for table in network.tables if not table.scope]
        self._constant = np.sum([table.values for table in alone], axis=0) + np.zeros(len(network.measures))
        self._impossible = math.inf if any(table.forbidden is not None for table in alone) else 0.0
        self._roots: list[int] = []
        self.steps: list[Step] = []
        self.buckets: list[Bucket] = []
        costs, penalties = [np.zeros((len(network.measures), 0))], [np.zeros(0)]
        start = 0
        for variable, parts in zip(order, layout, strict=True):
            self.steps.append(Step(variable, range(len(self.buckets), len(self.buckets) + len(parts))))
            for part in parts:
                values, penalty = self._added_up(part.tables, part.scope, len(network.measures))
                inputs = [(message.source, self._shape(part.scope, message.scope)) for message in part.messages]
                stop = start + penalty.size
                if len(part.scope) == 1:
                    self._roots.append(len(self.buckets))
                self.buckets.append(Bucket(part.scope[:-1], start, stop, penalty.shape, inputs))
                costs.append(values.reshape(len(values), -1))
                penalties.append(penalty.reshape(-1))
                start = stop
        self._costs = np.concatenate(costs, axis=1)
        self._penalties = np.concatenate(penalties)
        self._starts = np.array([bucket.start for bucket in self.buckets], dtype=np.int64)
        strides = [
            (index, variable, math.prod(self.buckets[index].shape[axis + 1 :]))
            for step in self.steps
            for index in step.buckets
            for axis, variable in enumerate((*self.buckets[index].scope, step.variable))
            if self.buckets[index].shape[axis] > 1
        ]
        # Where an assignment's costs are: in each bucket at the sum of its states times these strides.
        self._stride_of, self._strided, self._strides = np.array(strides, dtype=np.int64).reshape(-1, 3).T

    def _mini_buckets(
        self, variable: int, tables: list[Table], messages: list[_Message]
    ) -> list[tuple[list[Table], list[_Message]]]:
        """Divide what a variable occurs in so that no sum is too large; mostly into one part."""
        pieces: list[Table | _Message] = [*tables, *messages]
        if self._entries({variable}.union(*(piece.scope for piece in pieces))) <= self._largest:
            return [(tables, messages)]
        parts: list[tuple[set[int], list[Table | _Message]]] = []
        for piece in sorted(pieces, key=lambda one: -self._entries(one.scope)):
            joined = [(self._entries(scope.union(piece.scope)), index) for index, (scope, _) in enumerate(parts)]
            entries, index = min(joined, default=(math.inf, 0))
            if entries > self._largest:
                index = len(parts)
                parts.append(({variable}, []))
            parts[index][0].update(piece.scope)
            parts[index][1].append(piece)
        return [
            ([one for one in part if isinstance(one, Table)], [one for one in part if isinstance(one, _Message)])
            for _, part in parts
        ]

    def _entries(self, scope: Iterable[int]) -> float:
        return math.prod(float(self.sizes[variable]) for variable in scope)

    def _ordered(self, scope: Iterable[int]) -> tuple[int, ...]:
        return tuple(sorted(scope, key=lambda variable: -self._position[variable]))

    def _shape(self, scope: Sequence[int], used: Iterable[int]) -> tuple[int, ...]:
        present = set(used)
        return tuple(self.sizes[variable] if variable in present else 1 for variable in scope)

    def _added_up(self, tables: list[Table], scope: Sequence[int], measures: int) -> tuple[Numbers, Numbers]:
        """Measures × shape of the tables' sum over the scope, and infinity where it is impossible."""
        shape = self._shape(scope, {variable for table in tables for variable in table.scope})
        values, penalty = np.zeros((measures, *shape)), np.zeros(shape)
        for table in tables:
            axes = sorted(range(len(table.scope)), key=lambda axis: -self._position[table.scope[axis]])
            here = self._shape(scope, table.scope)
            values += table.values.transpose(0, *(axis + 1 for axis in axes)).reshape(measures, *here)
            if table.forbidden is not None:
                penalty += np.where(table.forbidden.transpose(axes).reshape(here), math.inf, 0.0)
        return values, penalty
