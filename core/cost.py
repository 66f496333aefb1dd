"""The cost model: the one place where latency, energy, memory and noise of a placement are computed.

With x_ik = 1 where layer i runs on server k, q_i = 1 where it is int8, and y_tkh = 1 where tensor t goes from k to h
(once, however many consumers wait there), thesis chapter 4 has

- latency T = Σ_ik x_ik f̂_k(i, q_i) + Σ_tkh y_tkh g_kh(bytes_t (1 − (1 − 1/α) q_source(t))), where g_kh(b) are the
  seconds of ``core.problem.Link``: b / throughput_kh + rtt_kh, or interpolated between measured sizes; where k ≠ h
  the seconds of ``core.problem.BorderTime`` of t leaving k and entering h are added to it, and what compressing t
  gains there (``Problem.compression_gain``) is taken off,
- energy E = Σ_k P^c_k T^c_k + P^self_k T^x_kk + P^tx_k Σ_{h≠k} T^x_kh, by the seconds of each server and link,
- memory m_k = Σ_i x_ik weight_i (1 − (1 − 1/α) q_i),
- noise η(q), the polynomial of ``core.problem.NoiseModel``.

Planners, baselines and the simulator take these sums apart by ``CostTables`` and the functions beside it.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.graph import GENERATOR, RECEIVER, Tensor
from core.plan import Normalization, Prediction
from core.problem import NO_BORDER, Problem

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
Columns = NDArray[np.int64]

HANDLING_SECONDS = 5e-4
"""Processor time at either end of a tensor's way, beside its border's: 8 ms for 16 tensors in ``bench pipeline``.

