"""The cost model: the one place where latency, energy, memory and noise of a placement are computed.

With x_ik = 1 where layer i runs on server k, q_i = 1 where it is int8, and y_tkh = 1 where tensor t goes from k to h
(once, however many consumers wait there), thesis chapter 4 has

- latency T = Σ_ik x_ik f̂_k(i, q_i) + Σ_tkh y_tkh (bytes_t (1 − (1 − 1/α) q_source(t)) / throughput_kh + rtt_kh),
- energy E = Σ_k P^c_k T^c_k + P^self_k T^x_kk + P^tx_k Σ_{h≠k} T^x_kh, by the seconds of each server and link,
- memory m_k = Σ_i x_ik weight_i (1 − (1 − 1/α) q_i),
- noise η(q), the polynomial of ``core.problem.NoiseModel``.

Planners, baselines and the simulator take these sums apart by ``CostTables`` and the functions beside it.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.graph import GENERATOR, RECEIVER
from core.plan import Normalization, Prediction
from core.problem import Problem

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]


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
        byte_count: their sizes added up, for a producer in float.
        tensors: how many there are.
    """

    producer: int
    targets: tuple[int, ...]
    byte_count: int
    tensors: int


class CostTables:
    """Every number of a problem's cost model, as arrays; ``Problem.costs`` keeps them.

    Rows are the model's layers in their order, then the generator and the receiver; columns are the problem's
    servers in theirs; the last axis, of two, is float and int8.

    Attributes:
        rows: name → row.
        seconds: rows × servers × 2: of computing; infinite where the layer may not run.
        weight_bytes: rows × 2.
        transfers: what is sent, of which tensors that nobody waits for are no part.
        seconds_per_byte: servers × servers: of sending; 0 where no link is.
        seconds_per_tensor: servers × servers: round-trip times; 0 where no link is.
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
        for row, layer in enumerate(model.layers):
            for server in problem.allowed_servers(layer.name):
                column = self._columns[server]
                self.seconds[row, column] = compute_seconds(problem, layer.name, server, quantized=False)
                if layer.quantizable:
                    self.seconds[row, column, 1] = compute_seconds(problem, layer.name, server, quantized=True)
        weights = np.array([*(float(layer.weight_bytes) for layer in model.layers), 0.0, 0.0])
        self.weight_bytes = weights[:, None] * self.factors
        self._read_links()
        self.transfers = self._group_tensors()
        targets = [(index, row) for index, group in enumerate(self.transfers) for row in group.targets]
        self._group_of, self._target_of = np.array(targets, dtype=np.int64).reshape(-1, 2).T
        self._producers = np.array([group.producer for group in self.transfers], dtype=np.int64)
        self._byte_counts = np.array([group.byte_count for group in self.transfers], dtype=float)
        self._tensor_counts = np.array([group.tensors for group in self.transfers], dtype=float)

    def _read_links(self) -> None:
        problem, columns = self._problem, self._columns
        count = len(columns)
        self.seconds_per_byte, self.seconds_per_tensor = np.zeros((count, count)), np.zeros((count, count))
        self.missing: Flags = ~np.eye(count, dtype=bool)
        for link in problem.links:
            pair = columns[link.source], columns[link.target]
            self.seconds_per_tensor[pair] = link.seconds(0.0)
            self.seconds_per_byte[pair] = 1 / link.bytes_per_second
            self.missing[pair] = False
        self.compute_watts = np.array([server.compute_watts for server in problem.servers])
        self.transmit_watts = np.repeat([[server.transmit_watts] for server in problem.servers], count, axis=1)
        np.fill_diagonal(self.transmit_watts, [server.self_transmit_watts for server in problem.servers])

    def _group_tensors(self) -> tuple[Transfers, ...]:
        model = self._problem.model
        position = {name: index for index, name in enumerate(model.topological_order)}
        groups: dict[tuple[str, tuple[str, ...]], list[int]] = defaultdict(list)
        for tensor in model.tensors:
            if tensor.targets:
                groups[tensor.producer, tuple(sorted(tensor.targets, key=position.__getitem__))].append(tensor.bytes)
        return tuple(
            Transfers(self.rows[producer], tuple(map(self.rows.__getitem__, targets)), sum(sizes), len(sizes))
            for (producer, targets), sizes in groups.items()
        )

    def transfer_seconds(self, group: Transfers) -> Numbers:
        """Seconds to send a group from each server (axis 0), made in float or int8 (axis 1), to each (axis 2)."""
        return (
            group.byte_count * self.factors[:, None] * self.seconds_per_byte[:, None]
            + group.tensors * self.seconds_per_tensor[:, None]
        )

    def predict(self, placement: Mapping[str, str], quantized: Collection[str]) -> Prediction | None:
        """See the module's ``predict``."""
        where = np.zeros(len(self.rows), dtype=np.int64)
        where[:-2] = [self._columns[placement[layer.name]] for layer in self._problem.model.layers]
        chosen = np.zeros(len(self.rows), dtype=np.int64)
        chosen[[self.rows[name] for name in quantized]] = 1
        count = len(self._columns)
        everything = np.arange(len(self.rows))
        computing = np.bincount(where, self.seconds[everything, where, chosen], count)
        memory = np.bincount(where, self.weight_bytes[everything, chosen], count)
        # One transfer for each destination of a group, however many of its targets are there.
        group, target = np.divmod(np.unique(self._group_of * count + where[self._target_of]), count)
        source = where[self._producers[group]]
        if self.missing[source, target].any():
            return None
        byte_counts = self._byte_counts[group] * self.factors[chosen[self._producers[group]]]
        sending = (
            byte_counts * self.seconds_per_byte[source, target]
            + self._tensor_counts[group] * self.seconds_per_tensor[source, target]
        )
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
