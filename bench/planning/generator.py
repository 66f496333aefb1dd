"""Random models as in the thesis's section 6.6: chains, and branched models with skips.

A branched model is a sequence of elements. An element is, with fixed probabilities, a layer; a residual block (its
input is added to its end); or a split into branches that a Concat or Add joins. Branches and residual blocks are
sequences themselves. At the top level, the output of an element is now and then kept and concatenated again much
later. However these nest, at most ``MOST_OPEN`` other tensors wait for their consumers while a layer is made, which
keeps the graph as narrow as those of real networks (treewidth 3). Which operator follows which is drawn from
``FOLLOWERS``. Times and tensor sizes are log-uniform within bounds. Equal arguments give equal problems.
"""

import random

from bench.planning.graph_builder import GraphBuilder
from core.graph import ModelGraph
from core.objective import Objective
from core.problem import LayerTime, Link, Problem, Server

FOLLOWERS = {
    "Conv": {"BatchNormalization": 0.2, "Relu": 0.2, "Swish": 0.5, "Conv": 0.1},
    "BatchNormalization": {"Relu": 0.5, "Swish": 0.5},
    "Relu": {"Conv": 0.8, "MaxPool": 0.1, "Dropout": 0.1},
    "Mul": {"Conv": 0.8, "MaxPool": 0.1, "Dropout": 0.1},
    "MaxPool": {"Conv": 1.0},
    "Dropout": {"Conv": 1.0},
    "Add": {"Relu": 0.6, "Conv": 0.4},
    "Concat": {"Conv": 0.8, "BatchNormalization": 0.2},
}
"""Operator → which operators follow it inside a sequence, with which probability.

Swish is a Sigmoid whose output is multiplied with its input, as ONNX exports it.
"""

DEVICE_SECONDS = {
    "Conv": (2e-3, 60e-3),
    "BatchNormalization": (0.1e-3, 4e-3),
    "Relu": (0.1e-3, 3e-3),
    "Sigmoid": (0.1e-3, 3e-3),
    "Mul": (0.1e-3, 3e-3),
    "MaxPool": (0.3e-3, 5e-3),
    "Dropout": (0.05e-3, 0.5e-3),
    "Add": (0.1e-3, 3e-3),
    "Concat": (0.1e-3, 4e-3),
}
"""Operator → least and largest time on the device."""

TENSOR_BYTES = (40e3, 4e6)
"""Least and largest output of a layer that changes the size; the others keep it."""

RESIDUAL, SPLIT, LONG_SKIP = 0.1, 0.08, 0.015
"""Probability that an element is a residual block or a split, and that a long skip begins after it."""

BRANCHES = {2: 0.8, 3: 0.2}
"""How many branches a split has, with which probability."""

LONG_SKIP_LAYERS = (10, 80)
"""Least and largest length of a long skip."""

MOST_OPEN = 2
"""How many tensors may wait, beside the one that is worked on."""


def chain(layers: int, servers: int, seed: int = 0) -> Problem:
    """A model whose layers form one row, on ``servers`` random servers."""
    dice = random.Random(f"chain {layers} {servers} {seed}")  # noqa: S311 - no secret
    model = _Sequences(dice, f"chain-{layers}x{servers}")
    return place(model.chain(layers), servers, dice)


def branched(layers: int, servers: int, seed: int = 0) -> Problem:
    """A model with branches, residual blocks and long skips, on ``servers`` random servers."""
    dice = random.Random(f"branched {layers} {servers} {seed}")  # noqa: S311 - no secret
    model = _Sequences(dice, f"branched-{layers}x{servers}")
    return place(model.branched(layers), servers, dice)


def place(model: ModelGraph, servers: int, dice: random.Random) -> Problem:
    """Put a model before a device and ``servers`` − 1 faster machines, every pair of them linked.

    A machine is 1.5 to 12 times as fast as the device, for each operator 0.8 to 1.25 times as good as that; the
    faster, the more joules it takes for the same work. A link's throughput is 5 to 100 megabytes per second, as in the
    thesis's tables 6.3 and 6.4; its round trip is 0.1 to 5 ms.
    """
    names = ["device", *(f"server{number}" for number in range(1, servers))]
    speed = {name: dice.uniform(1.5, 12.0) for name in names} | {"device": 1.0}
    execution: dict[str, dict[str, LayerTime]] = {name: {} for name in names}
    skill = {(name, operator): log_uniform(dice, 0.8, 1.25) for name in names for operator in DEVICE_SECONDS}
    for layer in model.layers:
        seconds = log_uniform(dice, *DEVICE_SECONDS[layer.operator])
        for name in names:
            factor = speed[name] * skill[name, layer.operator] * log_uniform(dice, 0.8, 1.25)
            execution[name][layer.name] = LayerTime(seconds if name == "device" else seconds / factor)
    return Problem(
        model=model,
        servers=tuple(
            Server(name, 3.0 * speed[name] ** dice.uniform(1.0, 1.5), 0.0, dice.uniform(0.5, 4.0)) for name in names
        ),
        links=tuple(
            Link(source, target, log_uniform(dice, 5e6, 100e6), log_uniform(dice, 0.1e-3, 5e-3))
            for source in names
            for target in names
            if source != target
        ),
        execution=execution,
        objective=Objective(0.5, 0.5),
    )


