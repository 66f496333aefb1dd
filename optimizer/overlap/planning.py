"""Minimising latency or time between answers where servers work side by side, weighed with energy.

The plans that are optimal for summed latency and for energy are the start; annealing on contracted graphs, coarse and
then finer, improves them against the simulator, and bounds say what no plan can beat. The payoff table then holds:
as least time its proven lower bound, as greatest time that of the plan of least energy; as least energy the proven
one, as greatest the larger of that of the plan found for time alone and that of the plan of least summed latency.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from core.cost import weighted_objective
from core.plan import Normalization
from core.problem import Problem
from core.progress import Progress, part
from optimizer.baselines import SimplePlans
from optimizer.candidate import Candidate, candidate, rank, within_limits
from optimizer.clock import Clock, OutOfTimeError
from optimizer.measures import ENERGY, LATENCY
from optimizer.overlap.busiest import busiest_bound
from optimizer.overlap.contraction import contract
from optimizer.overlap.critical_path import critical_path_bound
from optimizer.overlap.joining import joined
from optimizer.overlap.search import anneal
from optimizer.overlap.state import State
from optimizer.payoff import Payoff, found, payoff_table
from optimizer.search import Search, held
from optimizer.solution import Solution, evaluated
from optimizer.weighted import ranking

LEVELS = ((40, 1, 3_000), (110, 1, 4_000), (110, 4, 3_000))
"""How many super-nodes, how many good plans the contraction keeps possible, and how many moves are tried."""

TRIALS = 75
"""Moves tried for each super-node, at most."""


@dataclass(frozen=True)
class Overlapped:
    """The best plan found for the goal.

    Attributes:
        normalization: the payoff table, in the goal's time.
        best: the plan.
        lower_bound: proven bound on the weighted objective.
    """

    normalization: Normalization
    best: Candidate
    lower_bound: float


def minimize_overlapped(
    problem: Problem, search: Search, simple: SimplePlans, clock: Clock, progress: Progress
) -> Overlapped | None:
    """Find a good plan for the goals ``latency`` and ``throughput``; ``None`` if nothing satisfies the limits.

    Args:
        search: knows simple plans; minimises summed latency and energy.
        simple: the problem's.

    Raises:
        DeadlineExceededError: the time was up before any plan was found.
    """
    goal = problem.objective.goal
    payoff = payoff_table(search, part(progress, 0.0, 0.3), solves_after=4)
    if payoff is None:
        return None
    thrifty = candidate(problem, payoff.thrifty_end)
    slowest = thrifty.seconds(goal)
    begin = clock.elapsed
    known = (payoff.fast_end, *_weighted_end(problem, search, payoff), *_simple(problem, simple, payoff, clock))
    starts = [thrifty, *(candidate(problem, one) for one in known)]
    # Comparing the plan with simple ones in the end takes about as long.
    reserve = clock.elapsed - begin
    progress(0.3, "bounding the time that no plan can beat")
    bound = critical_path_bound(problem) if goal == "latency" and clock.left > 0 else 0.0
    if min(one.seconds(goal) for one in starts) > held(bound):
        loads = busiest_bound(problem, 1.0, 0.0, _until(clock, 4, reserve))
        bound = max(bound, loads.value)
        starts += [candidate(problem, one) for one in loads.placements]
    progress(0.5, f"searching for a plan of less {'latency' if goal == 'latency' else 'time between answers'}")
    if problem.objective.latency_weight == 0:
        fastest = best = min((one for one in starts if _as_thrifty(one, thrifty)), key=lambda one: one.seconds(goal))
    else:
        by_time = replace(problem, objective=replace(problem.objective, latency_weight=1.0, energy_weight=0.0))
        # Where energy counts too, this only says how much energy speed takes.
        levels = LEVELS if problem.objective.energy_weight == 0 else LEVELS[:1]
        table = _table(payoff, slowest, min(bound, slowest))
        parts = 1 if problem.objective.energy_weight == 0 else 3
        fastest = best = _improved(by_time, table, starts, levels, _until(clock, parts, reserve))
    table = _table(payoff, slowest, min(bound, best.seconds(goal)), fastest)
    if 0 < problem.objective.latency_weight < 1:
        progress(0.7, "searching for a plan of less time and energy")
        best = _improved(problem, table, [fastest, *starts], LEVELS, _until(clock, 2, reserve))
        table = _table(payoff, slowest, min(bound, best.seconds(goal), fastest.seconds(goal)), fastest)
        weights, constant = ranking(problem, table)
        both = busiest_bound(problem, weights[LATENCY], weights[ENERGY], _until(clock, 1, reserve)).value - constant
    else:
        both = -math.inf
    least_energy = payoff.thriftiest.lower_bound if problem.objective.energy_weight else table.energy_min
    alone = -math.inf
    if math.isfinite(least_energy):
        least = replace(best.timed(goal), latency_seconds=table.latency_min, energy_joules=least_energy)
        alone = weighted_objective(problem, table, least)
    objective = weighted_objective(problem, table, best.timed(goal))
    return Overlapped(table, best, min(objective, max(alone, both)))


def _weighted_end(problem: Problem, search: Search, payoff: Payoff) -> list[Solution]:
    """The plan that is optimal for the same weights of summed latency and energy, if both have one."""
    if not 0 < problem.objective.latency_weight < 1:
        return []
    weights, _ = ranking(problem, payoff.normalization)
    return [found(search.minimize(weights, {}, solves_left=4)).solution]


def _simple(problem: Problem, simple: SimplePlans, payoff: Payoff, clock: Clock) -> list[Solution]:
    """The simple plans that are best for the goal's time."""

    def seconds(solution: Solution) -> float:
        return candidate(problem, solution).seconds(problem.objective.goal)

    if clock.left == 0:
        return []
    plans = simple.best({LATENCY: 1.0}, payoff.fast_end.quantized, seconds, lambda: clock.left == 0)
    return [plan.solution for plan in plans.values() if plan is not None]