The link's seconds contain it; where requests overlap, it also matters whose processor is not free meanwhile.
"""


def compute_seconds(problem: Problem, layer: str, server: str, quantized: bool) -> float:
    """Time of one layer on one server: f̂_k(i,0) − ĝ_k(i) q_i (thesis eq. 4.2.1)."""
    time = problem.execution[server][layer]
    if quantized and time.quantized_seconds is not None:
        return time.quantized_seconds
    return time.seconds


def size_factor(problem: Problem, quantized: bool) -> float:
    """What remains of a size when its producer or layer is int8: 1 − (1 − 1/α) q."""
    return 1 / problem.quantized_size_ratio if quantized else 1.0


@dataclass(frozen=True)
class Transfers:
    """Tensors with one producer and the same targets; they travel together.

    Attributes:
        producer: row of the layer that makes them.
        targets: rows of the distinct layers that wait for them, in topological order.
        sizes: bytes of each, for a producer in float.
    """

    producer: int
    targets: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def tensors(self) -> int:
        """How many there are."""
        return len(self.sizes)


class CostTables:
    """Every number of a problem's cost model, as arrays; ``Problem.costs`` keeps them.

    Rows are the model's layers in their order, then the generator and the receiver; columns are the problem's
    servers in theirs; the last axis, of two, is float and int8.

    The seconds to send a tensor of b bytes over a link are piecewise linear in b: a sum, for each link with its own
    weights, of the basis functions 1, b and max(0, b − knot) for every knot of any link. What groups, cuts or plans
    send can therefore be added up before it is weighed. Where the problem has border times, there are two more basis
    functions for each server: the seconds of the tensor's leaving and of its entering there. Each link on which
    compressing any tensor pays has one more: the seconds that it gains.

    Attributes:
        rows: name → row.
        seconds: rows × servers × 2: of computing; infinite where the layer may not run.
        weight_bytes: rows × 2.
        transfers: what is sent, of which tensors that nobody waits for are no part.
        basis: transfers × 2 × basis functions: their values, summed over the tensors of each group.
        seconds_per_basis: servers × basis functions × servers: weights of the links; 0 where no link is. Those of the
            first basis function are what a tensor of no bytes takes: the round-trip times, replies aside.
        leaving_per_basis: servers × basis functions: weights of the seconds for which a tensor that leaves keeps the
            server from computing.
        entering_per_basis: the same for one that enters.
        missing: servers × servers: pairs between which nothing can be sent.
        compute_watts: by server.
        transmit_watts: servers × servers: power of the first while it sends to the second.
        factors: what remains of a size in float and in int8.
    """

    def __init__(self, problem: Problem) -> None:
        model = problem.model
        self._problem = problem
        self._columns = {server.name: column for column, server in enumerate(problem.servers)}
        self.rows = {name: row for row, name in enumerate((*model.by_name, GENERATOR, RECEIVER))}
        self.factors = np.array([size_factor(problem, False), size_factor(problem, True)])
        self.seconds = np.full((len(self.rows), len(self._columns), 2), np.inf)
        self.seconds[-2:, 0] = 0.0
        may_run: dict[str, list[int]] = defaultdict(list)
        for row, layer in enumerate(model.layers):
            for server in problem.allowed_servers(layer.name):
                may_run[server].append(row)
        for server, rows in may_run.items():
            column, times = self._columns[server], problem.execution[server]
            self.seconds[rows, column] = np.array([[times[model.layers[row].name].seconds] for row in rows])
            for row in rows:
                layer = model.layers[row]
                if layer.quantizable:
                    self.seconds[row, column, 1] = compute_seconds(problem, layer.name, server, quantized=True)
        weights = np.array([*(float(layer.weight_bytes) for layer in model.layers), 0.0, 0.0])
        self.weight_bytes = weights[:, None] * self.factors
        self._read_links()
        self._read_borders()
        self.transfers = self._group_tensors()
        self._read_compression()
        self._read_handling()
        targets = [(index, row) for index, group in enumerate(self.transfers) for row in group.targets]
        self._group_of, self._target_of = np.array(targets, dtype=np.int64).reshape(-1, 2).T
        self._producers = np.array([group.producer for group in self.transfers], dtype=np.int64)
        self.basis = self._basis_values()
        self._index = {(group.producer, group.targets): index for index, group in enumerate(self.transfers)}

    def _read_links(self) -> None:
        problem, columns = self._problem, self._columns
        count = len(columns)
        bends = sorted({bytes_ for link in problem.links for bytes_, _ in link.knots[1:]})
        self._bends = np.array(bends)
        self.seconds_per_basis = np.zeros((count, 2 + len(bends), count))
        position = {bytes_: 2 + index for index, bytes_ in enumerate(bends)}
        self.missing: Flags = ~np.eye(count, dtype=bool)
        for link in problem.links:
            pair = columns[link.source], columns[link.target]
            knots = np.array(link.knots)
            slopes = np.append(np.diff(knots[:, 1]) / np.diff(knots[:, 0]), 1 / link.bytes_per_second)
            weights = self.seconds_per_basis[pair[0], :, pair[1]]
            weights[:2] = link.delay_seconds, slopes[0]
            weights[[position[bytes_] for bytes_, _ in link.knots[1:]]] = np.diff(slopes)
            self.missing[pair] = False
        self.compute_watts = np.array([server.compute_watts for server in problem.servers])
        self.transmit_watts = np.repeat([[server.transmit_watts] for server in problem.servers], count, axis=1)
        np.fill_diagonal(self.transmit_watts, [server.self_transmit_watts for server in problem.servers])

    def _read_borders(self) -> None:
        """Weigh leaving where the tensor comes from, and entering where it goes; nothing stays at home to cross."""
        servers = self._problem.servers if self._problem.borders else ()
        crossing = ~np.eye(len(self._columns), dtype=bool) & ~self.missing
        weights = np.zeros((len(self._columns), 2 * len(servers), len(self._columns)))
        for column in range(len(servers)):
            weights[column, column] = crossing[column]
            weights[:, len(servers) + column, column] = crossing[:, column]
        self.seconds_per_basis = np.concatenate([self.seconds_per_basis, weights], axis=1)

    def _read_compression(self) -> None:
        """Find what compressing gains on each link, float and int8 apart: links × 2 × tensors."""
        problem, found, weights = self._problem, [], []
        known = problem.compression.keys() | problem.quantized_compression.keys()
        candidates = [(index, tensor) for index, tensor in enumerate(self._sent) if tensor.name in known]
        for link in problem.links if candidates else ():
            gains = np.zeros((2, len(self._sent)))
            for index, tensor in candidates:
                for precision in (0, 1):
                    gains[precision, index] = problem.compression_gain(
                        tensor, link.source, link.target, bool(precision)
                    )
            if gains.any():
                found.append(gains)
                weights.append(np.zeros((len(self._columns), len(self._columns))))
                weights[-1][self._columns[link.source], self._columns[link.target]] = -1.0
        self._gains: Sequence[Numbers] = found
        if weights:
            self.seconds_per_basis = np.concatenate([self.seconds_per_basis, np.stack(weights, axis=1)], axis=1)

    def _read_handling(self) -> None:
        """Weigh what a crossing takes of processors, which is known where border times are."""
        count = len(self._columns)
        self.leaving_per_basis, self.entering_per_basis = np.zeros((2, count, self.seconds_per_basis.shape[1]))
        if self._problem.borders:
            first, own = 2 + len(self._bends), np.arange(count)
            for weights, columns in ((self.leaving_per_basis, own), (self.entering_per_basis, count + own)):
                weights[:, 0] = HANDLING_SECONDS
                weights[own, first + columns] = 1.0

    def _group_tensors(self) -> tuple[Transfers, ...]:
        model = self._problem.model
        position = {name: index for index, name in enumerate(model.topological_order)}
        groups: dict[tuple[str, tuple[str, ...]], list[Tensor]] = defaultdict(list)
        for tensor in model.tensors:
            if tensor.targets:
                groups[tensor.producer, tuple(sorted(tensor.targets, key=position.__getitem__))].append(tensor)
        self._sent = [tensor for tensors in groups.values() for tensor in tensors]
        return tuple(
            Transfers(
                self.rows[producer],
                tuple(map(self.rows.__getitem__, targets)),
                tuple(tensor.bytes for tensor in tensors),
            )
            for (producer, targets), tensors in groups.items()
        )

    def _basis_values(self) -> Numbers:
        group_of = np.repeat(np.arange(len(self.transfers)), [group.tensors for group in self.transfers])
        sizes = np.array([size for group in self.transfers for size in group.sizes], dtype=float)
        values = np.zeros((len(self.transfers), 2, self.seconds_per_basis.shape[1]))
        for precision, factor in enumerate(self.factors):
            bent = np.maximum(0.0, sizes * factor - self._bends[:, None])
            of_each = (np.ones_like(sizes), sizes * factor, *bent, *self._border_seconds(precision))
            of_each += tuple(gains[precision] for gains in self._gains)
            for index, column in enumerate(of_each):
                values[:, precision, index] = np.bincount(group_of, column, len(self.transfers))
        return values

    def _border_seconds(self, precision: int) -> list[list[float]]:
        """Seconds of leaving, then of entering, by server and tensor; none where the problem has no border times."""
        if not self._problem.borders:
            return []
        known = [self._problem.borders.get(server.name, {}) for server in self._problem.servers]
        times = [[borders.get(tensor.name, NO_BORDER) for tensor in self._sent] for borders in known]
        leaving = [[one.leaving[precision] for one in row] for row in times]
        return leaving + [[one.entering[precision] for one in row] for row in times]

    def transfer_seconds(self, group: Transfers) -> Numbers:
        """Seconds to send a group from each server (axis 0), made in float or int8 (axis 1), to each (axis 2)."""
        seconds: Numbers = self.basis[self._index[group.producer, group.targets]] @ self.seconds_per_basis
        return seconds

    def queue_seconds(self, group: Transfers) -> Numbers:
        """The part of ``transfer_seconds`` for which the sender's next tensors wait; the rest is on the way."""
        basis = self.basis[self._index[group.producer, group.targets]]
        seconds: Numbers = basis[:, 1:] @ self.seconds_per_basis[:, 1:]
        return seconds

    def processor_seconds(self, group: Transfers) -> tuple[Numbers, Numbers]:
        """Seconds for which a group's crossing keeps the sender (axis 0) from computing, and the receiver (axis 0).

        Of each made in float or int8 (axis 1). Nothing where the problem has no border times.
        """
        basis = self.basis[self._index[group.producer, group.targets]]
        return self.leaving_per_basis @ basis.T, self.entering_per_basis @ basis.T

    @property
    def delays(self) -> Numbers:
        """Servers × servers: what a tensor of no bytes takes."""
        return self.seconds_per_basis[:, 0]

    def predict(self, placement: Mapping[str, str], quantized: Collection[str]) -> Prediction | None:
        """See the module's ``predict``."""
        where = self._where(placement)
        chosen = np.zeros(len(self.rows), dtype=np.int64)
        chosen[[self.rows[name] for name in quantized]] = 1
        count = len(self._columns)
        everything = np.arange(len(self.rows))
        computing = np.bincount(where, self.seconds[everything, where, chosen], count)
        memory = np.bincount(where, self.weight_bytes[everything, chosen], count)
        group, source, target = self._sendings(where)
        if self.missing[source, target].any():
            return None
        weights = self.seconds_per_basis[source, :, target]
        sending = (self.basis[group, chosen[self._producers[group]]] * weights).sum(axis=1)
        joules = computing * self.compute_watts
        joules += np.bincount(source, sending * self.transmit_watts[source, target], count)
        noise = self._problem.noise
        return Prediction(
            latency_seconds=float(computing.sum() + sending.sum()),
            energy_joules=float(joules.sum()),
            device_energy_joules=float(joules[0]),
            noise=noise.predict(frozenset(quantized)) if noise else 0.0,
            memory_bytes={name: round(float(memory[column])) for name, column in self._columns.items()},
        )

    def gains(self, placement: Mapping[str, str], layers: Sequence[str]) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """What changes when each of ``layers`` alone becomes int8, in a placement that misses no link.

        Returns:
            Seconds of latency, joules, joules of the device, and bytes of weights on the layer's server, by layer.
        """
        where = self._where(placement)
        rows = np.array([self.rows[name] for name in layers], dtype=np.int64)
        column = where[rows]
        group, source, target = self._sendings(where)
        difference = self.basis[group, 1] - self.basis[group, 0]
        sending = (difference * self.seconds_per_basis[source, :, target]).sum(axis=1)
        producer = self._producers[group]
        computing = self.seconds[rows, column, 1] - self.seconds[rows, column, 0]
        latency = computing + np.bincount(producer, sending, len(self.rows))[rows]
        sent = np.bincount(producer, sending * self.transmit_watts[source, target], len(self.rows))
        joules = computing * self.compute_watts[column] + sent[rows]
        weights = np.round(self.weight_bytes[rows])
        return latency, joules, np.where(column == 0, joules, 0.0), weights[:, 1] - weights[:, 0]

    def _where(self, placement: Mapping[str, str]) -> Columns:
        """The server of every row."""
        where = np.zeros(len(self.rows), dtype=np.int64)
        where[:-2] = list(map(self._columns.__getitem__, map(placement.__getitem__, self._problem.model.by_name)))
        return where

    def _sendings(self, where: Columns) -> tuple[Columns, Columns, Columns]:
        """Group, source and target of what is sent: once for each destination, however many targets are there."""
        count = len(self._columns)
        group, target = np.divmod(np.unique(self._group_of * count + where[self._target_of]), count)
        return group, where[self._producers[group]], target


