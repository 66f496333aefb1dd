"""Elimination of variables by min-plus products: the least cost of a network, exactly.

Eliminating a variable adds up all tables that it occurs in and takes the least over its states, which leaves a
table over its neighbours, the *message*. Chains and series-parallel parts shrink to nothing by messages over one
and two variables. Going back through the order, the message's own choice gives the variable's best state.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.exact.network import MOST_ENTRIES, Network, Numbers, TooLargeError
from optimizer.exact.order import elimination_order


@dataclass(frozen=True)
class Bucket:
    """One step: what is added up to eliminate a variable.

    Attributes:
        variable: eliminated here.
        scope: its neighbours, the first to be eliminated last; the variable itself is a further, last axis.
        start: where its own costs begin in the flat vector of all costs; ``stop``: where they end.
        shape: of its own costs, 1 for what they do not depend on.
        inputs: for every earlier message that comes in here, its bucket and its shape here.
    """

    variable: int
    scope: tuple[int, ...]
    start: int
    stop: int
    shape: tuple[int, ...]
    inputs: tuple[tuple[int, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Eliminated:
    """An elimination for several weightings of the measures at once.

    Attributes:
        values: the least cost of each weighting.
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
        variables: how many the network has.
        buckets: the steps, in order.

    Raises:
        TooLargeError: the tables would have more than ``MOST_ENTRIES`` entries together.
    """

    def __init__(self, network: Network) -> None:
        self.measures = network.measures
        self.variables = len(network.sizes)
        order = elimination_order(network.sizes, (table.scope for table in network.tables))
        position = {variable: index for index, variable in enumerate(order)}
        scopes = _bucket_scopes(network, order, position)
        entries = sum(math.prod(network.sizes[v] for v in scope) for scope in scopes)
        if entries > MOST_ENTRIES:
            raise TooLargeError(f"elimination would take {entries:.2g} table entries")
        self.buckets: list[Bucket] = []
        self._prepare(network, position, scopes)

    def run(self, weightings: Numbers) -> Eliminated:
        """Eliminate all variables.

        Args:
            weightings: weightings × measures.
        """
        costs = weightings @ self._costs
        costs += self._forbidden
        count = len(weightings)
        tables: list[Numbers] = []
        messages: list[Numbers] = []
        for bucket in self.buckets:
            table = costs[:, bucket.start : bucket.stop].reshape(count, *bucket.shape)
            for source, shape in bucket.inputs:
                table = table + messages[source].reshape(count, *shape)
            tables.append(table)
            messages.append(table.min(axis=-1))
        values = weightings @ self._constant + self._impossible
        for root in self._roots:
            values = values + messages[root]
        return Eliminated(values, tables, messages)

    def best(self, eliminated: Eliminated, weighting: int) -> list[int]:
        """A state of least cost for each variable."""
        states = [0] * self.variables
        for bucket, table in zip(reversed(self.buckets), reversed(eliminated.tables), strict=True):
            states[bucket.variable] = int(table[(weighting, *[states[v] for v in bucket.scope])].argmin())
        return states

    def measure(self, states: Sequence[int]) -> Numbers:
        """Every measure of one state for each variable."""
        entries = []
        for bucket in self.buckets:
            entry = 0
            for variable, size in zip((*bucket.scope, bucket.variable), bucket.shape, strict=True):
                entry = entry * size + (states[variable] if size > 1 else 0)
            entries.append(bucket.start + entry)
        measured: Numbers = self._costs[:, entries].sum(axis=1) + self._constant
        return measured

    def _prepare(self, network: Network, position: dict[int, int], scopes: list[tuple[int, ...]]) -> None:
        count = len(network.measures)
        self._constant = np.zeros(count)
        self._impossible = 0.0
        by_bucket: dict[int, list[int]] = defaultdict(list)
        for index, table in enumerate(network.tables):
            if table.scope:
                by_bucket[min(position[variable] for variable in table.scope)].append(index)
            else:
                self._constant += table.values
                self._impossible += math.inf if table.forbidden is not None else 0.0
        inputs: dict[int, list[tuple[int, tuple[int, ...]]]] = defaultdict(list)
        self._roots: list[int] = []
        costs, forbidden = [np.zeros((count, 0))], [np.zeros(0)]
        start = 0
        for index, scope in enumerate(scopes):
            own = [network.tables[table] for table in by_bucket[index]]
            used = {variable for table in own for variable in table.scope}
            shape = tuple(network.sizes[v] if v in used else 1 for v in scope)
            values, penalty = np.zeros((count, *shape)), np.zeros(shape)
            for table in own:
                axes = sorted(range(len(table.scope)), key=lambda axis: -position[table.scope[axis]])
                here = tuple(network.sizes[v] if v in table.scope else 1 for v in scope)
                values += table.values.transpose(0, *(axis + 1 for axis in axes)).reshape(count, *here)
                if table.forbidden is not None:
                    penalty += np.where(table.forbidden.transpose(axes).reshape(here), math.inf, 0.0)
            stop = start + penalty.size
            costs.append(values.reshape(count, -1))
            forbidden.append(penalty.reshape(-1))
            self.buckets.append(Bucket(scope[-1], scope[:-1], start, stop, shape, tuple(inputs[index])))
            start = stop
            if len(scope) == 1:
                self._roots.append(index)
                continue
            target = position[scope[-2]]
            sent = set(scope[:-1])
            inputs[target].append((index, tuple(network.sizes[v] if v in sent else 1 for v in scopes[target])))
        self._costs = np.concatenate(costs, axis=1)
        self._forbidden = np.concatenate(forbidden)


def _bucket_scopes(network: Network, order: Sequence[int], position: dict[int, int]) -> list[tuple[int, ...]]:
    """For each step the variables of its table, the last eliminated first."""
    joined: list[set[int]] = [{variable} for variable in order]
    for table in network.tables:
        if table.scope:
            joined[min(position[variable] for variable in table.scope)].update(table.scope)
    scopes = []
    for index, variables in enumerate(joined):
        scope = tuple(sorted(variables, key=lambda variable: -position[variable]))
        scopes.append(scope)
        if len(scope) > 1:
            joined[position[scope[-2]]].update(scope[:-1])
        joined[index] = set()
    return scopes