def _as_thrifty(one: Candidate, thrifty: Candidate) -> bool:
    return one.solution.prediction.energy_joules <= held(thrifty.solution.prediction.energy_joules)


def _table(payoff: Payoff, slowest: float, bound: float, fastest: Candidate | None = None) -> Normalization:
    least, most = payoff.normalization.energy_min, payoff.normalization.energy_max
    return Normalization(
        latency_min=bound,
        latency_max=slowest if slowest > held(bound) else bound,
        energy_min=least,
        energy_max=max(most, fastest.solution.prediction.energy_joules) if fastest else most,
    )


def _until(clock: Clock, parts: int, reserve: float) -> Callable[[], bool]:
    """Whether an equal share of the time left, less ``reserve`` seconds, for each of ``parts`` tasks is used up."""
    end = clock.elapsed + (clock.left - reserve) / parts
    return lambda: clock.elapsed > end or clock.stopped


def _improved(
    problem: Problem,
    table: Normalization,
    starts: Sequence[Candidate],
    levels: Sequence[tuple[int, int, int]],
    stop: Callable[[], bool],
) -> Candidate:
    """The best of the starts and of what annealing makes of it."""
    weights, least = ranking(problem, table)
    goal = problem.objective.goal

    def score(state: State) -> float:
        return weights[LATENCY] * state.time(goal) + (weights[ENERGY] * state.joules if weights[ENERGY] else 0.0)

    def check() -> None:
        if stop():
            raise OutOfTimeError

    known = sorted(starts, key=lambda one: rank(problem, table, one))
    for most, kept, trials in levels:
        # Nothing is less than the least time with the least energy.
        if stop() or rank(problem, table, known[0]) <= held(least):
            break
        try:
            contraction = contract(problem, [one.solution for one in known[:kept]], most, check)
        except OutOfTimeError:
            break
        state = State(problem, contraction, known[0].solution)
        anneal(state, contraction, score, min(trials, TRIALS * contraction.size), stop)
        solution = evaluated(problem, state.placement, state.quantized)
        if within_limits(problem, solution):
            made = (candidate(problem, solution, joined(contraction, state, stop)), candidate(problem, solution))
            known = sorted([*known, *made], key=lambda one: (rank(problem, table, one), len(one.components)))
    return known[0]
