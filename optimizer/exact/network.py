"""A placement problem as variables with few states and cost tables over them (a graphical model).

Variables: the server of each layer, the precision of each quantisable layer (0 float, 1 int8) and, where a tensor
has many consumers, the set of servers that its first consumers are on. Tables: one for each layer, one for each
group of tensors that go from one layer to the same consumers, where every distinct destination is paid once, and
one that forbids the sets of int8 layers that are too noisy. What has one state only is left out of the scopes.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.cost import size_factor
from core.graph import GENERATOR, RECEIVER, Layer
from core.problem import Problem
from optimizer.measures import DEVICE_ENERGY, ENERGY, LATENCY, memory_of
from optimizer.noise import allowed_masks

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

TIMED = 3
"""The first measures, latency, energy and device energy, grow with time; memories follow."""

LARGEST_CLIQUE = 4096
"""A tensor whose table would have more entries gets auxiliary variables."""

MOST_SETS = 256
"""Most states of an auxiliary variable."""

MOST_ENTRIES = 8_000_000
"""Most entries of all tables together, for some hundreds of megabytes in all."""


class TooLargeError(Exception):
    """The tables would be too large; the message says how large."""


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
    """Variables and tables of one problem.

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


class PlacementNetwork:
    """The network of a problem, and how its states read as servers and int8 layers.

    Args:
        problem: every layer must have an allowed server.
        noise_limit: the sets of int8 layers above it are impossible; ``None`` allows all. With a limit, the
            quantisable layers must be few enough to enumerate their sets.

    Raises:
        TooLargeError: a tensor has too many consumers on too many servers.
    """

    def __init__(self, problem: Problem, noise_limit: float | None) -> None:
        self._problem = problem
        self._servers = [server.name for server in problem.servers]
        limited = [server.name for server in problem.servers if server.memory_bytes is not None]
        self._memory_row = {self._servers.index(name): TIMED + row for row, name in enumerate(limited)}
        self.network = Network((LATENCY, ENERGY, DEVICE_ENERGY, *map(memory_of, limited)))
        self._factors = np.array([size_factor(problem, False), size_factor(problem, True)])
        self._read_links()
        self._on: dict[str, list[int]] = {GENERATOR: [0], RECEIVER: [0]}
        self._place: dict[str, int] = {GENERATOR: self.network.variable(1), RECEIVER: self.network.variable(1)}
        self._precisions: dict[str, list[int]] = {}
        self._precision: dict[str, int] = {}
        self._float = self.network.variable(1)
        self._limit_noise(noise_limit)
        for layer in problem.model.layers:
            self._add_layer(layer)
        self._add_tensors()

    def read(self, states: Sequence[int]) -> tuple[dict[str, str], frozenset[str]]:
        """Placement and int8 layers of one state for each variable."""
        placement = {
            layer.name: self._servers[self._on[layer.name][states[self._place[layer.name]]]]
            for layer in self._problem.model.layers
        }
        chosen = (name for name, choices in self._precisions.items() if choices[states[self._precision[name]]])
        return placement, frozenset(chosen)

    def _read_links(self) -> None:
        count = len(self._servers)
        self._per_byte, self._per_tensor = np.zeros((count, count)), np.zeros((count, count))
        self._missing = ~np.eye(count, dtype=bool)
        position = {name: index for index, name in enumerate(self._servers)}
        for link in self._problem.links:
            pair = position[link.source], position[link.target]
            self._per_byte[pair], self._per_tensor[pair] = 1 / link.bytes_per_second, link.rtt_seconds
            self._missing[pair] = False
        servers = self._problem.servers
        self._compute_watts = np.array([server.compute_watts for server in servers])
        watts = np.repeat([[server.transmit_watts] for server in servers], count, axis=1)
        np.fill_diagonal(watts, [server.self_transmit_watts for server in servers])
        device = np.zeros_like(watts)
        device[0] = watts[0]
        # Weights of a second of each transfer in latency, energy and device energy.
        self._transfer_weights = np.stack((np.ones_like(watts), watts, device))

    def _limit_noise(self, limit: float | None) -> None:
        layers = self._problem.model.quantizable
        self._precisions = {name: [0, 1] for name in layers}
        allowed = None
        if limit is not None and layers:
            # Row numbers of masks are binary with the first layer lowest, hence the axes in reverse.
            allowed = allowed_masks(self._problem.noise, layers, limit).reshape((2,) * len(layers))
            for axis, name in enumerate(reversed(layers)):
                possible = allowed.any(axis=tuple(other for other in range(len(layers)) if other != axis))
                # Where nothing is possible, the table below says so.
                self._precisions[name] = np.flatnonzero(possible).tolist() or [0]
        for name, choices in self._precisions.items():
            self._precision[name] = self.network.variable(len(choices))
        if allowed is not None:
            backwards = list(reversed(layers))
            left = allowed[np.ix_(*(self._precisions[name] for name in backwards))]
            scope = [self._precision[name] for name in backwards]
            self.network.add(scope, np.zeros((len(self.network.measures), *left.shape)), ~left)

    def _add_layer(self, layer: Layer) -> None:
        on = [self._servers.index(server) for server in self._problem.allowed_servers(layer.name)]
        self._on[layer.name] = on
        self._place[layer.name] = self.network.variable(len(on))
        precisions = self._precisions.get(layer.name, [0])
        times = [self._problem.execution[self._servers[server]][layer.name] for server in on]
        seconds = np.array(
            [
                [
                    time.quantized_seconds if q and time.quantized_seconds is not None else time.seconds
                    for q in precisions
                ]
                for time in times
            ]
        )
        values = np.zeros((len(self.network.measures), *seconds.shape))
        values[0] = seconds
        values[1] = seconds * self._compute_watts[on, None]
        for row, server in enumerate(on):
            if server == 0:
                values[2, row] = values[1, row]
            if server in self._memory_row:
                values[self._memory_row[server], row] = layer.weight_bytes * self._factors[precisions]
        self.network.add((self._place[layer.name], self._precision.get(layer.name, self._float)), values)

    def _add_tensors(self) -> None:
        order = {name: index for index, name in enumerate(self._problem.model.topological_order)}
        groups: dict[tuple[str, tuple[str, ...]], list[int]] = defaultdict(list)
        for tensor in self._problem.model.tensors:
            groups[tensor.producer, tuple(sorted(tensor.targets, key=order.__getitem__))].append(tensor.bytes)
        for (producer, targets), sizes in groups.items():
            if targets:
                self._add_transfers(producer, targets, sum(sizes), len(sizes))

    def _add_transfers(self, producer: str, targets: Sequence[str], byte_count: int, count: int) -> None:
        on = self._on[producer]
        precisions = self._precisions.get(producer, [0])
        factors = self._factors[precisions][:, None]
        seconds = byte_count * factors * self._per_byte[on][:, None] + count * self._per_tensor[on][:, None]
        missing = np.broadcast_to(self._missing[on][:, None], seconds.shape)
        if not seconds.any() and not missing.any():
            return
        # From here on: measures × producer's servers × its precisions × destinations.
        costs = self._transfer_weights[:, on][:, :, None] * seconds
        variables, reached = self._destinations(targets, len(on) * len(precisions))
        shape = reached.shape[1:]
        values = np.zeros((len(self.network.measures), *seconds.shape[:2], *shape))
        values[:TIMED] = np.tensordot(costs, reached, 1)
        forbidden = np.tensordot(missing, reached, 1) > 0
        scope = (self._place[producer], self._precision.get(producer, self._float), *variables)
        self.network.add(scope, values, forbidden)

    def _destinations(self, targets: Sequence[str], states: int) -> tuple[list[int], Numbers]:
        """Variables that tell where a tensor is needed, and by their states which servers that is.

        The second is servers × states, 1 where the tensor goes to the server.
        """
        domains = [self._on[name] for name in targets]
        everywhere = sorted(set(itertools.chain.from_iterable(domains)))
        entries = states * math.prod(map(len, domains))
        if len(targets) > 2 and entries > LARGEST_CLIQUE and 2 ** len(everywhere) <= MOST_SETS:
            variable, sets = self._union(targets)
            return [variable], np.array(
                [[float(server in one) for one in sets] for server in range(len(self._servers))]
            )
        if entries > MOST_ENTRIES:
            raise TooLargeError(f"a tensor with {len(targets)} consumers would take {entries:.2g} table entries")
        reached = np.zeros((len(self._servers), *map(len, domains)))
        for axis, domain in enumerate(domains):
            for state, server in enumerate(domain):
                np.moveaxis(reached[server], axis, 0)[state] = 1.0
        return [self._place[name] for name in targets], reached

    def _union(self, targets: Sequence[str]) -> tuple[int, list[frozenset[int]]]:
        """A variable whose states are the sets of servers that the targets may be on, target by target."""
        variable = self._place[targets[0]]
        sets = [frozenset((server,)) for server in self._on[targets[0]]]
        for name in targets[1:]:
            joined = [[one | {server} for server in self._on[name]] for one in sets]
            after = list(dict.fromkeys(itertools.chain.from_iterable(joined)))
            position = {one: index for index, one in enumerate(after)}
            forbidden = np.ones((len(sets), len(self._on[name]), len(after)), dtype=bool)
            for row, ones in enumerate(joined):
                for column, one in enumerate(ones):
                    forbidden[row, column, position[one]] = False
            union = self.network.variable(len(after))
            values = np.zeros((len(self.network.measures), *forbidden.shape))
            self.network.add((variable, self._place[name], union), values, forbidden)
            variable, sets = union, after
        return variable, sets
