"""The exact method: elimination, with the integer program for what is too large or too entangled for it."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.cost import Numbers, predict
from core.problem import Problem
from optimizer.clock import Clock, Deadline, OutOfTimeError
from optimizer.exact.branching import Branching
from optimizer.exact.choice import AnyElimination, eliminated
from optimizer.exact.floor import floor_of
from optimizer.exact.layout import TooLargeError
from optimizer.exact.network import Integers, Network
from optimizer.exact.noise_limit import NoiseLimit
from optimizer.exact.placement_network import PlacementNetwork
from optimizer.exact.region import Capped, Incumbent
from optimizer.integer_program import IntegerProgram, building_seconds
from optimizer.measures import NOISE, Weights, measures, value_of
from optimizer.solution import Outcome, Solution, evaluated

PROGRAM_TIMES = 20
"""Without a time limit, the integer program takes over from branching after a second and this many times what it
takes to build."""


@dataclass(frozen=True)
class _Prepared:
    network: Network
    elimination: AnyElimination
    noise: NoiseLimit | None
    settled: bool

    @property
    def unsettled(self) -> NoiseLimit | None:
        """The limit on noise, unless the network has all of it built in."""
        return None if self.settled else self.noise


class ExactMethod:
    """Minimises goals of one problem by elimination (see ``optimizer.solution.Method``).

    Args:
        problem: every layer must have an allowed server.
        solver: of the integer program, where that is needed.
        tell: called with a sentence when the integer program takes over.
        clock: no preparation takes longer than it has left.
    """

    def __init__(
        self,
        problem: Problem,
        solver: str = "highs",
        tell: Callable[[str], None] = lambda _: None,
        clock: Clock | None = None,
    ) -> None:
        self._problem = problem
        self._solver = solver
        self._tell = tell
        self._clock = clock or Clock(None)
        self._deadline = Deadline(self._clock)
        self._prepared: dict[float | None, _Prepared] = {}
        self._earlier: list[Weights] = []

    @cached_property
    def _program(self) -> IntegerProgram:
        return IntegerProgram(self._problem, self._solver, self._clock)

    def minimize(
        self, goal: Weights, caps: Weights, seconds: float | None = None, start: Solution | None = None
    ) -> Outcome:
        """See ``optimizer.solution.Method``."""
        begin = time.perf_counter()
        end = math.inf if seconds is None else begin + seconds
        if NOISE in goal:
            return self._continue(goal, caps, end, start, -math.inf, "noise is to be minimised")
        self._deadline.set(self._clock.left)
        try:
            prepared = self._prepare(caps.get(NOISE))
        except TooLargeError as error:
            return self._continue(goal, caps, end, start, floor_of(self._problem, goal), str(error))
        except OutOfTimeError:
            self._tell("the time limit leaves none to lay out the tables of costs; the bound is the least of each cost")
            return Outcome("stopped", start, floor_of(self._problem, goal))
        names = prepared.network.measures
        capped = [measure for measure in caps if measure in names]
        problem = Capped(
            goal=np.array([goal.get(measure, 0.0) for measure in names]),
            rows=np.array([names.index(measure) for measure in capped], dtype=np.int64),
            caps=np.array([caps[measure] for measure in capped]),
            sums=self._sums(capped),
        )
        known = math.inf if start is None else value_of(goal, start.prediction)
        measure = self._measure if self._placement.network.sendings else prepared.elimination.measure
        incumbent = Incumbent(problem, measure, prepared.noise, known)
        self._deadline.set(self._seconds_alone(end - begin) - (time.perf_counter() - begin))
        branching = Branching(problem, prepared.unsettled, incumbent, self._deadline, self._multipliers(goal, capped))
        bound = branching.run(prepared.network, prepared.elimination)
        if math.isfinite(bound) and len(goal) == 1:
            self._earlier.append({**goal, **dict(zip(capped, branching.multipliers.tolist(), strict=True))})
        found = start if incumbent.states is None else self._solution(incumbent.states)
        if bound < incumbent.window:
            bound = max(bound, floor_of(self._problem, goal))
            return self._continue(goal, caps, end, found, bound, "a gap is left between plan and bound")
        if found is None:
            return Outcome("infeasible")
        return Outcome("optimal", found, min(bound, incumbent.value))

    def _sums(self, capped: Sequence[str]) -> Numbers:
        """Of earlier goals that are capped now: each with the multiples of its caps by which it was bounded."""
        sums = [one for one in self._earlier if {*one} <= {*capped} and len(one) > 1]
        rows = [[one.get(measure, 0.0) for measure in capped] for one in sums]
        return np.array(rows, dtype=float).reshape(len(rows), len(capped))

    def _multipliers(self, goal: Weights, capped: Sequence[str]) -> Numbers:
        """Multipliers to begin with: of a sum of measures the sum of those that each had under these caps."""
        known = {next(iter(one)): one for one in self._earlier if len(one) == 1 + len(capped)}
        if not {*goal} <= {*known} or any(measure not in known[one] for one in goal for measure in capped):
            return np.zeros(len(capped))
        return np.array([sum(weight * known[one][measure] for one, weight in goal.items()) for measure in capped])

    @cached_property
    def _placement(self) -> PlacementNetwork:
        return PlacementNetwork(self._problem, check=self._deadline.check)

    def _solution(self, states: Integers) -> Solution:
        return evaluated(self._problem, *self._placement.read(states))

    def _measure(self, states: Integers) -> Numbers:
        """All measures by the cost model, infinite where a link is missing."""
        names = self._placement.network.measures
        prediction = predict(self._problem, *self._placement.read(states))
        if prediction is None:
            return np.full(len(names), math.inf)
        values = measures(prediction)
        # The row of the noise is an estimate; its limit is looked at apart.
        return np.array([0.0 if name == NOISE else values[name] for name in names])

    def _prepare(self, noise_limit: float | None) -> _Prepared:
        """What depends on the limit on noise.

        Raises:
            TooLargeError: the tables would be too large.
            OutOfTimeError: the time was up before.
        """
        placement = self._placement
        if noise_limit not in self._prepared:
            network, noise, settled = placement.network, None, True
            if noise_limit is not None:
                noise = NoiseLimit(self._problem.noise, placement.precision, noise_limit)
                network, settled = noise.imposed(network, [np.arange(size) for size in network.sizes])
            self._prepared[noise_limit] = _Prepared(network, eliminated(network, self._deadline.check), noise, settled)
        return self._prepared[noise_limit]

    def _seconds_alone(self, seconds: float) -> float:
        """How long to go on before the integer program takes over."""
        if math.isinf(seconds):
            return 1.0 + PROGRAM_TIMES * self._program_seconds
        return seconds / 2 if self._program_seconds < seconds / 4 else seconds

    @cached_property
    def _program_seconds(self) -> float:
        """How long it takes, about, until the integer program begins to search."""
        return building_seconds(self._problem)

    def _continue(
        self, goal: Weights, caps: Weights, end: float, start: Solution | None, bound: float, reason: str
    ) -> Outcome:
        """Minimise by the integer program, from the best placement and with the best bound known."""
        seconds = None if math.isinf(end) else max(0.0, end - time.perf_counter())
        if self._clock.stopped:
            return Outcome("stopped", start, bound)
        if seconds is not None and seconds < 2 * self._program_seconds:
            self._tell(f"{reason}; the time limit leaves none for the integer program")
            return Outcome("stopped", start, bound)
        self._tell(f"{reason}; continued with the integer program")
        outcome = self._program.minimize(goal, caps, seconds, start)
        found = [one for one in (outcome.solution, start) if one is not None]
        best = min(found, key=lambda one: value_of(goal, one.prediction), default=None)
        if outcome.status == "stopped":
            return Outcome("stopped", best, max(outcome.lower_bound, bound))
        return Outcome(outcome.status, best, outcome.lower_bound)
