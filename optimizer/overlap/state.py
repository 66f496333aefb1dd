"""A placement of super-nodes that changes move by move, with its times and energies at hand."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.objective import Goal
from core.problem import Problem
from core.simulation import Send, run
from optimizer.noise import TOLERANCE
from optimizer.overlap.contraction import Contraction
from optimizer.solution import Solution


@dataclass(frozen=True)
class Move:
    """Super-nodes to put on other servers, and quantisable layers to change between float and int8, by number."""

    places: tuple[tuple[int, int], ...] = ()
    toggles: tuple[int, ...] = ()


class State:
    """Where super-nodes are, which layers are int8, and what that means.

    Args:
        problem: gives watts, limits and noise.
        contraction: of it.
        start: a plan that the contraction keeps possible.
    """

    def __init__(self, problem: Problem, contraction: Contraction, start: Solution) -> None:
        self._problem = problem
        self._contraction = contraction
        self._names = problem.model.quantizable
        numbers = {server.name: number for number, server in enumerate(problem.servers)}
        self._count = len(numbers)
        self._watts = [server.compute_watts for server in problem.servers]
        self._sending_watts = problem.costs.transmit_watts.tolist()
        self._delays = problem.costs.delays.tolist()
        self._rooms = [
            math.inf if server.memory_bytes is None else server.memory_bytes * (1 + TOLERANCE)
            for server in problem.servers
        ]
        self._lighter = [
            problem.model.by_name[name].weight_bytes * (1 - 1 / problem.quantized_size_ratio) for name in self._names
        ]
        layers: list[list[int]] = [[] for _ in contraction.members]
        for layer, home in enumerate(contraction.homes):
            layers[home].append(layer)
        self._layers = layers
        self.places = [numbers[start.placement.get(members[0], problem.device)] for members in contraction.members]
        self.int8 = [name in start.quantized for name in self._names]
        size = contraction.size
        self.seconds = [0.0] * size
        self.sends: list[list[Send]] = [[] for _ in range(size)]
        self._queued = [0.0] * size
        self._handling: list[list[tuple[int, float]]] = [[] for _ in range(size)]
        self._joules = [0.0] * size
        self._bytes = [0.0] * size
        self._missing = [False] * size
        self._noise = start.prediction.noise
        self.waits = [0] * size
        for parcels in contraction.parcels:
            for parcel in parcels:
                for target in parcel.targets:
                    self.waits[target] += target != parcel.sender
        for node in range(size):
            self._refresh(node)

    def apply(self, move: Move) -> Move:
        """Make a move; returns the one that undoes it."""
        undo = Move(tuple((node, self.places[node]) for node, _ in move.places), move.toggles)
        changed = {self._contraction.homes[layer] for layer in move.toggles}
        for node, server in move.places:
            self.places[node] = server
            changed.add(node)
        for layer in move.toggles:
            self.int8[layer] = not self.int8[layer]
        if move.toggles and self._problem.noise is not None:
            self._noise = self._problem.noise.predict(self.quantized)
        for node, _ in move.places:
            changed.update(self._contraction.feeders[node])
        for node in changed:
            self._refresh(node)
        return undo

    @property
    def quantized(self) -> frozenset[str]:
        """Names of the int8 layers."""
        return frozenset(name for name, chosen in zip(self._names, self.int8, strict=True) if chosen)

    @property
    def placement(self) -> dict[str, str]:
        """Layer → server."""
        names = [server.name for server in self._problem.servers]
        return {
            layer: names[server]
            for server, members in zip(self.places[1:-1], self._contraction.members[1:-1], strict=True)
            for layer in members
        }

    @property
    def within_limits(self) -> bool:
        """Whether links exist and all limits are met."""
        if any(self._missing):
            return False
        limits = self._problem.limits
        if limits.noise is not None and self._noise > limits.noise + TOLERANCE * abs(limits.noise):
            return False
        cap = limits.device_energy_joules
        if cap is not None:
            spent = sum(joules for joules, server in zip(self._joules, self.places, strict=True) if not server)
            if spent > cap + TOLERANCE * abs(cap):
                return False
        if min(self._rooms) < math.inf:
            held = [0.0] * self._count
            for count, server in zip(self._bytes, self.places, strict=True):
                held[server] += count
            return all(count <= room for count, room in zip(held, self._rooms, strict=True))
        return True

    @property
    def joules(self) -> float:
        """Energy."""
        return sum(self._joules)

    def time(self, goal: Goal) -> float:
        """Seconds of a request or, for ``throughput``, between answers, with every super-node a component."""
        if goal == "throughput":
            return max(self.loads())
        # The receiver takes no time, so it need not wait until the device is free.
        return run([*self.places[:-1], self._count], self.seconds, self.waits, self.sends, self._count + 1)

    def loads(self) -> list[float]:
        """Seconds that each server computes or handles tensors, then seconds that each sends to others."""
        loads = [0.0] * (2 * self._count)
        for server, seconds, queued in zip(self.places, self.seconds, self._queued, strict=True):
            loads[server] += seconds
            loads[server + self._count] += queued
        for handling in self._handling:
            for server, seconds in handling:
                loads[server] += seconds
        return loads

    def _refresh(self, node: int) -> None:
        server = self.places[node]
        seconds = self._contraction.seconds[node][server]
        held = self._contraction.weight_bytes[node]
        for layer in self._layers[node]:
            if self.int8[layer]:
                seconds += self._contraction.gains[layer][server]
                held -= self._lighter[layer]
        self._bytes[node] = held
        joules = seconds * self._watts[server]
        self.seconds[node] = seconds
        watts, delays = self._sending_watts[server], self._delays[server]
        sends = self.sends[node] = []
        handling = self._handling[node] = []
        queued = 0.0
        missing = False
        places = self.places
        for parcel in self._contraction.parcels[node]:
            made = parcel.layer >= 0 and self.int8[parcel.layer]
            times = parcel.seconds[server][made]
            for target, receivers in _by_server(places, parcel.targets):
                time = times[target]
                if time == math.inf:
                    missing = True
                joules += time * watts[target]
                delay = delays[target]
                busy = time - parcel.tensors * delay
                if target != server:
                    queued += busy
                    handling += (server, parcel.leaving[server][made]), (target, parcel.entering[target][made])
                    sends.append(Send(busy, delay, True, receivers))
                elif receivers != (node,):
                    sends.append(Send(busy, delay, False, tuple(one for one in receivers if one != node)))
        self._queued[node] = queued
        self._joules[node] = joules
        self._missing[node] = missing


def _by_server(places: Sequence[int], nodes: tuple[int, ...]) -> Iterable[tuple[int, tuple[int, ...]]]:
    if len(nodes) == 1:
        return ((places[nodes[0]], nodes),)
    found: dict[int, tuple[int, ...]] = {}
    for node in nodes:
        server = places[node]
        found[server] = (*found.get(server, ()), node)
    return found.items()
