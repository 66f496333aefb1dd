"""The exact method: elimination, with the integer program for what is too large or too entangled for it."""

import math
import time
from collections.abc import Callable
from functools import cached_property

import numpy as np

from core.problem import Problem
from optimizer.exact.capped import Best, Capped
from optimizer.exact.elimination import Elimination
from optimizer.exact.network import Network, PlacementNetwork, TooLargeError
from optimizer.integer_program import IntegerProgram
from optimizer.measures import NOISE, Weights, value_of
from optimizer.noise import TOLERANCE, allowed_masks
from optimizer.solution import Outcome, Solution, evaluated

ENUMERATED = 16
"""Up to this many quantisable layers their sets are enumerated under a limit on noise."""

LONGEST_SECONDS = 10.0
"""Time for closing a gap by labels before the integer program takes over."""


class ExactMethod:
    """Minimises goals of one problem by elimination (see ``optimizer.solution.Method``).

    Args:
        problem: every layer must have an allowed server.
        solver: of the integer program, where that is needed.
        tell: called with a sentence when the integer program takes over.
    """

    def __init__(self, problem: Problem, solver: str = "highs", tell: Callable[[str], None] = lambda _: None) -> None:
        self._problem = problem
        self._solver = solver
        self._tell = tell
        self._prepared: dict[float | None, Elimination | str] = {}

    @cached_property
    def _program(self) -> IntegerProgram:
        return IntegerProgram(self._problem, self._solver)

    def minimize(
        self, goal: Weights, caps: Weights, seconds: float | None = None, start: Solution | None = None
    ) -> Outcome:
        """See ``optimizer.solution.Method``."""
        begin = time.perf_counter()
        end = math.inf if seconds is None else begin + seconds
        if NOISE in goal:
            return self._continue(goal, caps, end, start, -math.inf, "noise is to be minimised")
        limit = caps.get(NOISE)
        # Too many sets of int8 layers to enumerate: the noise cap is left out, and it is seen whether it is met.
        relaxed = limit is not None and len(self._problem.model.quantizable) > ENUMERATED
        prepared = self._prepare(None if relaxed else limit)
        if isinstance(prepared, str):
            return self._continue(goal, caps, end, start, -math.inf, prepared)
        known = math.inf if start is None or relaxed else value_of(goal, start.prediction)
        best = self._best(prepared, goal, caps, known, min(end, begin + LONGEST_SECONDS))
        if best.value == best.bound == math.inf:
            return Outcome("infeasible")
        found = start
        placement = self._placement
        if best.states is not None and isinstance(placement, PlacementNetwork):
            found = evaluated(self._problem, *placement.read(best.states))
            if limit is not None and found.prediction.noise > limit + TOLERANCE * abs(limit):
                reason = f"{len(self._problem.model.quantizable)} layers may be int8 under a noise cap"
                return self._continue(goal, caps, end, start, best.bound, reason)
        if best.closed:
            return Outcome("optimal", found, min(best.bound, best.value))
        return self._continue(goal, caps, end, found, best.bound, "the caps leave a gap between plan and bound")

    @cached_property
    def _placement(self) -> PlacementNetwork | str:
        try:
            return PlacementNetwork(self._problem)
        except TooLargeError as error:
            return str(error)

    def _prepare(self, noise_limit: float | None) -> Elimination | str:
        """The elimination under a limit on noise, or why there is none."""
        if isinstance(self._placement, str):
            return self._placement
        if noise_limit not in self._prepared:
            try:
                self._prepared[noise_limit] = Elimination(self._limited(self._placement, noise_limit))
            except TooLargeError as error:
                self._prepared[noise_limit] = str(error)
        return self._prepared[noise_limit]

    def _limited(self, placement: PlacementNetwork, noise_limit: float | None) -> Network:
        """The network without the sets of int8 layers that break the limit."""
        network = placement.network
        layers = self._problem.model.quantizable
        if noise_limit is None or not layers:
            return network
        allowed = allowed_masks(self._problem.noise, layers, noise_limit).reshape((2,) * len(layers))
        limited = Network(network.measures, list(network.sizes), list(network.tables))
        # Row numbers of masks are binary with the first layer lowest, hence the axes in reverse.
        scope = [placement.precision[name] for name in reversed(layers)]
        limited.add(scope, np.zeros((len(network.measures), *allowed.shape)), ~allowed)
        return limited

    def _best(self, elimination: Elimination, goal: Weights, caps: Weights, known: float, deadline: float) -> Best:
        names = elimination.measures
        capped = {measure: cap for measure, cap in caps.items() if measure != NOISE}
        weights = np.array([goal.get(measure, 0.0) for measure in names])
        rows = [names.index(measure) for measure in capped]
        return Capped(elimination, weights, rows, list(capped.values()), known).run(deadline)

    def _continue(
        self, goal: Weights, caps: Weights, end: float, start: Solution | None, bound: float, reason: str
    ) -> Outcome:
        """Minimise by the integer program, from the best placement and with the best bound known."""
        if time.perf_counter() >= end and start is not None:
            return Outcome("stopped", start, bound)
        self._tell(f"continuing with the integer program: {reason}")
        program = self._program
        seconds = None if end == math.inf else max(0.0, end - time.perf_counter())
        outcome = program.minimize(goal, caps, seconds, start)
        found = [one for one in (outcome.solution, start) if one is not None]
        best = min(found, key=lambda one: value_of(goal, one.prediction), default=None)
        if outcome.status == "stopped":
            return Outcome("stopped", best, max(outcome.lower_bound, bound))
        return Outcome(outcome.status, best, outcome.lower_bound)
