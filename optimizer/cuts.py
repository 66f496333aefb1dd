"""Latency and energy of every single cut at once, for the baseline.

A cut at position p of the topological order runs the first p layers on one server and the rest on another.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.cost import compute_seconds, size_factor
from core.graph import GENERATOR, RECEIVER
from core.problem import Problem

Vector = NDArray[np.float64]
Positions = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class CutCosts:
    """Costs of the cuts between one pair of servers, by position 0 to n.

    Attributes:
        possible: whether every layer may run where the cut puts it and no link is missing.
        latency: seconds.
        energy: joules.
        device_energy: joules of the device.
        first_memory: weight bytes before the cut.
        second_memory: weight bytes after it.
    """

    possible: Mask
    latency: Vector
    energy: Vector
    device_energy: Vector
    first_memory: Vector
    second_memory: Vector


class Cuts:
    """The single cuts of a problem with a fixed set of int8 layers."""

    def __init__(self, problem: Problem, quantized: frozenset[str]) -> None:
        self._problem = problem
        self.order = [name for name in problem.model.topological_order if name not in (GENERATOR, RECEIVER)]
        position = {name: index for index, name in enumerate(self.order)}
        self._count = len(self.order)
        allowed = [problem.allowed_servers(name) for name in self.order]
        self._allowed = {
            server.name: np.array([server.name in servers for servers in allowed], dtype=bool)
            for server in problem.servers
        }
        self._seconds = {
            server: np.array(
                [
                    compute_seconds(problem, name, server, name in quantized) if may_run else 0.0
                    for name, may_run in zip(self.order, mask, strict=True)
                ]
            )
            for server, mask in self._allowed.items()
        }
        layers = (problem.model.by_name[name] for name in self.order)
        weights = [layer.weight_bytes * size_factor(problem, layer.name in quantized) for layer in layers]
        self._memory = np.concatenate(([0.0], np.cumsum(weights)))
        used = [tensor for tensor in problem.model.tensors if tensor.targets]
        factors = [size_factor(problem, tensor.producer in quantized) for tensor in used]
        self._bytes = np.array([tensor.bytes for tensor in used]) * factors
        reached = [[position[name] for name in tensor.targets if name != RECEIVER] for tensor in used]
        # The generator is before every cut and no layer; positions beyond the order stand for "no layer".
        self._source = np.array([position.get(tensor.producer, -1) for tensor in used], dtype=np.int64)
        self._first = np.array([min(places, default=self._count) for places in reached], dtype=np.int64)
        self._last = np.array([max(places, default=-1) for places in reached], dtype=np.int64)
        self._received = np.array([RECEIVER in tensor.targets for tensor in used], dtype=bool)

    def costs(self, first: str, second: str) -> CutCosts:
        """Costs of running the layers before the cut on ``first`` and the others on ``second``."""
        servers = self._problem.server_by_name
        before = np.concatenate(([0.0], np.cumsum(self._seconds[first])))
        after = np.concatenate((np.cumsum(self._seconds[second][::-1])[::-1], [0.0]))
        latency = before + after
        energy = {first: before * servers[first].compute_watts, second: after * servers[second].compute_watts}
        energy.setdefault(self._problem.device, np.zeros(self._count + 1))
        possible = np.concatenate(([True], np.logical_and.accumulate(self._allowed[first])))
        possible &= np.concatenate((np.logical_and.accumulate(self._allowed[second][::-1])[::-1], [True]))
        for source, target, low, high in self._transfers(first, second):
            link = self._problem.link_by_pair.get((source, target))
            if link is None:
                possible &= (source == target) | (self._sum(low, high, np.ones(len(low))) < 0.5)
                continue
            seconds = self._sum(low, high, self._bytes / link.bytes_per_second + link.rtt_seconds)
            sender = servers[source]
            latency = latency + seconds
            energy[source] = energy[source] + seconds * (
                sender.self_transmit_watts if source == target else sender.transmit_watts
            )
        return CutCosts(
            possible=possible,
            latency=latency,
            energy=np.sum(list(energy.values()), axis=0),
            device_energy=energy[self._problem.device],
            first_memory=self._memory,
            second_memory=self._memory[-1] - self._memory,
        )

    def _transfers(self, first: str, second: str) -> Iterator[tuple[str, str, Positions, Positions]]:
        """For pairs of servers, the first and last cut position at which each tensor goes from one to the other."""
        generated = self._source < 0
        always = (np.zeros_like(self._source), np.full_like(self._source, self._count))
        never = (np.full_like(self._source, self._count + 1), np.full_like(self._source, -1))
        made = (
            (self._problem.device, (np.where(generated, 0, never[0]), always[1])),
            (first, (np.where(generated, never[0], self._source + 1), always[1])),
            (second, (always[0], np.where(generated, never[1], self._source))),
        )
        for target in dict.fromkeys((first, second, self._problem.device)):
            low, high = never
            if target == first:
                low, high = self._first + 1, always[1]
            elif target == second:
                low, high = always[0], self._last
            if target == self._problem.device:
                low, high = np.where(self._received, 0, low), np.where(self._received, self._count, high)
            for source, (earliest, latest) in made:
                yield source, target, np.maximum(earliest, low), np.minimum(latest, high)

    def _sum(self, low: Positions, high: Positions, values: Vector) -> Vector:
        """Sum of the values whose interval of positions covers each position; low > high is an empty one."""
        covered = low <= high
        steps = np.zeros(self._count + 2)
        np.add.at(steps, low[covered], values[covered])
        np.add.at(steps, high[covered] + 1, -values[covered])
        return np.cumsum(steps)[:-1]
