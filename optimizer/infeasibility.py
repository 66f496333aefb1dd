"""Why a problem has no plan: which rule or limit cannot be met, and the least attainable value."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from core.graph import GENERATOR, RECEIVER, Layer
from core.objective import Limits, Objective
from core.problem import LayerTime, Link, Problem
from optimizer.clock import Clock
from optimizer.integer_program import IntegerProgram
from optimizer.measures import LATENCY, caps, in_words, measures
from optimizer.noise import TOLERANCE
from optimizer.solution import Method

UNFINISHED = "no placement meets all limits together; the time limit left no room to find out which one is to blame"

LONGEST_SECONDS = 10.0
"""Time given to finding one least attainable value; where it does not suffice, its proven bound is told."""


def layer_without_server(problem: Problem) -> str | None:
    """Say which layer no server may run, or ``None`` if every layer has one."""
    for layer in problem.model.layers:
        if not problem.allowed_servers(layer.name):
            timed = [server for server, times in problem.execution.items() if layer.name in times]
            rule = "on any server" if layer.servers is None else f"only on {_listed(layer.servers)}"
            known = f"only for {_listed(timed)}" if timed else "for none"
            return f"layer {layer.name!r} has no server: it may run {rule}, but execution times are given {known}"
    return None


def explain(problem: Problem, method: Method, clock: Clock, solver: str) -> str:
    """Say why a problem that was proven infeasible is so.

    In this order: tensors that would need a missing link; a limit that is out of reach by itself; the first
    limit (noise, memory by server, device energy) that is out of reach given the ones before it.

    Args:
        method: minimises over the problem's placements.
        solver: for the count of missing links.
    """
    if method.minimize({}, {}, _seconds(clock)).status == "infeasible":
        return _missing_links(problem, clock, solver)
    limits = caps(problem)
    alone: list[tuple[str, dict[str, float]]] = [(measure, {}) for measure in limits]
    together = [(measure, dict(list(limits.items())[:index])) for index, measure in enumerate(limits)]
    for measure, before in alone + together:
        cap = limits[measure]
        reached = method.minimize({measure: 1.0}, before, _seconds(clock))
        if reached.status == "infeasible":
            break
        found = math.inf if reached.solution is None else measures(reached.solution.prediction)[measure]
        allowed = cap + TOLERANCE * abs(cap)
        if reached.status == "optimal" and found > allowed:
            return _sentence(measure, cap, before, in_words(measure, found))
        if reached.lower_bound > allowed:
            return _sentence(measure, cap, before, f"at least {in_words(measure, reached.lower_bound)}")
        if found > allowed:
            return UNFINISHED
    return "no placement meets all limits together, though each can be met within rounding; loosen one slightly"


def _seconds(clock: Clock) -> float:
    return min(LONGEST_SECONDS, math.inf if (left := clock.share(1)) is None else left)


def _sentence(measure: str, cap: float, before: Mapping[str, float], least: str) -> str:
    others = " and ".join(f"{other} at most {in_words(other, value)}" for other, value in before.items())
    if not before:
        return f"{measure} cannot be at most {in_words(measure, cap)}: the least attainable is {least}"
    return f"{measure} cannot be at most {in_words(measure, cap)} with {others}: the least attainable then is {least}"


def _missing_links(problem: Problem, clock: Clock, solver: str) -> str:
    counted = _with_counted_links(problem)
    solution = IntegerProgram(counted, solver).minimize({LATENCY: 1.0}, {}, _seconds(clock)).solution
    if solution is None:
        return "every placement needs a link that is missing"
    needed = _uses_of_missing_links(problem, solution.placement)
    shown = ", ".join(f"tensor {name!r} from {source} to {target}" for name, source, target in needed[:3])
    rest = f", … ({len(needed)} in all)" if len(needed) > 3 else ""
    return f"every placement needs missing links, at the fewest for {shown}{rest}"


def _uses_of_missing_links(problem: Problem, placement: Mapping[str, str]) -> list[tuple[str, str, str]]:
    where = {**placement, GENERATOR: problem.device, RECEIVER: problem.device}
    return [
        (tensor.name, where[tensor.producer], target)
        for tensor in problem.model.tensors
        for target in dict.fromkeys(where[name] for name in tensor.targets)
        if problem.transfer_seconds(where[tensor.producer], target, 0.0) is None
    ]


def _with_counted_links(problem: Problem) -> Problem:
    """The same problem with all links, where latency counts the uses of missing ones."""
    listed = [Link(link.source, link.target, math.inf, 0.0) for link in problem.links]
    names = [server.name for server in problem.servers]
    missing = [
        Link(source, target, math.inf, 1.0)
        for source in names
        for target in names
        if problem.transfer_seconds(source, target, 0.0) is None
    ]
    layers = tuple(Layer(layer.name, servers=problem.allowed_servers(layer.name)) for layer in problem.model.layers)
    return replace(
        problem,
        model=replace(problem.model, layers=layers),
        links=(*listed, *missing),
        execution={name: {layer.name: LayerTime(0.0) for layer in layers} for name in names},
        noise=None,
        objective=Objective(),
        limits=Limits(),
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