def log_uniform(dice: random.Random, low: float, high: float) -> float:
    """A number whose logarithm is uniform."""
    return float(low * (high / low) ** dice.random())


class _Sequences:
    def __init__(self, dice: random.Random, name: str) -> None:
        self._dice = dice
        self._graph = GraphBuilder(name, self._draw_size())
        self._operator: dict[str | None, str] = {None: "Dropout"}

    def chain(self, layers: int) -> ModelGraph:
        end: str | None = None
        for _ in range(layers):
            end = self._layer(end, MOST_OPEN)
        return self._graph.build([str(end)])

    def branched(self, layers: int) -> ModelGraph:
        end: str | None = None
        skips: list[tuple[str, int]] = []
        while self._graph.count < layers:
            ripe = [skip for skip in skips if skip[1] <= self._graph.count]
            if ripe:
                skips.remove(ripe[0])
                end = self._join("Concat", [ripe[0][0], end])
                continue
            end = self._element(end, len(skips), layers)
            if len(skips) < MOST_OPEN and self._graph.count < layers and self._dice.random() < LONG_SKIP:
                skips.append((end, self._graph.count + self._dice.randint(*LONG_SKIP_LAYERS)))
        # Skips still open end at the model's output, beside its last layer.
        return self._graph.build(list(dict.fromkeys([str(end), *(name for name, _ in skips)])))

    def _element(self, start: str | None, waiting: int, most: int) -> str:
        kind = self._dice.random()
        # Near the end only layers follow, so that the model has as many as asked for.
        if start is not None and self._graph.count < most - 40:
            if kind < RESIDUAL and waiting < MOST_OPEN:
                end = self._sequence(start, self._dice.randint(2, 6), waiting + 1, most)
                return self._join("Add", [start, end])
            count = self._dice.choices(list(BRANCHES), list(BRANCHES.values()))[0]
            if RESIDUAL <= kind < RESIDUAL + SPLIT and waiting + count - 1 <= MOST_OPEN:
                inner = waiting + count - 1
                # Each branch begins with one layer, so that the start has no more consumers than branches.
                firsts = [self._layer(start, MOST_OPEN) for _ in range(count)]
                ends = [self._sequence(first, self._dice.randint(0, 4), inner, most) for first in firsts]
                return self._join(self._dice.choice(["Concat", "Concat", "Add"]), list(ends))
        return self._layer(start, waiting if self._graph.count < most - 1 else MOST_OPEN)

    def _sequence(self, start: str, elements: int, waiting: int, most: int) -> str:
        end = start
        for _ in range(elements):
            end = self._element(end, waiting, most)
        return end

    def _layer(self, start: str | None, waiting: int) -> str:
        followers = FOLLOWERS[self._operator[start]]
        operator = self._dice.choices(list(followers), list(followers.values()))[0]
        if operator == "Swish" and waiting < MOST_OPEN:
            return self._join("Mul", [start, self._graph.add("Sigmoid", [start], self._graph.size(start))])
        operator = "Relu" if operator == "Swish" else operator
        size = self._draw_size() if operator in ("Conv", "MaxPool") else self._graph.size(start)
        weights = int(log_uniform(self._dice, 1e3, 5e6)) if operator == "Conv" else 0
        end = self._graph.add(operator, [start], size, weight_bytes=weights)
        self._operator[end] = operator
        return end

    def _join(self, operator: str, sources: list[str | None]) -> str:
        sizes = [self._graph.size(source) for source in sources]
        size = min(sum(sizes), 2 * int(TENSOR_BYTES[1])) if operator == "Concat" else max(sizes)
        end = self._graph.add(operator, sources, size)
        self._operator[end] = operator
        return end

    def _draw_size(self) -> int:
        return int(log_uniform(self._dice, *TENSOR_BYTES))
