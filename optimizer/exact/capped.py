"""Minimising a goal under caps over one elimination: multipliers first, then labels."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.exact.elimination import Elimination
from optimizer.exact.labels import set_labels
from optimizer.exact.multipliers import CuttingPlanes
from optimizer.exact.network import Numbers
from optimizer.noise import TOLERANCE

ROUNDS = 15
"""Most multipliers tried."""

BEAMS = (300, 4_000, 40_000)
"""Labels kept at a time, in the attempts to find and prove the optimum."""

CLOSED = 1e-10
"""Relative gap that counts as none."""


@dataclass
class Best:
    """The best assignment so far and what is proven.

    Attributes:
        value: of the goal; infinite if no assignment is known.
        states: ``None`` if none is known here; a value may still be known from elsewhere.
        bound: no assignment within the caps has a lower goal; infinite if there is none.
    """

    value: float
    states: list[int] | None = None
    bound: float = -math.inf

    @property
    def closed(self) -> bool:
        """Whether nothing better can exist."""
        return self.bound >= self.window

    @property
    def window(self) -> float:
        """What a better assignment must cost at most."""
        return self.value - CLOSED * abs(self.value) if math.isfinite(self.value) else math.inf


class Capped:
    """One minimisation.

    Args:
        goal: weights of the elimination's measures.
        measures: which measures are capped.
        caps: their largest values.
        known: value of the goal at a known solution, infinite without one.
    """

    def __init__(
        self, elimination: Elimination, goal: Numbers, measures: Sequence[int], caps: Sequence[float], known: float
    ) -> None:
        self._elimination = elimination
        self._goal = goal
        self._measures = list(measures)
        self._caps = np.array(caps, dtype=float)
        self._allowed = self._caps + TOLERANCE * np.abs(self._caps)
        self._multipliers = np.zeros(len(self._caps))
        self.best = Best(known)

    def run(self, deadline: float) -> Best:
        """Minimise until proven, or until the deadline by ``time.perf_counter`` or the largest beam is reached."""
        plain = np.vstack((self._goal, self._capped))
        eliminated = self._elimination.run(plain)
        if not (eliminated.values[1:] <= self._allowed).all() or math.isinf(eliminated.values[0]):
            self.best.bound = math.inf
            return self.best
        self.best.bound = float(eliminated.values[0])
        seen = [self._see(self._elimination.best(eliminated, weighting)) for weighting in range(len(plain))]
        if not self.best.closed:
            self._multiply(seen, deadline)
        for most in BEAMS:
            if self.best.closed or time.perf_counter() > deadline:
                break
            self._label(most, deadline)
        return self.best

    @property
    def _capped(self) -> Numbers:
        rows: Numbers = np.eye(len(self._goal))[self._measures]
        return rows

    def _see(self, states: list[int]) -> Numbers:
        """All measures of an assignment, which is kept if it is the best within the caps."""
        measured = self._elimination.measure(states)
        value = float(self._goal @ measured)
        within = (measured[self._measures] <= self._allowed).all()
        if within and (value < self.best.value or (self.best.states is None and value <= self.best.value)):
            self.best.value, self.best.states = value, states
        return measured

    def _multiply(self, seen: list[Numbers], deadline: float) -> None:
        planes = CuttingPlanes(self._caps, max(abs(float(self._goal @ one)) for one in seen))
        for one in seen:
            planes.add(float(self._goal @ one), one[self._measures])
        for _ in range(ROUNDS):
            if self.best.closed or time.perf_counter() > deadline:
                break
            multipliers, highest = planes.propose()
            eliminated = self._elimination.run(self._with(multipliers)[None])
            bound = float(eliminated.values[0] - multipliers @ self._caps)
            if bound > self.best.bound:
                self.best.bound, self._multipliers = bound, multipliers
            one = self._see(self._elimination.best(eliminated, 0))
            if highest - bound <= 1e-9 * abs(highest):
                break
            planes.add(float(self._goal @ one), one[self._measures])

    def _with(self, multipliers: Numbers) -> Numbers:
        weighting = self._goal.copy()
        np.add.at(weighting, self._measures, multipliers)
        return weighting

    def _label(self, most: int, deadline: float) -> None:
        eliminated = self._elimination.run(np.vstack((self._with(self._multipliers), self._goal, self._capped)))
        offset = float(self._multipliers @ self._allowed)
        below = np.array([self.best.window + offset, self.best.window, *self._allowed])
        labelled = set_labels(self._elimination, eliminated, below, most, deadline)
        if labelled.states is not None:
            self._see(labelled.states)
        # Without a solution, exhausted labels prove that there is none.
        self.best.bound = max(self.best.bound, min(self.best.value, labelled.dropped - offset))