def predict(problem: Problem, placement: Mapping[str, str], quantized: Collection[str]) -> Prediction | None:
    """Latency, energy, noise and memory of a placement.

    Args:
        placement: layer → server for every layer of the model; generator and receiver are on the device.
        quantized: layers that are int8.

    Returns:
        The prediction, or ``None`` where a tensor would need a link that does not exist.
    """
    return problem.costs.predict(placement, quantized)


def violated_limit(problem: Problem, prediction: Prediction, tolerance: float = 1e-6) -> str | None:
    """Name the first limit that a prediction breaks, with both values, or ``None``."""
    limits = problem.limits
    if limits.noise is not None and prediction.noise > limits.noise + tolerance * max(1.0, limits.noise):
        return f"noise {prediction.noise:.6g} is above the limit {limits.noise:.6g}"
    cap = limits.device_energy_joules
    if cap is not None and prediction.device_energy_joules > cap + tolerance * max(1.0, cap):
        return f"device energy {prediction.device_energy_joules:.6g} J is above the limit {cap:.6g} J"
    for server in problem.servers:
        room = server.memory_bytes
        if room is not None and prediction.memory_bytes[server.name] > room + 1:
            return f"memory of {server.name}: {prediction.memory_bytes[server.name]} bytes needed, {room} allowed"
    return None


def weighted_objective(problem: Problem, normalization: Normalization, prediction: Prediction) -> float:
    """ω_T (T − T_min)/(T_max − T_min) + ω_E (E − E_min)/(E_max − E_min); a range of zero counts as zero."""

    def share(value: float, low: float, high: float) -> float:
        return (value - low) / (high - low) if high - low > 1e-12 * max(1.0, abs(high)) else 0.0

    return problem.objective.latency_weight * share(
        prediction.latency_seconds, normalization.latency_min, normalization.latency_max
    ) + problem.objective.energy_weight * share(
        prediction.energy_joules, normalization.energy_min, normalization.energy_max
    )
