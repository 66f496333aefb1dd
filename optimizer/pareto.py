"""From a problem to the front of latency against energy: what choosing weights would choose from."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from core.errors import InvalidArgumentError
from core.front import Front, FrontPoint
from core.objective import Objective, SolverOptions
from core.plan import Baseline, Normalization
from core.problem import Problem
from core.progress import Progress, no_progress, part
from core.simulation import parallel_prediction
from optimizer.baselines import SimplePlans, baseline
from optimizer.clock import Clock, never
from optimizer.components import plan_components
from optimizer.dichotomy import Dichotomy, Point, knee_of, weight_limits
from optimizer.infeasibility import explain, layer_without_server
from optimizer.method import method_for
from optimizer.payoff import payoff_table
from optimizer.search import Search
from optimizer.weighted import ranking, without_needless_int8

INNER_SOLVES = 4
"""As many more solves share a time limit with the two ends, which so leave half of it to the points between."""


def make_front(
    problem: Problem,
    most_points: int,
    options: SolverOptions = SolverOptions(),  # noqa: B008 - frozen
    progress: Progress = no_progress,
    stopped: Callable[[], bool] = never,
) -> Front:
    """Find the supported front of summed latency against energy under the problem's limits.

    Args:
        problem: what to place, where, under which limits; its objective is not looked at.
        most_points: largest number of points, at least 2; those that matter most to the objective come first.
        options: method, solver, and a time limit for the whole front.
        progress: told what is being solved.
        stopped: asked now and then whether to end at once with the best points so far.

    Returns:
        The front; its ``status`` tells whether it is all of it, or why there is none.

    Raises:
        DeadlineExceededError: the time was up before any plan was found or ruled out.
        InvalidArgumentError: fewer than 2 points are asked for, or the solver cannot be used.
    """
    if most_points < 2:
        raise InvalidArgumentError(f"a front of {most_points} points: give at least 2, its two ends")
    clock = Clock(options.time_limit_seconds, stopped)
    problem = replace(problem, objective=Objective(0.5, 0.5))
    reason = layer_without_server(problem)
    if reason is None:
        progress(0.0, "reading the problem")
        notes: list[str] = []
        method = method_for(problem, options, clock, notes.append)
        simple = SimplePlans(problem)
        search = Search(problem, method, clock, simple.starts())
        payoff = payoff_table(search, part(progress, 0.0, 0.3), INNER_SOLVES)
        if payoff is not None:
            dichotomy = Dichotomy(payoff, most_points)
            dichotomy.run(search, clock, part(progress, 0.3, 0.65))
            progress(0.95, "comparing with simpler plans")
            gap = dichotomy.gap
            return Front(
                model=problem.model.name,
                status=dichotomy.status,
                points=_described(problem, dichotomy.points, clock),
                knee=knee_of(dichotomy.points),
                gap=gap if math.isfinite(gap) else None,
                normalization=payoff.normalization,
                baselines=_baselines(problem, payoff.normalization, simple, dichotomy.points[0].solution.quantized),
                notes=tuple(dict.fromkeys(notes)),
                solve_seconds=clock.elapsed,
            )
        progress(0.9, "finding out which limit cannot be met")
        reason = explain(problem, method, clock, options.solver)
    return Front(problem.model.name, "infeasible", reason=reason, solve_seconds=clock.elapsed)


def _described(problem: Problem, points: Sequence[Point], clock: Clock) -> tuple[FrontPoint, ...]:
    described = []
    for point, (high, low) in zip(points, pairwise(weight_limits(points)), strict=True):
        solution = without_needless_int8(problem, point.solution)
        parallel = None
        if clock.share(1) != 0:
            components = plan_components(problem.model, solution.placement, problem.device)
            parallel = parallel_prediction(problem, components, solution.quantized)
        described.append(
            FrontPoint(
                predicted=solution.prediction,
                placement=solution.placement,
                quantized=tuple(name for name in problem.model.by_name if name in solution.quantized),
                latency_weight_from=low,
                latency_weight_to=high,
                parallel=parallel,
            )
        )
    return tuple(described)


def _baselines(
    problem: Problem, normalization: Normalization, simple: SimplePlans, quantized: frozenset[str]
) -> dict[str, Baseline]:
    goal, _ = ranking(problem, normalization)
    return {name: baseline(problem, normalization, one) for name, one in simple.best(goal, quantized).items()}
