"""Elimination of variables by min-plus products: the least cost of a network, exactly or from below.

Eliminating a variable adds up all tables that it occurs in and takes the least over its states, which leaves a
table over its neighbours, the *message*. Chains and series-parallel parts shrink to nothing by messages over one
and two variables. Going back through the order, the tables' own choice gives the variable's best state.

Where the sum would be too large a table, it is split into *mini-buckets*, whose least values add up to a lower
bound (Dechter and Rish, Mini-buckets, 2003). Their costs are first shifted between them so that all have the same
least cost for each state of the variable, which tightens the bound (Ihler et al., Join-graph based cost-shifting
schemes, 2012).

Buckets of one level do not wait for each other; those of one shape make a *group*, which numpy works on at once.
"""

import copy
import functools
import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from core.cost import Flags, Numbers
from optimizer.exact.layout import Bucket, Layout
from optimizer.exact.network import Integers, Network, Table

SHORT = 8
"""Up to so many states are compared one by one."""


@dataclass(frozen=True)
class Input:
    """Messages that come into a group, at most one for each of its buckets.

    Attributes:
        rows: of the group's buckets, those that get one; ``None`` if all do.
        where: for each of them, where in the vector of all messages its entries are.
        shape: of one message, 1 for the axes of the group's tables that it does not depend on.
        absent: these axes, counted after weightings and buckets.
    """

    rows: Integers | None
    where: Integers
    shape: tuple[int, ...]
    absent: tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """Buckets of one level and shape.

    Attributes:
        variables: that are eliminated, one for each bucket.
        scope: buckets × their other variables.
        sizes: shape of a bucket's table, with the eliminated variable last.
        own: shape of its own costs, 1 for what they do not depend on.
        costs: which part of the vector of all costs the buckets' own are.
        messages: which part of the vector of all messages the buckets' are.
        inputs: what is added to the own costs.
        strides: of the scope in a table, counted in rows of the eliminated variable's states.
    """

    variables: Integers
    scope: Integers
    sizes: tuple[int, ...]
    own: tuple[int, ...]
    costs: slice
    messages: slice
    inputs: list[Input]
    strides: Integers


@dataclass(frozen=True)
class Eliminated:
    """An elimination for several weightings of the measures at once.

    Attributes:
        values: the least cost of each weighting, or a lower bound where the elimination is not exact.
        tables: for each group: weightings × buckets × scope × variable, the least cost of all eliminated so far.
        messages: weightings × entries, the tables' least over the variable.
    """

    values: Numbers
    tables: list[Numbers]
    messages: Numbers


