"""Variables with few states, and tables of costs over few of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.cost import Flags, Numbers

Integers = NDArray[np.int64]

LAID_OUT = 4_000
"""Tables of so few entries are laid out."""


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


@dataclass(frozen=True)
class Sending:
    """What a tensor costs that goes to several consumers, too large to be laid out: the sum over distinct servers.

    Attributes:
        variables: of the producer's server, of its precision, and of each consumer's server.
        values: measures × the producer's servers × its precisions × all servers, of which one is the destination.
        forbidden: which of these are impossible, without the measures.
        domains: of each consumer the servers that its states are.
    """

    variables: tuple[int, ...]
    values: Numbers
    forbidden: Flags
    domains: tuple[Integers, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """States of the variables."""
        return (*self.forbidden.shape[:2], *map(len, self.domains))

    def laid_out(self, weighting: Numbers) -> Numbers:
        """Weighted costs over the variables, infinite where impossible."""
        return self._over_all(np.where(self.forbidden, np.inf, np.tensordot(weighting, self.values, 1)))

    def table(self) -> tuple[Numbers, Flags]:
        """Measures × states of the variables, and which of these are impossible."""
        values = np.stack([self._over_all(one) for one in self.values])
        return values, self._over_all(self.forbidden.astype(float)) > 0

    def narrowed(self, kept: Sequence[Integers]) -> "Sending":
        """With some states only of each of ``variables``."""
        domains = tuple(domain[states] for domain, states in zip(self.domains, kept[2:], strict=True))
        values = self.values.take(kept[0], axis=1).take(kept[1], axis=2)
        forbidden = self.forbidden.take(kept[0], axis=0).take(kept[1], axis=1)
        return Sending(self.variables, values, forbidden, domains)

    def relaxed(self) -> list[tuple[tuple[int, ...], Numbers, Flags]]:
        """Scopes, values and what is impossible of tables that add up to no more: the mean over the consumers."""
        return [
            ((*self.variables[:2], variable), self.values[..., domain] / len(self.domains), self.forbidden[..., domain])
            for variable, domain in zip(self.variables[2:], self.domains, strict=True)
        ]

    def _over_all(self, costs: Numbers) -> Numbers:
        count = len(self.domains)
        total = np.zeros((*costs.shape[:2], *(1,) * count))
        for number, domain in enumerate(self.domains):
            shape = [1] * count
            shape[number] = len(domain)
            here = costs[..., domain].reshape(*costs.shape[:2], *shape)
            for before, other in enumerate(self.domains[:number]):
                pair = [1] * count
                pair[before], pair[number] = len(other), len(domain)
                here = np.where((other[:, None] == domain).reshape(pair), 0.0, here)
            total = total + here
        return total


@dataclass
class Network:
    """Variables and tables.

    Attributes:
        measures: names of the tables' measures.
        sizes: number of states of each variable.
        tables: the costs; a placement's measures are the sums over them
        sendings: and these.
    """

    measures: tuple[str, ...]
    sizes: list[int] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    sendings: list[Sending] = field(default_factory=list)

    def variable(self, size: int) -> int:
        """Add a variable."""
        self.sizes.append(size)
        return len(self.sizes) - 1

    def add(self, scope: Sequence[int], values: Numbers, forbidden: Flags | None = None) -> None:
        """Add a table; variables of one state are dropped, and so is a table that says nothing."""
        self.add_alike([scope], values[None], forbidden)

    def add_alike(self, scopes: Sequence[Sequence[int]], values: Numbers, forbidden: Flags | None = None) -> None:
        """Add tables over variables of equal sizes.

        Args:
            scopes: of each table.
            values: tables × measures × states.
            forbidden: which states are impossible in all of them.
        """
        if forbidden is not None and not forbidden.any():
            forbidden = None
        axes = [axis for axis, variable in enumerate(scopes[0]) if self.sizes[variable] > 1]
        shape = tuple(self.sizes[scopes[0][axis]] for axis in axes)
        flags = None if forbidden is None else forbidden.reshape(shape)
        used: Flags = np.any(values.reshape(len(values), -1), axis=1)
        values = values.reshape(*values.shape[:2], *shape)
        for scope, own, some in zip(scopes, values, used.tolist(), strict=True):
            if some or flags is not None:
                self.tables.append(Table(tuple(scope[axis] for axis in axes), own, flags))

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
        for sending in self.sendings:
            if variable in sending.variables:
                everything = zip(sending.variables, sending.sizes, strict=True)
                network.send(sending.narrowed([states if one == variable else np.arange(n) for one, n in everything]))
            else:
                network.sendings.append(sending)
        return network

    def narrowed(self, kept: Sequence[Integers]) -> "Network":
        """The network with only some states of every variable."""
        network = Network(self.measures, [len(states) for states in kept])
        for table in self.tables:
            values, flags = table.values, table.forbidden
            for axis, variable in enumerate(table.scope):
                values = values.take(kept[variable], axis=axis + 1)
                flags = None if flags is None else flags.take(kept[variable], axis=axis)
            network.add(table.scope, values, flags)
        for sending in self.sendings:
            network.send(sending.narrowed([kept[variable] for variable in sending.variables]))
        return network

    def send(self, sending: Sending) -> None:
        """Add what a tensor costs, laid out if that is no large table."""
        if math.prod(sending.sizes) <= LAID_OUT:
            self.add(sending.variables, *sending.table())
        else:
            self.sendings.append(sending)

    def relaxed(self) -> "Network":
        """The same with tables for tensors that cost at most as much."""
        network = Network(self.measures, list(self.sizes), list(self.tables))
        for sending in self.sendings:
            for scope, values, forbidden in sending.relaxed():
                network.add(scope, values, forbidden)
        return network
