"""What a run of the bench found, and its headline figures."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.planning.apart import Ended, Stopped
from bench.planning.cases import Case, Method
from bench.planning.measure import Measured
from core.documents import encode
from core.errors import InternalError

RELATIVE_TOLERANCE = 1e-6
"""Within this, values of two methods are equal; for normalised objectives, whose scale is 1, also absolutely."""


@dataclass(frozen=True)
class Timing:
    """One method on one case; medians over ``runs``.

    Attributes:
        seconds: by the clock.
        processor_seconds: of all threads.
        runs: how many were measured.
        peak_memory_bytes: largest resident memory of a run's process; ``None`` where it was stopped.
        stopped: the time limit ended it, so that the seconds are a lower bound.
    """

    seconds: float
    processor_seconds: float
    runs: int
    peak_memory_bytes: int | None = None
    stopped: bool = False


@dataclass(frozen=True)
class CaseResult:
    """All methods on one case.

    Attributes:
        timings: by method; those that failed in the first run are missing.
        plan: the exact method's; ``None`` where it was stopped or failed.
        failures: what went wrong, in words: a method failed, or disagrees with the exact one.
    """

    case: Case
    timings: Mapping[Method, Timing]
    plan: Measured | None
    failures: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether the exact method found its optimum."""
        return "exact" in self.timings and not self.timings["exact"].stopped

    def ratio(self, method: Method) -> float | None:
        """How many times as much processor time as the exact method another takes; ``None`` if not measured."""
        if method not in self.timings or not self.finished:
            return None
        return self.timings[method].processor_seconds / self.timings["exact"].processor_seconds


@dataclass(frozen=True)
class Results:
    """A run of the bench.

    Attributes:
        quick: only small stand-ins were measured, so there are no headline figures.
        components: building the components of 1,850 scattered layers.
        cases: in the order measured.
    """

    quick: bool
    components: Timing
    cases: Sequence[CaseResult] = field(default_factory=list)


def timing(runs: Sequence[Ended[Measured] | Stopped]) -> Timing:
    """Medians of some runs; one that was stopped stands alone."""
    peaks = [run.peak_memory_bytes for run in runs if isinstance(run, Ended)]
    values = [run.value if isinstance(run, Ended) else run for run in runs]
    return Timing(
        statistics.median(value.seconds for value in values),
        statistics.median(value.processor_seconds for value in values),
        len(runs),
        max(peaks, default=None),
        len(peaks) < len(runs),
    )


def require_equal(method: Method, found: Measured, exact: Measured) -> None:
    """See that another method found the exact one's optimum.

    Raises:
        InternalError: it did not.
    """
    if found.status != exact.status or exact.status == "feasible":
        raise InternalError(f"exact ends {exact.status!r}, {method} ends {found.status!r}")
    if exact.normalization is None or found.normalization is None:
        return
    ours, theirs = exact.normalization, found.normalization
    _require_close(method, "the least latency", ours.latency_min, theirs.latency_min, 0.0)
    _require_close(method, "the least energy", ours.energy_min, theirs.energy_min, 0.0)
    _require_close(method, "the objective", exact.objective, found.objective, RELATIVE_TOLERANCE)


def _require_close(method: Method, what: str, exact: float | None, found: float | None, absolute: float) -> None:
    if exact is None or found is None or not math.isclose(exact, found, rel_tol=RELATIVE_TOLERANCE, abs_tol=absolute):
        raise InternalError(f"methods disagree on {what}: exact {exact!r}, {method} {found!r}")


def summary(results: Results) -> dict[str, Any]:
    """The run as one JSON object; headline figures are ``null`` where their cases were not measured.

    ``unfinished`` names the cases on which the exact method itself was stopped or failed; a headline figure of such a
    case is ``null``.
    """
    six = next(iter(_of(results, "literal_6_servers")), None)
    literal = None if six is None else six.timings.get("literal")
    peaks = [one.timings["exact"].peak_memory_bytes or 0 for one in results.cases if one.finished]
    return {
        "ratio_literal_6_servers": six and six.ratio("literal"),
        "ratio_literal_6_servers_is_lower_bound": literal and literal.stopped,
        "ratio_ilp_6_servers": six and six.ratio("ilp"),
        "seconds_650x3_int8": _slowest(_of(results, "650x3_int8")),
        "seconds_5000x32": _slowest(_of(results, "5000x32")),
        "seconds_components_1850": None if results.quick else results.components.seconds,
        "peak_memory_bytes": max(peaks, default=None),
        "unfinished": [one.case.name for one in results.cases if not one.finished],
        "failures": [failure for one in results.cases for failure in one.failures],
        "quick": results.quick,
        "cases": [_case(one) for one in results.cases],
    }


def _of(results: Results, figure: str) -> list[CaseResult]:
    return [one for one in results.cases if one.case.figure == figure]


def _slowest(cases: Sequence[CaseResult]) -> float | None:
    if not all(one.finished for one in cases):
        return None
    return max((one.timings["exact"].seconds for one in cases), default=None)


def _case(one: CaseResult) -> dict[str, Any]:
    plan = {} if one.plan is None else encode(one.plan)
    told = ("layers", "servers", "quantizable", "status", "objective", "components", "notes")
    return {
        "name": one.case.name,
        **{name: plan.get(name) for name in told},
        **{f"ratio_{method}": one.ratio(method) for method in one.timings if method != "exact"},
        "methods": {method: encode(timing) for method, timing in one.timings.items()},
    }
