"""Running the cases, method beside method."""

from collections.abc import Sequence

from bench.planning.apart import Ended, Stopped, run_apart
from bench.planning.cases import Case, Method
from bench.planning.measure import Measured, measure_components, measure_literal, measure_plan
from bench.planning.results import CaseResult, Results, require_equal, timing
from core.errors import InternalError
from core.progress import Progress, no_progress, part

ROUNDS = 3
"""How often a method is measured; the rounds of two methods alternate."""

LONG_SECONDS = 10.0
"""What takes longer is measured once."""

OPTIMIZER_LIMIT_SECONDS = 300.0
"""When a run of the exact method or of the tight integer program is stopped."""

OTHERS_SHARE = 0.25
"""Share of the literal program's limit where no headline figure hangs on it."""

COMPONENT_LAYERS = 1850

Run = Ended[Measured] | Stopped


def run(cases: Sequence[Case], literal_limit: float, quick: bool, progress: Progress = no_progress) -> Results:
    """Measure every case by each of its methods.

    Args:
        cases: what to measure.
        literal_limit: seconds after which the literal program is stopped on the case of the headline figure, and a
            quarter of them on others; its time is a lower bound then.
        quick: measures everything once, forms components of fewer layers, and names no headline figures.
        progress: told what is measured.

    Returns:
        All that was found; where two methods disagree on an optimum or one of them failed, its failures say so, and
        the rest is measured nevertheless.

    Raises:
        PartitaError: a case cannot be planned at all, or components cannot be formed.
    """
    progress(0.0, "forming components")
    layers, rounds = (200, 1) if quick else (COMPONENT_LAYERS, ROUNDS)
    components = timing([run_apart(measure_components, layers) for _ in range(rounds)])
    share = 1 / max(1, len(cases))
    found = [
        _run_case(case, rounds, literal_limit, part(progress, number * share, share))
        for number, case in enumerate(cases)
    ]
    return Results(quick, components, found)


def _run_case(case: Case, rounds: int, literal_limit: float, progress: Progress) -> CaseResult:
    runs: dict[Method, list[Run]] = {method: [] for method in case.methods}
    failures: dict[Method, str] = {}
    plan = None
    limit = literal_limit if case.figure == "literal_6_servers" else OTHERS_SHARE * literal_limit
    for number in range(rounds):
        for position, method in enumerate(case.methods):
            if method in failures or _is_enough(runs[method]) or (method == "literal" and plan is None):
                continue
            done = (number + position / len(case.methods)) / rounds
            progress(done, f"{case.name}, {method}, round {number + 1}")
            try:
                one = _run(case, method, limit, plan)
                if isinstance(one, Ended) and plan is not None:
                    require_equal(method, one.value, plan)
            except InternalError as error:
                failures[method] = f"{case.name}, {method}: {error}"
                continue
            runs[method].append(one)
            if isinstance(one, Ended) and method == "exact":
                plan = plan or one.value
    timings = {method: timing(found) for method, found in runs.items() if found}
    return CaseResult(case, timings, plan, tuple(failures.values()))


def _run(case: Case, method: Method, literal_limit: float, plan: Measured | None) -> Run:
    if method == "literal":
        table = None if plan is None else plan.normalization
        return run_apart(measure_literal, case.make, table, limit_seconds=literal_limit)
    return run_apart(measure_plan, case.make, method, limit_seconds=OPTIMIZER_LIMIT_SECONDS)


def _is_enough(runs: Sequence[Run]) -> bool:
    return any(isinstance(one, Stopped) or one.value.seconds > LONG_SECONDS for one in runs)
