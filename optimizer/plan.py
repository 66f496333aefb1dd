"""From a problem to a plan: the optimizer's one public function."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from core.cost import violated_limit, weighted_objective
from core.errors import InternalError
from core.objective import SolverOptions
from core.plan import Normalization, Plan
from core.problem import Problem
from core.progress import Progress, no_progress, part
from optimizer.baselines import SimplePlans, baseline
from optimizer.candidate import Candidate, candidate, rank
from optimizer.clock import Clock, never
from optimizer.components import with_compression
from optimizer.infeasibility import explain, layer_without_server
from optimizer.method import method_for
from optimizer.overlap.planning import minimize_overlapped
from optimizer.search import Search
from optimizer.solution import Solution
from optimizer.weighted import minimize_weighted, ranking

CLOSED = 1e-6
"""A gap of the normalised objective up to this counts as none, and so does what splitting gains."""


FINISHING = 1.5
"""How much longer it takes to finish a plan than to find the simplest plans."""


@dataclass(frozen=True)
class _Found:
    """The best plan by the objective.

    Attributes:
        normalization: payoff table of the objective's time and energy.
        best: the plan.
        lower_bound: proven bound on the objective.
        proven: whether the plan is proven optimal.
    """

    normalization: Normalization
    best: Candidate
    lower_bound: float
    proven: bool


def make_plan(
    problem: Problem,
    options: SolverOptions = SolverOptions(),  # noqa: B008 - frozen
    progress: Progress = no_progress,
    stopped: Callable[[], bool] = never,
) -> Plan:
    """Choose servers and int8 layers (thesis chapter 4) and form components from them.

    Args:
        problem: what to place, where, under which limits, for which goal.
        options: method, solver, and a time limit for all solves together.
        progress: told which solve is under way.
        stopped: asked now and then whether to end at once with the best plan so far.

    Returns:
        A plan with status ``optimal``; ``feasible`` where the time limit stopped a solve or a gap to the bound is
        left; or ``infeasible`` with the reason. Where no more than one server is needed for the same objective, it
        is the plan of that server. ``solve_seconds`` counts everything from building the program on.

    Raises:
        DeadlineExceededError: the time was up before any plan was found or ruled out.
        InvalidArgumentError: the solver is not installed or its edition is too small for the problem.
    """
    clock = Clock(options.time_limit_seconds, stopped)
    reason = layer_without_server(problem)
    if reason is None:
        progress(0.0, "building tables")
        notes: dict[str, None] = {}
        method = method_for(problem, options, clock, lambda note: notes.update({note: None}))
        simple = SimplePlans(problem)
        starts = simple.starts()
        # Forming components and comparing with simpler plans takes somewhat longer than these did.
        clock.reserve(FINISHING * clock.elapsed)
        search = Search(problem, method, clock, starts)
        found = (
            _summed(problem, search, part(progress, 0.0, 0.9))
            if problem.objective.goal == "latency-sum"
            else _overlapped(problem, search, simple, clock, part(progress, 0.0, 0.9))
        )
        if found is not None:
            progress(0.9, "forming components and comparing with simpler plans")
            return _assembled(problem, found, simple, clock, list(notes))
        progress(0.9, "finding out which limit cannot be met")
        reason = explain(problem, method, clock, options.solver)
    return Plan(
        problem.model.name,
        "infeasible",
        reason=reason,
        solve_seconds=clock.elapsed,
        goal=problem.objective.goal,
    )


def _summed(problem: Problem, search: Search, progress: Progress) -> _Found | None:
    weighted = minimize_weighted(problem, search, progress)
    if weighted is None:
        return None
    best = candidate(problem, weighted.solution)
    return _Found(weighted.normalization, best, weighted.lower_bound, weighted.proven)


def _overlapped(
    problem: Problem, search: Search, simple: SimplePlans, clock: Clock, progress: Progress
) -> _Found | None:
    overlapped = minimize_overlapped(problem, search, simple, clock, progress)
    if overlapped is None:
        return None
    return _Found(overlapped.normalization, overlapped.best, overlapped.lower_bound, proven=False)


def _assembled(problem: Problem, found: _Found, plans: SimplePlans, clock: Clock, notes: list[str]) -> Plan:
    goal, table, best = problem.objective.goal, found.normalization, found.best
    weights, _ = ranking(problem, table)

    def value(one: Candidate) -> float:
        return rank(problem, table, one)

    judge: Callable[[Solution], float] | None = None
    if goal != "latency-sum":

        def judge(solution: Solution) -> float:
            return value(candidate(problem, solution))

    # Comparing is all that is left to do.
    clock.reserve(0.0)
    simple = plans.best(weights, best.solution.quantized, judge, lambda: clock.left == 0)
    if not found.proven:
        known = (one.candidate for one in simple.values() if one is not None)
        best = min((best, *known), key=value)
    alone = simple["best_single_server"]
    split = True
    if alone is not None:
        single = alone.candidate
        objective = weighted_objective(problem, table, best.timed(goal))
        if value(single) <= value(best) + CLOSED * max(1.0, abs(objective)):
            best, split = single, False
            notes.append(f"do not split: {alone.summary} is as good as any division that was found")
        elif single.parallel.latency_seconds < best.parallel.latency_seconds:
            notes.append(
                f"with servers side by side, {alone.summary} answers sooner: in "
                f"{single.parallel.latency_seconds:.4g} s, this plan in {best.parallel.latency_seconds:.4g} s"
            )
    limit = violated_limit(problem, best.solution.prediction)
    if limit is not None:
        raise InternalError(f"the solver's plan breaks a limit: {limit}; try another solver and report this problem")
    objective = weighted_objective(problem, table, best.timed(goal))
    bound = min(found.lower_bound, objective)
    proven = found.proven or (goal != "latency-sum" and objective - bound <= CLOSED)
    if not proven and goal != "latency-sum" and problem.objective.latency_weight:
        what = "latency" if goal == "latency" else "time between answers"
        notes.insert(
            0,
            f"found by local search: {what} {best.seconds(goal):.4g} s, "
            f"where none below {table.latency_min:.4g} s is possible",
        )
    return Plan(
        model=problem.model.name,
        status="optimal" if proven else "feasible",
        objective=objective,
        lower_bound=bound if math.isfinite(bound) else None,
        gap=objective - bound if math.isfinite(bound) else None,
        solve_seconds=clock.elapsed,
        normalization=table,
        predicted=best.solution.prediction,
        placement=best.solution.placement,
        quantized=tuple(name for name in problem.model.by_name if name in best.solution.quantized),
        components=with_compression(problem, best.components, best.solution.quantized),
        baselines={name: baseline(problem, table, one) for name, one in simple.items()},
        goal=goal,
        parallel=best.parallel,
        advice="split" if split else "do not split",
        notes=tuple(notes),
    )
