"""Several minimisations of one problem that share a time limit and what they have found so far."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from core.cost import violated_limit
from core.errors import DeadlineExceededError
from core.problem import Problem
from optimizer.clock import Clock
from optimizer.measures import Weights, caps, measures, value_of
from optimizer.noise import TOLERANCE
from optimizer.solution import Method, Solution


@dataclass(frozen=True)
class Minimum:
    """The least value found of a goal, a proven bound on it, and whether the two are one."""

    solution: Solution
    lower_bound: float
    proven: bool


class Search:
    """Minimises goals under the problem's limits; every solution found helps the later ones.

    Args:
        known: solutions that are at hand already; those within the limits are used.
    """

    def __init__(self, problem: Problem, method: Method, clock: Clock, known: Iterable[Solution] = ()) -> None:
        self._problem = problem
        self._method = method
        self._clock = clock
        self._known = [one for one in known if violated_limit(problem, one.prediction) is None]

    def minimize(self, goal: Weights, extra_caps: Mapping[str, float], solves_left: int) -> Minimum | None:
        """Minimise a goal under the problem's limits and further caps; ``None`` if nothing satisfies them.

        Args:
            solves_left: how many minimisations, this one included, share the time that is left.

        Raises:
            DeadlineExceededError: the time was up before any solution was found.
        """
        start = min(
            (one for one in self._known if _within(one, extra_caps)),
            key=lambda one: value_of(goal, one.prediction),
            default=None,
        )
        bounds = {**caps(self._problem), **extra_caps}
        outcome = self._method.minimize(goal, bounds, self._clock.share(solves_left), start)
        candidates = [one for one in (outcome.solution, start) if one is not None]
        if not candidates:
            if outcome.status == "infeasible":
                return None
            raise DeadlineExceededError(
                f"no plan was found in {self._clock.elapsed:.1f} s, and none was ruled out; raise the time limit"
            )
        best = min(candidates, key=lambda one: value_of(goal, one.prediction))
        self._known.append(best)
        value = value_of(goal, best.prediction)
        bound = outcome.lower_bound if math.isfinite(outcome.lower_bound) else -math.inf
        # A start can satisfy the caps within rounding where the solver, strictly, saw nothing.
        proven = outcome.status != "stopped"
        return Minimum(best, value if outcome.status == "infeasible" else min(bound, value), proven)


def held(minimum: float) -> float:
    """The cap that keeps a measure at its least value."""
    return minimum + TOLERANCE * abs(minimum)


def _within(solution: Solution, extra_caps: Mapping[str, float]) -> bool:
    values = measures(solution.prediction)
    return all(values[measure] <= cap for measure, cap in extra_caps.items())