class Elimination:
    """The groups of a network's elimination, made once for all weightings.

    Attributes:
        measures: what the weightings weigh.
        exact: whether no bucket had to be split.
        entries: of all tables.
        states: how many states the variables have left in all, those that occur in no table aside.

    Raises:
        TooLargeError: even split, the tables would be too large.
    """

    def __init__(self, network: Network) -> None:
        layout = Layout(network)
        self.measures = network.measures
        self._sizes = network.sizes
        self.entries = layout.entries
        self.exact = not any(bucket.split for bucket in layout.buckets)
        alone = [table for table in network.tables if not table.scope]
        self._constant = np.sum([table.values for table in alone], axis=0) + np.zeros(len(network.measures))
        self._impossible = math.inf if any(table.forbidden is not None for table in alone) else 0.0
        self._build(layout)
        self._forbidden: list[Numbers | None] = [None] * len(self._groups)
        first = [self._groups[indices[0]] for indices in self._parts]
        self.states = sum(len(group.variables) * group.sizes[-1] for group in first)

    def run(self, weightings: Numbers) -> Eliminated:
        """Eliminate all variables.

        Args:
            weightings: weightings × measures.
        """
        count = len(weightings)
        costs = weightings @ self._costs + self._penalties
        messages = np.zeros((count, self._message_count))
        tables: list[Numbers] = []
        for level in self._levels:
            for index in level:
                group, forbidden = self._groups[index], self._forbidden[index]
                own = costs[:, group.costs].reshape(count, -1, *group.own)
                table = np.empty((*own.shape[:2], *group.sizes))
                table[...] = own if forbidden is None else own + forbidden
                for one in group.inputs:
                    message = messages[:, one.where].reshape(count, -1, *one.shape)
                    if one.rows is None:
                        table += message
                    else:
                        table[:, one.rows] += message
                tables.append(table)
            for split in self._splits:
                if split[0] in level:
                    self._match(tables, split)
            for index in level:
                messages[:, self._groups[index].messages] = _least(tables[index]).reshape(count, -1)
        values = weightings @ self._constant + self._impossible + messages[:, self._roots].sum(axis=1)
        return Eliminated(values, tables, messages)

    def best(self, eliminated: Eliminated) -> Integers:
        """By weighting, a state for each variable: of least cost if the elimination is exact, else a good guess."""
        count = len(eliminated.values)
        states = np.zeros((count, len(self._sizes)), dtype=np.int64)
        weighting = np.arange(count)[:, None]
        for indices in reversed(self._parts):
            total: Numbers | float = 0.0
            for index in indices:
                group, table = self._groups[index], eliminated.tables[index]
                bucket = np.arange(len(group.variables))
                rows = table.reshape(count, len(bucket), -1, group.sizes[-1])
                total = total + rows[weighting, bucket, states[:, group.scope] @ group.strides]
            states[:, group.variables] = np.argmin(total, axis=-1)
        return states

    def measure(self, states: Integers) -> Numbers:
        """Every measure of one state for each variable; infinite where that is impossible."""
        positions = self._positions(states)
        measured: Numbers = self._costs[:, positions].sum(axis=1) + self._constant
        measured += self._penalties[positions].sum() + self._impossible
        return measured

    def excluded(self, eliminated: Eliminated, below: Numbers) -> list[Flags]:
        """For each group the entries of its tables that no assignment within ``below`` has: buckets × scope × variable.

        Args:
            eliminated: for the same weightings, all with finite values.
            below: for each weighting the cost that an assignment may have at most.
        """
        excluded: list[Flags] = [np.zeros(0, dtype=bool)] * len(self._groups)
        messages = eliminated.messages
        # The least cost of all that is not in a bucket's table, by the entries of its message.
        outside = np.zeros_like(messages)
        outside[:, self._roots] = eliminated.values[:, None] - messages[:, self._roots]
        for index in range(len(self._groups) - 1, -1, -1):
            group = self._groups[index]
            around = outside[:, group.messages].reshape(len(below), -1, *group.sizes[:-1], 1)
            through = eliminated.tables[index] + around
            possible = through <= below.reshape(-1, *(1,) * (through.ndim - 1))
            excluded[index] = ~np.logical_and.reduce(possible, axis=0)
            for one in group.inputs:
                message = messages[:, one.where]
                rows = through if one.rows is None else through[:, one.rows]
                least = rows.min(axis=tuple(axis + 2 for axis in one.absent)).reshape(message.shape)
                with np.errstate(invalid="ignore"):
                    outside[:, one.where] = np.where(np.isfinite(message), least - message, np.inf)
        return excluded

    def kept(self, excluded: Sequence[Flags]) -> list[Integers]:
        """For each variable the states that are left; of one that occurs in no table, the first."""
        first = np.zeros(1, dtype=np.int64)
        kept = [first] * len(self._sizes)
        for variables, possible in self._possible(excluded):
            for variable, flags in zip(variables.tolist(), possible, strict=True):
                kept[variable] = np.flatnonzero(flags)
        return kept

    def without(self, excluded: Sequence[Flags]) -> "Elimination":
        """The same with more that is forbidden; what an assignment measures stays."""
        narrowed = copy.copy(self)
        narrowed._forbidden = [np.where(flags, math.inf, 0.0) for flags in excluded]
        narrowed.states = sum(int(possible.sum()) for _, possible in self._possible(excluded))
        return narrowed

    def _possible(self, excluded: Sequence[Flags]) -> Iterator[tuple[Integers, Flags]]:
        """The variables of a level and variables × states: whether they are possible."""
        for indices in self._parts:
            out = [excluded[index].all(axis=tuple(range(1, excluded[index].ndim - 1))) for index in indices]
            yield self._groups[indices[0]].variables, ~np.logical_or.reduce(out)

    def reduced(self, excluded: Sequence[Flags], kept: Sequence[Integers]) -> Network:
        """The network of what is left; without tables where a variable has no state left."""
        network = Network(self.measures, [len(states) for states in kept])
        if min(network.sizes) == 0:
            return network
        single = np.array(network.sizes) == 1
        measured = self._constant.copy()
        positions = self._positions(np.array([states[0] for states in kept]))
        for group, flags in zip(self._groups, excluded, strict=True):
            scopes = np.column_stack((group.scope, group.variables))
            settled = single[scopes].all(axis=1)
            numbers = np.arange(self._first[group.costs.start], self._first[group.costs.start] + len(scopes))
            measured += self._costs[:, positions[numbers[settled]]].sum(axis=1)
            values = self._costs[:, group.costs].reshape(len(measured), -1, *group.own)
            for row in np.flatnonzero(~settled):
                scope = scopes[row].tolist()
                self._add_left(network, scope, values[:, row], flags[row], kept)
        network.tables.append(Table((), measured, None))
        return network

    @staticmethod
    def _add_left(
        network: Network, scope: list[int], values: Numbers, excluded: Flags, kept: Sequence[Integers]
    ) -> None:
        used = []
        for axis, variable in enumerate(scope):
            if values.shape[axis + 1] > 1:
                used.append(variable)
                values = values.take(kept[variable], axis=axis + 1)
            excluded = excluded.take(kept[variable], axis=axis)
        network.add(used, values)
        network.add(scope, np.zeros((len(values), *excluded.shape)), excluded)

    def _positions(self, states: Integers) -> Integers:
        """Where in the vector of all costs each bucket's own are, for one state of each variable."""
        offsets = np.bincount(self._stride_of, self._strides * states[self._strided], len(self._starts))
        return self._starts + offsets.astype(np.int64)

    @staticmethod
    def _match(tables: list[Numbers], split: Sequence[int]) -> None:
        """Shift costs between mini-buckets, so that each has the same least cost by state of the variable."""
        least = [tables[index].min(axis=tuple(range(1, tables[index].ndim - 1))) for index in split]
        # What one bucket forbids all others need not pay for.
        possible = np.isfinite(np.sum(least, axis=0))
        mean = np.where(possible, np.mean(least, axis=0), 0.0)
        for index, own in zip(split, least, strict=True):
            shift = np.where(possible, mean - np.where(possible, own, 0.0), 0.0)
            axes = (len(shift), *(1,) * (tables[index].ndim - 2), shift.shape[-1])
            tables[index] += shift.reshape(axes)

    def _build(self, layout: Layout) -> None:
        """Group the buckets, and lay their own costs and their messages out one after another."""
        added = [self._added_up(bucket, layout) for bucket in layout.buckets]
        alike: dict[tuple[int, int, tuple[int, ...], tuple[int, ...]], list[int]] = defaultdict(list)
        for number, bucket in enumerate(layout.buckets):
            apart = number if bucket.split else -1
            alike[bucket.level, apart, added[number][1].shape, self._shape(bucket.scope)].append(number)
        members = [alike[key] for key in sorted(alike, key=lambda key: key[0])]
        order = list(itertools.chain.from_iterable(members))
        counts = [math.prod(self._shape(layout.buckets[number].scope[:-1])) for number in order]
        message = dict(zip(order, itertools.accumulate(counts, initial=0), strict=False))
        self._message_count = sum(counts)
        self._roots = np.array([message[number] for number in order if len(layout.buckets[number].scope) == 1], int)
        self._costs = np.zeros((len(self.measures), sum(added[number][1].size for number in order)))
        self._penalties = np.zeros(self._costs.shape[1])
        self._groups: list[Group] = []
        self._first: dict[int, int] = {}
        starts: list[int] = []
        stop = 0
        for numbers in members:
            begin = stop
            self._first[begin] = len(starts)
            for number in numbers:
                values, penalty = added[number]
                starts.append(stop)
                stop += penalty.size
                self._costs[:, starts[-1] : stop] = values.reshape(len(values), -1)
                self._penalties[starts[-1] : stop] = penalty.reshape(-1)
            buckets = [layout.buckets[number] for number in numbers]
            first = message[numbers[0]]
            sizes = self._shape(buckets[0].scope)
            last = first + len(numbers) * math.prod(sizes[:-1])
            self._groups.append(
                Group(
                    np.array([bucket.scope[-1] for bucket in buckets]),
                    np.array([bucket.scope[:-1] for bucket in buckets], int).reshape(len(buckets), -1),
                    sizes,
                    added[numbers[0]][1].shape,
                    slice(begin, stop),
                    slice(first, last),
                    self._inputs(buckets, message),
                    np.array([math.prod(sizes[axis + 1 : -1]) for axis in range(len(sizes) - 1)], int),
                )
            )
        self._starts = np.array(starts, int)
        self._order(layout, members)
        self._prepare_measuring()

    def _order(self, layout: Layout, members: list[list[int]]) -> None:
        """Which groups do not wait for each other, and which are mini-buckets of one variable."""
        steps: dict[int, list[int]] = defaultdict(list)
        levels: dict[int, list[int]] = defaultdict(list)
        for index, numbers in enumerate(members):
            bucket = layout.buckets[numbers[0]]
            levels[bucket.level].append(index)
            steps[bucket.step].append(index)
        self._levels = list(levels.values())
        self._parts = sorted(steps.values())
        self._splits = [indices for indices in self._parts if len(indices) > 1]

    def _inputs(self, buckets: Sequence[Bucket], message: dict[int, int]) -> list[Input]:
        found: dict[tuple[tuple[bool, ...], int], list[tuple[int, int]]] = defaultdict(list)
        for row, bucket in enumerate(buckets):
            present = [tuple(variable in one.scope for variable in bucket.scope) for one in bucket.messages]
            for position, one in enumerate(bucket.messages):
                twice = present[:position].count(present[position])
                found[present[position], twice].append((row, message[one.source]))
        sizes = self._shape(buckets[0].scope)
        inputs = []
        for (axes, _), pairs in found.items():
            shape = tuple(size if used else 1 for size, used in zip(sizes, axes, strict=True))
            absent = tuple(axis for axis, used in enumerate(axes) if not used)
            rows, starts = np.array(pairs, int).T
            where = starts[:, None] + np.arange(math.prod(shape))
            inputs.append(Input(None if len(rows) == len(buckets) else rows, where, shape, absent))
        return inputs

    def _prepare_measuring(self) -> None:
        """Where an assignment's costs are: for each bucket at its start plus the sum of its states times strides."""
        of, variables, strides = [], [], []
        for group in self._groups:
            scopes = np.column_stack((group.scope, group.variables))
            numbers = self._first[group.costs.start] + np.arange(len(scopes))
            for axis, size in enumerate(group.own):
                if size > 1:
                    of.append(numbers)
                    variables.append(scopes[:, axis])
                    strides.append(np.full(len(scopes), math.prod(group.own[axis + 1 :])))
        nothing = [np.zeros(0, int)]
        self._stride_of, self._strided, self._strides = (
            np.concatenate(one or nothing) for one in (of, variables, strides)
        )

    def _shape(self, scope: Sequence[int]) -> tuple[int, ...]:
        return tuple(self._sizes[variable] for variable in scope)

    def _added_up(self, bucket: Bucket, layout: Layout) -> tuple[Numbers, Numbers]:
        """Measures × shape of the tables' sum over the scope, and infinity where it is impossible."""
        shape = self._shape_of({variable for table in bucket.tables for variable in table.scope}, bucket.scope)
        values, penalty = np.zeros((len(self.measures), *shape)), np.zeros(shape)
        for table in bucket.tables:
            axes = layout.axes(table.scope)
            here = self._shape_of(set(table.scope), bucket.scope)
            values += table.values.transpose(0, *(axis + 1 for axis in axes)).reshape(len(values), *here)
            if table.forbidden is not None:
                penalty += np.where(table.forbidden.transpose(axes).reshape(here), math.inf, 0.0)
        return values, penalty

    def _shape_of(self, used: set[int], scope: Sequence[int]) -> tuple[int, ...]:
        return tuple(self._sizes[variable] if variable in used else 1 for variable in scope)


def _least(table: Numbers) -> Numbers:
    """The least over the last axis; numpy's own way is slow where that is short."""
    if table.shape[-1] > SHORT:
        least: Numbers = table.min(axis=-1)
        return least
    return functools.reduce(np.minimum, (table[..., state] for state in range(table.shape[-1])))
