"""Elimination of variables by min-plus products: the least cost of a network, exactly or from below.

Eliminating a variable adds up all tables that it occurs in and takes the least over its states, which leaves a
table over its neighbours, the *message*. Chains and series-parallel parts shrink to nothing by messages over one
and two variables. Going back through the order, the tables' own choice gives the variable's best state.

Where the sum would be too large a table, it is split into *mini-buckets*, whose least values add up to a lower
bound (Dechter and Rish, Mini-buckets, 2003). Their costs are first shifted between them so that all have the same
least cost for each state of the variable, which tightens the bound (Ihler et al., Join-graph based cost-shifting
schemes, 2012).
"""

import copy
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from core.cost import Flags, Numbers
from optimizer.clock import unhurried
from optimizer.exact.alone import Remembered
from optimizer.exact.grouping import Grouping
from optimizer.exact.layout import Layout
from optimizer.exact.network import Integers, Network, Table

SHORT = 8
"""Up to so many states are compared one by one."""


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

    def alone(self, number: int) -> "Eliminated":
        """Of one of the weightings."""
        if len(self.values) == 1:
            return self
        one = slice(number, number + 1)
        return Eliminated(self.values[one], [table[one] for table in self.tables], self.messages[one])

    @staticmethod
    def joined(several: "Sequence[Eliminated]") -> "Eliminated":
        """Of the weightings of all of them."""
        if len(several) == 1:
            return several[0]
        tables = zip(*(one.tables for one in several), strict=True)
        return Eliminated(
            np.concatenate([one.values for one in several]),
            [np.concatenate(of_group) for of_group in tables],
            np.concatenate([one.messages for one in several]),
        )


