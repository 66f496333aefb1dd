"""What pictures are drawn from: one problem under many limits, and what crosses between its layers."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from core.plan import Plan
from core.problem import Problem
from optimizer.plan import make_plan

STEPS = 16
"""How many limits a sweep tries."""


def free(problem: Problem) -> Problem:
    """The problem with latency alone to be minimised, and no limit on noise."""
    return replace(
        problem,
        objective=replace(problem.objective, latency_weight=1.0, energy_weight=0.0),
        limits=replace(problem.limits, noise=None),
    )


def under_noise_limits(problem: Problem) -> Iterator[tuple[float, Plan]]:
    """Limits from none at all to the noise of the fastest plan, each with the fastest plan that keeps it."""
    fastest = make_plan(problem)
    most = fastest.predicted.noise if fastest.predicted else 0.0
    for index in range(STEPS):
        limit = most * index / (STEPS - 1)
        yield limit, make_plan(replace(problem, limits=replace(problem.limits, noise=limit)))


def crossing_bytes(problem: Problem) -> tuple[Sequence[str], list[float]]:
    """The layers in an order in which they can run, and how many bytes cross behind each of them, in float."""
    graph = problem.model
    order = [name for name in graph.topological_order if name in graph.by_name]
    position = {name: index for index, name in enumerate(order)}
    crossing = [0.0] * len(order)
    for tensor in graph.tensors:
        last = max(position.get(name, len(order) - 1) for name in tensor.targets)
        for index in range(position.get(tensor.producer, 0), last):
            crossing[index] += tensor.bytes
    return order, crossing
