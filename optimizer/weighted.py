"""The normalised two-goal objective (thesis 4.8) over the payoff table (``optimizer.payoff``)."""

import math
from dataclasses import dataclass

from core.cost import violated_limit, weighted_objective
from core.plan import Normalization
from core.problem import Problem
from core.progress import Progress, part
from optimizer.measures import ENERGY, LATENCY
from optimizer.payoff import Payoff, found, payoff_table
from optimizer.search import Search
from optimizer.solution import Solution, evaluated


@dataclass(frozen=True)
class Weighted:
    """The best plan by the weighted objective.

    Attributes:
        normalization: payoff table; of the best plans found where a solve was stopped.
        objective: of ``solution``, normalised.
        lower_bound: proven bound on the objective under this normalisation.
        proven: whether payoff table and solution are proven optimal.
    """

    normalization: Normalization
    solution: Solution
    objective: float
    lower_bound: float
    proven: bool


def minimize_weighted(problem: Problem, search: Search, progress: Progress) -> Weighted | None:
    """Fill the payoff table and minimise the weighted objective; ``None`` if nothing satisfies the limits.

    With all weight on one goal, the plan is the lexicographic one: ties are broken by the other goal.

    Raises:
        DeadlineExceededError: the time was up before any plan was found.
    """
    payoff = payoff_table(search, part(progress, 0.0, 0.8), solves_after=1)
    if payoff is None:
        return None
    normalization = payoff.normalization
    weights, constant = ranking(problem, normalization)
    progress(0.8, "minimising the weighted objective")
    # At an end of the table the lexicographic plan is the answer already.
    if problem.objective.energy_weight == 0 or normalization.energy_max == normalization.energy_min:
        best = payoff.fast_end
    elif problem.objective.latency_weight == 0 or normalization.latency_max == normalization.latency_min:
        best = payoff.thrifty_end
    else:
        last = found(search.minimize(weights, {}, solves_left=1))
        best = without_needless_int8(problem, last.solution)
        objective = weighted_objective(problem, normalization, best.prediction)
        bound = max(last.lower_bound - constant, _bound(problem, payoff))
        return Weighted(normalization, best, objective, min(bound, objective), payoff.proven and last.proven)
    best = without_needless_int8(problem, best)
    objective = weighted_objective(problem, normalization, best.prediction)
    bound = _bound(problem, payoff)
    return Weighted(normalization, best, objective, min(bound, objective), payoff.proven)


def ranking(problem: Problem, normalization: Normalization) -> tuple[dict[str, float], float]:
    """The objective as weights of latency and energy and the constant to subtract from their sum.

    Where a range is zero its goal is measured against its least value instead, so that it still ranks plans.
    """
    latency_scale = _scale(normalization.latency_min, normalization.latency_max)
    energy_scale = _scale(normalization.energy_min, normalization.energy_max)
    weights = {
        LATENCY: problem.objective.latency_weight / latency_scale,
        ENERGY: problem.objective.energy_weight / energy_scale,
    }
    return weights, weights[LATENCY] * normalization.latency_min + weights[ENERGY] * normalization.energy_min


def _scale(low: float, high: float) -> float:
    wide = high - low > 1e-12 * max(1.0, abs(high))
    return high - low if wide else abs(low) or 1.0


def _bound(problem: Problem, payoff: Payoff) -> float:
    weights, constant = ranking(problem, payoff.normalization)
    parts = [
        weight * minimum.lower_bound
        for weight, minimum in ((weights[LATENCY], payoff.fastest), (weights[ENERGY], payoff.thriftiest))
        if weight > 0
    ]
    return sum(parts) - constant if all(map(math.isfinite, parts)) else -math.inf


def without_needless_int8(problem: Problem, solution: Solution) -> Solution:
    """The same placement less the int8 layers that bring neither speed nor thrift."""
    chosen = sorted(solution.quantized)
    latency, energy, _, _ = problem.costs.gains(solution.placement, chosen)
    for layer, slower, hungrier in zip(chosen, latency >= 0, energy >= 0, strict=True):
        if slower and hungrier:
            without = evaluated(problem, solution.placement, solution.quantized - {layer})
            if violated_limit(problem, without.prediction) is None:
                solution = without
    return solution
