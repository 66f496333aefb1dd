"""From a problem to a plan: the optimizer's one public function."""

import math

from core.cost import violated_limit, weighted_objective
from core.errors import InternalError
from core.plan import Plan
from core.problem import Problem, SolverOptions
from core.progress import Progress, no_progress
from optimizer.baselines import baseline, simple_plans
from optimizer.components import plan_components
from optimizer.infeasibility import explain, layer_without_server
from optimizer.measures import ENERGY, LATENCY, value_of
from optimizer.method import method_for
from optimizer.quantized_sets import QuantizedSets
from optimizer.search import Clock, Search
from optimizer.solution import Solution
from optimizer.weighted import Weighted, minimize_weighted, ranking


def make_plan(
    problem: Problem,
    options: SolverOptions = SolverOptions(),  # noqa: B008 - frozen
    progress: Progress = no_progress,
) -> Plan:
    """Choose servers and int8 layers (thesis chapter 4) and form components from them.

    Args:
        problem: what to place, where, under which limits.
        options: method, solver, and a time limit for all solves together.
        progress: told which solve is under way.

    Returns:
        A plan with status ``optimal``; ``feasible`` where the time limit stopped a solve; or ``infeasible``
        with the reason. ``solve_seconds`` counts everything from building the program on.

    Raises:
        DeadlineExceededError: the time was up before any plan was found or ruled out.
        InvalidArgumentError: the solver is not installed or its edition is too small for the problem.
    """
    clock = Clock(options.time_limit_seconds)
    reason = layer_without_server(problem)
    if reason is None:
        progress(0.0, "building tables")
        notes: dict[str, None] = {}
        method = method_for(problem, options, lambda note: notes.update({note: None}))
        search = Search(problem, method, clock, _starts(problem))
        weighted = minimize_weighted(problem, search, lambda done, message: progress(0.9 * done, message))
        if weighted is not None:
            progress(0.9, "forming components and comparing with simpler plans")
            return _assembled(problem, weighted, clock, tuple(notes))
        progress(0.9, "finding out which limit cannot be met")
        reason = explain(problem, method, clock, options.solver)
    return Plan(problem.model.name, "infeasible", reason=reason, solve_seconds=clock.elapsed)


def _assembled(problem: Problem, weighted: Weighted, clock: Clock, notes: tuple[str, ...]) -> Plan:
    goal, _ = ranking(problem, weighted.normalization)
    best = weighted.solution
    simple = simple_plans(problem, goal, best.quantized)
    if not weighted.proven:
        known = (one.solution for one in simple.values() if one is not None)
        best = min((best, *known), key=lambda one: value_of(goal, one.prediction))
    limit = violated_limit(problem, best.prediction)
    if limit is not None:
        raise InternalError(f"the solver's plan breaks a limit: {limit}; try another solver and report this problem")
    objective = weighted_objective(problem, weighted.normalization, best.prediction)
    bound = min(weighted.lower_bound, objective)
    return Plan(
        model=problem.model.name,
        status="optimal" if weighted.proven else "feasible",
        objective=objective,
        lower_bound=bound if math.isfinite(bound) else None,
        gap=objective - bound if math.isfinite(bound) else None,
        solve_seconds=clock.elapsed,
        normalization=weighted.normalization,
        predicted=best.prediction,
        placement=best.placement,
        quantized=tuple(name for name in problem.model.by_name if name in best.quantized),
        components=plan_components(problem.model, best.placement, problem.device),
        baselines={name: baseline(problem, weighted.normalization, one) for name, one in simple.items()},
        notes=notes,
    )


def _starts(problem: Problem) -> list[Solution]:
    """Simple plans that are good for latency or for energy: what a stopped solve can fall back on."""
    largest = QuantizedSets(problem, frozenset()).largest
    plans = [plan for goal in (LATENCY, ENERGY) for plan in simple_plans(problem, {goal: 1.0}, largest).values()]
    return [plan.solution for plan in plans if plan is not None]
