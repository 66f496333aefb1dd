"""Buckets in groups: those of one level and shape, which do not wait for each other and numpy works on at once.

Own costs and messages of all buckets are laid out one after another, group by group.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from optimizer.clock import unhurried
from optimizer.exact.layout import Bucket, Layout
from optimizer.exact.network import Integers

Pattern = tuple[tuple[tuple[int, ...], bool], ...]
"""For each table of a bucket the axes of the bucket's scope that its own are, and whether it forbids anything."""


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
        numbers: of the buckets, in the order of all groups.
    """

    variables: Integers
    scope: Integers
    sizes: tuple[int, ...]
    own: tuple[int, ...]
    costs: slice
    messages: slice
    inputs: list[Input]
    strides: Integers
    numbers: Integers

    @cached_property
    def buckets(self) -> Integers:
        """The rows of its buckets."""
        return np.arange(len(self.variables))


class Grouping:
    """All buckets of a layout.

    Args:
        layout: has the buckets.
        sizes: number of states by variable.
        measures: how many measures the costs have.
        check: called now and then; may raise to end it.

    Attributes:
        groups: in an order in which a message's source comes before what it goes to.
        levels: groups that do not wait for each other.
        parts: groups that eliminate the same variables: several where these are split.
        splits: those of several groups.
        costs: measures × entries: the buckets' own costs.
        penalties: infinite where an entry is impossible, else 0.
        forbids: whether any entry is impossible.
        message_count: entries of all messages.
        roots: where the messages over nothing are, which add up to the least cost.
    """

    def __init__(
        self, layout: Layout, sizes: Sequence[int], measures: int, check: Callable[[], None] = unhurried
    ) -> None:
        self._sizes = sizes
        buckets = layout.buckets
        patterns = [self._pattern(bucket) for bucket in buckets]
        own = [self._own(bucket, pattern) for bucket, pattern in zip(buckets, patterns, strict=True)]
        alike: dict[tuple[int, int, tuple[int, ...], tuple[int, ...]], list[int]] = defaultdict(list)
        for number, bucket in enumerate(buckets):
            apart = number if bucket.split else -1
            alike[bucket.level, apart, own[number], self._shape(bucket.scope)].append(number)
        members = [alike[key] for key in sorted(alike, key=lambda key: key[0])]
        order = list(itertools.chain.from_iterable(members))
        counts = [math.prod(self._shape(buckets[number].scope[:-1])) for number in order]
        message = dict(zip(order, itertools.accumulate(counts, initial=0), strict=False))
        lengths = [math.prod(own[number]) for number in order]
        starts = list(itertools.accumulate(lengths, initial=0))
        self.message_count = sum(counts)
        self.roots = np.array([message[number] for number in order if len(buckets[number].scope) == 1], int)
        self.costs = np.zeros((measures, starts[-1]))
        self.penalties = np.zeros(starts[-1])
        self.forbids = False
        self.groups: list[Group] = []
        self._starts = np.array(starts[:-1], int)
        done = 0
        for numbers in members:
            check()
            own_shape, together = own[numbers[0]], [buckets[number] for number in numbers]
            places = np.arange(done, done + len(numbers))
            group = self._group(together, own_shape, places, message, message[numbers[0]])
            self.groups.append(group)
            self._add_up(group, together, [patterns[number] for number in numbers])
            done += len(numbers)
        self._order(layout, members)
        self._prepare_measuring()

    def _group(
        self, buckets: list[Bucket], own: tuple[int, ...], numbers: Integers, message: dict[int, int], first: int
    ) -> Group:
        sizes = self._shape(buckets[0].scope)
        begin, count = int(self._starts[numbers[0]]), len(buckets)
        return Group(
            variables=np.array([bucket.scope[-1] for bucket in buckets]),
            scope=np.array([bucket.scope[:-1] for bucket in buckets], int).reshape(count, -1),
            sizes=sizes,
            own=own,
            costs=slice(begin, begin + count * math.prod(own)),
            messages=slice(first, first + count * math.prod(sizes[:-1])),
            inputs=self._inputs(buckets, message),
            strides=np.array([math.prod(sizes[axis + 1 : -1]) for axis in range(len(sizes) - 1)], int),
            numbers=numbers,
        )

    def _add_up(self, group: Group, buckets: list[Bucket], patterns: list[Pattern]) -> None:
        """Lay out the sums of the buckets' tables."""
        costs = self.costs[:, group.costs].reshape(len(self.costs), len(buckets), *group.own)
        penalties = self.penalties[group.costs].reshape(len(buckets), *group.own)
        placed: dict[tuple[int, ...], tuple[list[int], list[int]]] = {}
        for row, (bucket, pattern) in enumerate(zip(buckets, patterns, strict=True)):
            own = costs[:, row]
            for table, (axes, forbids) in zip(bucket.tables, pattern, strict=True):
                if axes not in placed:
                    # The axes in the order of the bucket's scope.
                    places = sorted(range(len(axes)), key=axes.__getitem__)
                    placed[axes] = places, [size if axis in axes else 1 for axis, size in enumerate(group.sizes)]
                places, shape = placed[axes]
                own += table.values.transpose(0, *[place + 1 for place in places]).reshape(len(own), *shape)
                if forbids and table.forbidden is not None:
                    self.forbids = True
                    penalties[row] += np.where(table.forbidden.transpose(places).reshape(shape), math.inf, 0.0)

    @staticmethod
    def _pattern(bucket: Bucket) -> Pattern:
        axis = {variable: place for place, variable in enumerate(bucket.scope)}
        return tuple(
            (tuple([axis[variable] for variable in table.scope]), table.forbidden is not None)
            for table in bucket.tables
        )

    def _own(self, bucket: Bucket, pattern: Pattern) -> tuple[int, ...]:
        """Shape of a bucket's own costs: 1 for what they do not depend on."""
        used = {axis for axes, _ in pattern for axis in axes}
        return tuple([self._sizes[variable] if axis in used else 1 for axis, variable in enumerate(bucket.scope)])

    def _order(self, layout: Layout, members: list[list[int]]) -> None:
        """Which groups do not wait for each other, and which are mini-buckets of one variable."""
        steps: dict[int, list[int]] = defaultdict(list)
        levels: dict[int, list[int]] = defaultdict(list)
        for index, numbers in enumerate(members):
            bucket = layout.buckets[numbers[0]]
            levels[bucket.level].append(index)
            steps[bucket.step].append(index)
        self.levels = list(levels.values())
        self.parts = sorted(steps.values())
        self.splits = [indices for indices in self.parts if len(indices) > 1]

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
        for group in self.groups:
            scopes = np.column_stack((group.scope, group.variables))
            numbers = group.numbers
            for axis, size in enumerate(group.own):
                if size > 1:
                    of.append(numbers)
                    variables.append(scopes[:, axis])
                    strides.append(np.full(len(scopes), math.prod(group.own[axis + 1 :])))
        nothing = [np.zeros(0, int)]
        self._stride_of, self._strided, self._strides = (
            np.concatenate(one or nothing) for one in (of, variables, strides)
        )

    def positions(self, states: Integers) -> Integers:
        """Where in the vector of all costs each bucket's own are, for one state of each variable."""
        offsets = np.bincount(self._stride_of, self._strides * states[self._strided], len(self._starts))
        return self._starts + offsets.astype(np.int64)

    def _shape(self, scope: Sequence[int]) -> tuple[int, ...]:
        return tuple([self._sizes[variable] for variable in scope])