class Elimination:
    """The groups of a network's elimination, made once for all weightings.

    Args:
        check: called now and then by everything that takes long; may raise to end it.

    Attributes:
        measures: what the weightings weigh.
        exact: whether no bucket had to be split.
        entries: of all tables.
        held: how many numbers the elimination by one weighting keeps.
        states: how many states the variables have left in all, those that occur in no table aside.
        remembered: eliminations by one weighting alone.

    Raises:
        TooLargeError: even split, the tables would be too large.
    """

    def __init__(self, network: Network, check: Callable[[], None] = unhurried) -> None:
        self.check = check
        self.remembered = Remembered()
        layout = Layout(network, check)
        self.measures = network.measures
        self._sizes = network.sizes
        self.entries = layout.entries
        self.exact = not any(bucket.split for bucket in layout.buckets)
        alone = [table for table in network.tables if not table.scope]
        self._constant = np.sum([table.values for table in alone], axis=0) + np.zeros(len(network.measures))
        self._impossible = math.inf if any(table.forbidden is not None for table in alone) else 0.0
        self._grouping = Grouping(layout, self._sizes, len(network.measures), check)
        self._groups = self._grouping.groups
        self.held = self.entries + self._grouping.message_count
        self._forbidden: list[Numbers | None] = [None] * len(self._groups)
        first = [self._groups[indices[0]] for indices in self._grouping.parts]
        self.states = sum(len(group.variables) * group.sizes[-1] for group in first)

    def run(self, weightings: Numbers) -> Eliminated:
        """Eliminate all variables.

        Args:
            weightings: weightings × measures.
        """
        count = len(weightings)
        costs = weightings @ self._grouping.costs
        if self._grouping.forbids:
            costs += self._grouping.penalties
        messages = np.zeros((count, self._grouping.message_count))
        tables: list[Numbers] = []
        for level in self._grouping.levels:
            self.check()
            for index in level:
                group, forbidden = self._groups[index], self._forbidden[index]
                own = costs[:, group.costs].reshape(count, -1, *group.own)
                table = own
                if forbidden is not None:
                    table = own + forbidden
                elif group.own != group.sizes:
                    table = np.empty((*own.shape[:2], *group.sizes))
                    table[...] = own
                for one in group.inputs:
                    message = messages[:, one.where].reshape(count, -1, *one.shape)
                    if one.rows is None:
                        table += message
                    else:
                        table[:, one.rows] += message
                tables.append(table)
            for split in self._grouping.splits:
                if split[0] in level:
                    self._match(tables, split)
            for index in level:
                messages[:, self._groups[index].messages] = _least(tables[index]).reshape(count, -1)
        values = weightings @ self._constant + self._impossible + messages[:, self._grouping.roots].sum(axis=1)
        return Eliminated(values, tables, messages)

    def best(self, eliminated: Eliminated) -> Integers:
        """By weighting, a state for each variable: of least cost if the elimination is exact, else a good guess."""
        count = len(eliminated.values)
        states = np.zeros((count, len(self._sizes)), dtype=np.int64)
        weighting = np.arange(count)[:, None]
        for indices in reversed(self._grouping.parts):
            total = self._rows(indices[0], eliminated, states, weighting)
            for index in indices[1:]:
                total = total + self._rows(index, eliminated, states, weighting)
            states[:, self._groups[indices[0]].variables] = np.argmin(total, axis=-1)
        return states

    def margin(self, eliminated: Eliminated, states: Integers) -> float:
        """By how much any other assignment costs more than the best one, at least; of one weighting.

        Another assignment first differs from the best, in the order of going back, at some variable. Its cost is at
        least that of the best with this one state changed and the variables after it chosen anew, which the table has.
        """
        if not self.exact:
            return 0.0
        least = math.inf
        chosen, first = states[None], np.zeros((1, 1), dtype=np.int64)
        for index, group in enumerate(self._groups):
            if group.sizes[-1] > 1:
                lowest = np.partition(self._rows(index, eliminated, chosen, first), 1, axis=-1)
                least = min(least, float((lowest[..., 1] - lowest[..., 0]).min()))
        return least

    def _rows(self, index: int, eliminated: Eliminated, states: Integers, weighting: Integers) -> Numbers:
        """Of a group's tables the costs over the eliminated variables: weightings × buckets × states."""
        group = self._groups[index]
        count = len(group.variables)
        rows = eliminated.tables[index].reshape(len(states), count, -1, group.sizes[-1])
        chosen: Numbers = rows[weighting, group.buckets, states[:, group.scope] @ group.strides]
        return chosen

    def measure(self, states: Integers) -> Numbers:
        """Every measure of one state for each variable; infinite where that is impossible."""
        positions = self._grouping.positions(states)
        measured: Numbers = self._grouping.costs[:, positions].sum(axis=1) + self._constant
        measured += self._grouping.penalties[positions].sum() + self._impossible
        return measured

    def excluded(self, eliminated: Eliminated, below: Numbers) -> list[Flags]:
        """For each group the entries of its tables that no assignment within ``below`` has: buckets × scope × variable.

        Args:
            eliminated: for the same weightings, all with finite values.
            below: for each weighting the cost that an assignment may have at most.
        """
        excluded: list[Flags] = [np.zeros(0, dtype=bool)] * len(self._groups)
        messages = eliminated.messages
        # What is impossible leaves nothing around it.
        given = np.where(np.isfinite(messages), messages, -np.inf)
        # The least cost of all that is not in a bucket's table, by the entries of its message.
        outside = np.zeros_like(messages)
        outside[:, self._grouping.roots] = eliminated.values[:, None] - messages[:, self._grouping.roots]
        for index in range(len(self._groups) - 1, -1, -1):
            self.check()
            group = self._groups[index]
            around = outside[:, group.messages].reshape(len(below), -1, *group.sizes[:-1], 1)
            through = eliminated.tables[index] + around
            possible = through <= below.reshape(-1, *(1,) * (through.ndim - 1))
            excluded[index] = ~np.logical_and.reduce(possible, axis=0)
            for one in group.inputs:
                message = given[:, one.where]
                rows = through if one.rows is None else through[:, one.rows]
                least = rows.min(axis=tuple(axis + 2 for axis in one.absent)) if one.absent else rows
                outside[:, one.where] = least.reshape(message.shape) - message
        return excluded

    def kept(self, excluded: Sequence[Flags]) -> list[Integers]:
        """For each variable the states that are left; of one that occurs in no table, the first."""
        first = np.zeros(1, dtype=np.int64)
        kept = [first] * len(self._sizes)
        for variables, possible in self._possible(excluded):
            left = np.nonzero(possible)[1]
            ends = np.cumsum(possible.sum(axis=1)).tolist()
            for variable, begin, end in zip(variables.tolist(), [0, *ends], ends, strict=False):
                kept[variable] = left[begin:end]
        return kept

    def without(self, excluded: Sequence[Flags], left: int) -> "Elimination":
        """The same with more that is forbidden, and so many states left; what an assignment measures stays."""
        narrowed = copy.copy(self)
        narrowed.remembered = Remembered()
        narrowed._forbidden = [np.where(flags, math.inf, 0.0) for flags in excluded]
        narrowed.states = left
        return narrowed

    def left(self, excluded: Sequence[Flags]) -> int:
        """How many states the variables have left in all; 0 if one has none."""
        counts = [possible.sum(axis=1) for _, possible in self._possible(excluded)]
        return 0 if any(len(one) and not one.all() for one in counts) else int(sum(one.sum() for one in counts))

    def _possible(self, excluded: Sequence[Flags]) -> Iterator[tuple[Integers, Flags]]:
        """The variables of a level and variables × states: whether they are possible."""
        for indices in self._grouping.parts:
            possible = self._states_left(excluded[indices[0]])
            for index in indices[1:]:
                possible = possible & self._states_left(excluded[index])
            yield self._groups[indices[0]].variables, possible

    @staticmethod
    def _states_left(excluded: Flags) -> Flags:
        left: Flags = ~np.logical_and.reduce(excluded.reshape(len(excluded), -1, excluded.shape[-1]), axis=1)
        return left

    def reduced(self, excluded: Sequence[Flags], kept: Sequence[Integers]) -> Network:
        """The network of what is left; without tables where a variable has no state left."""
        network = Network(self.measures, [len(states) for states in kept])
        if min(network.sizes) == 0:
            return network
        single = np.array(network.sizes) == 1
        measured = self._constant.copy()
        positions = self._grouping.positions(np.array([states[0] for states in kept]))
        for group, flags in zip(self._groups, excluded, strict=True):
            self.check()
            scopes = np.column_stack((group.scope, group.variables))
            settled = single[scopes].all(axis=1)
            measured += self._grouping.costs[:, positions[group.numbers[settled]]].sum(axis=1)
            values = self._grouping.costs[:, group.costs].reshape(len(measured), -1, *group.own)
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


def _least(table: Numbers) -> Numbers:
    """The least over the last axis; numpy's own way is slow where that is short."""
    if table.shape[-1] > SHORT:
        least: Numbers = table.min(axis=-1)
        return least
    return functools.reduce(np.minimum, (table[..., state] for state in range(table.shape[-1])))
