"""The measured functions; each runs in a process of its own."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bench.planning.apart import Begin
from bench.planning.generator import branched, chain
from bench.planning.literal_program import LiteralProgram
from core.errors import InternalError
from core.objective import SolverOptions
from core.plan import Normalization, Status
from core.problem import Problem
from optimizer.components import plan_components
from optimizer.plan import make_plan

LITERAL_GAP = 1e-7
"""Relative gap at which the literal program counts as solved: enough to compare objectives to 1e-6."""


@dataclass(frozen=True)
class Measured:
    """One run of one method.

    Attributes:
        seconds: by the clock.
        processor_seconds: of all threads.
        status: of the plan.
        objective: normalised.
        normalization: payoff table.
        layers: of the problem.
        servers: of the problem.
        quantizable: how many of the problem's layers may become int8.
        components: of the plan.
        notes: what the plan says of how it was found.
    """

    seconds: float
    processor_seconds: float
    status: Status
    objective: float | None
    normalization: Normalization | None
    layers: int = 0
    servers: int = 0
    quantizable: int = 0
    components: int = 0
    notes: tuple[str, ...] = ()


def measure_plan(make: Callable[[], Problem], method: Literal["exact", "ilp"], begin: Begin) -> Measured:
    """Time ``make_plan`` on a fresh problem, after a small one has warmed it up."""
    options = SolverOptions(method=method)
    make_plan(chain(12, 2), options)
    problem = make()
    begin()
    clock = _Clock()
    plan = make_plan(problem, options)
    return Measured(
        *clock.read(),
        plan.status,
        plan.objective,
        plan.normalization,
        len(problem.model.layers),
        len(problem.servers),
        len(problem.model.quantizable),
        len(plan.components),
        plan.notes,
    )


def measure_literal(make: Callable[[], Problem], table: Normalization | None, begin: Begin) -> Measured:
    """Time building the thesis's program and its three solves: latency, energy, weighted objective.

    Args:
        make: makes the problem.
        table: whose largest values bound the ranges of the weighted objective, so that objectives can be compared;
            ``None`` where the problem was found infeasible.
        begin: see ``bench.planning.apart``.

    Raises:
        InternalError: it finds a solution of a problem that was found infeasible.
    """
    LiteralProgram(chain(3, 2)).objective(Normalization(0.0, 1.0, 0.0, 1.0))
    problem = make()
    begin()
    clock = _Clock()
    program = LiteralProgram(problem, LITERAL_GAP)
    latency = program.minimize(program.latency())
    energy = None if latency is None else program.minimize(program.energy())
    if latency is None or energy is None:
        return Measured(*clock.read(), "infeasible", None, None)
    if table is None:
        raise InternalError("the literal program solves a problem that the Optimizer found infeasible")
    found = Normalization(latency, table.latency_max, energy, table.energy_max)
    objective = program.objective(found)
    return Measured(*clock.read(), "optimal", objective, found)


def measure_components(layers: int, begin: Begin) -> Measured:
    """Time forming components where nearly every layer sits on another server than the one before."""
    dice = random.Random(layers)  # noqa: S311 - no secret
    problem = branched(layers, 6)
    names = [server.name for server in problem.servers]
    placement = {name: dice.choice(names) for name in problem.model.by_name}
    begin()
    clock = _Clock()
    components = plan_components(problem.model, placement, problem.device)
    size = len(problem.model.layers), len(names), 0, len(components)
    return Measured(*clock.read(), "feasible", None, None, *size)


class _Clock:
    def __init__(self) -> None:
        self._begin = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._begin[0], time.process_time() - self._begin[1]
