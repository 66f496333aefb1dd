"""The normalised two-goal objective (thesis 4.8) with a lexicographic payoff table.

T_min and E_min are the least latency and energy under the limits; T_max is the least latency among the plans of
energy E_min, and E_max the least energy among those of latency T_min. So the table, and with it the objective,
does not depend on which of several optima a solver happens to find.
"""

import math
from dataclasses import dataclass

from core.cost import violated_limit, weighted_objective
from core.errors import InternalError
from core.plan import Normalization
from core.problem import Problem
from core.progress import Progress
from optimizer.measures import ENERGY, LATENCY
from optimizer.search import Minimum, Search, held
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
    progress(0.0, "minimising latency alone")
    fastest = search.minimize({LATENCY: 1.0}, {}, solves_left=5)
    if fastest is None:
        return None
    latency_min = fastest.solution.prediction.latency_seconds
    progress(0.2, "minimising energy alone")
    thriftiest = _found(search.minimize({ENERGY: 1.0}, {}, solves_left=4))
    energy_min = thriftiest.solution.prediction.energy_joules
    progress(0.4, "minimising energy at the least latency")
    thrifty_fastest = fastest
    if fastest.solution.prediction.energy_joules > held(energy_min):
        thrifty_fastest = _found(search.minimize({ENERGY: 1.0}, {LATENCY: held(latency_min)}, solves_left=3))
    progress(0.6, "minimising latency at the least energy")
    fast_thriftiest = thriftiest
    if thriftiest.solution.prediction.latency_seconds > held(latency_min):
        fast_thriftiest = _found(search.minimize({LATENCY: 1.0}, {ENERGY: held(energy_min)}, solves_left=2))
    normalization = Normalization(
        latency_min=latency_min,
        latency_max=_unless_equal(latency_min, fast_thriftiest.solution.prediction.latency_seconds),
        energy_min=energy_min,
        energy_max=_unless_equal(energy_min, thrifty_fastest.solution.prediction.energy_joules),
    )
    proven = all(one.proven for one in (fastest, thriftiest, thrifty_fastest, fast_thriftiest))
    weights, constant = ranking(problem, normalization)
    progress(0.8, "minimising the weighted objective")
    # At an end of the table the lexicographic plan is the answer already.
    if problem.objective.energy_weight == 0 or normalization.energy_max == energy_min:
        best = thrifty_fastest.solution
    elif problem.objective.latency_weight == 0 or normalization.latency_max == latency_min:
        best = fast_thriftiest.solution
    else:
        last = _found(search.minimize(weights, {}, solves_left=1))
        best = _without_needless_int8(problem, last.solution)
        objective = weighted_objective(problem, normalization, best.prediction)
        bound = max(last.lower_bound - constant, _bound(problem, normalization, fastest, thriftiest))
        return Weighted(normalization, best, objective, min(bound, objective), proven and last.proven)
    best = _without_needless_int8(problem, best)
    objective = weighted_objective(problem, normalization, best.prediction)
    bound = _bound(problem, normalization, fastest, thriftiest)
    return Weighted(normalization, best, objective, min(bound, objective), proven)


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


def _unless_equal(low: float, high: float) -> float:
    return high if high > held(low) else low


def _scale(low: float, high: float) -> float:
    wide = high - low > 1e-12 * max(1.0, abs(high))
    return high - low if wide else abs(low) or 1.0


def _bound(problem: Problem, normalization: Normalization, fastest: Minimum, thriftiest: Minimum) -> float:
    weights, constant = ranking(problem, normalization)
    parts = [
        weight * minimum.lower_bound
        for weight, minimum in ((weights[LATENCY], fastest), (weights[ENERGY], thriftiest))
        if weight > 0
    ]
    return sum(parts) - constant if all(map(math.isfinite, parts)) else -math.inf


def _found(minimum: Minimum | None) -> Minimum:
    if minimum is None:  # the caps of a later solve are met by an earlier one's solution, which Search knows
        raise InternalError("a solution that was found is lost; please report this problem file")
    return minimum


def _without_needless_int8(problem: Problem, solution: Solution) -> Solution:
    for layer in sorted(solution.quantized):
        without = evaluated(problem, solution.placement, solution.quantized - {layer})
        if (
            without.prediction.latency_seconds <= solution.prediction.latency_seconds
            and without.prediction.energy_joules <= solution.prediction.energy_joules
            and violated_limit(problem, without.prediction) is None
        ):
            solution = without
    return solution
