"""Minimising a goal under caps over one elimination: multipliers first, then labels."""

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.cost import Numbers
from optimizer.exact.elimination import Eliminated, Elimination
from optimizer.exact.labels import set_labels
from optimizer.exact.multipliers import CuttingPlanes
from optimizer.exact.network import Integers
from optimizer.noise import TOLERANCE

ROUNDS = 15
"""Most multipliers tried."""

STEPS = (1.0, 0.5, 0.2)
"""How far to go from the best multipliers towards those proposed, as alternatives."""

SCALES = (1.0, 0.5, 0.75, 1.5, 3.0)
"""Of the best multipliers: what parts of the placements are bounded by, for which others are better."""

PRUNINGS = 8
"""Most times that multipliers are found anew after what they exclude was left out."""

TIGHT = 1 + 1e-6
"""A cap so near to the least value of its measure leaves little else."""

WORTHWHILE = 0.95
"""Part of the states that may be left for another round."""

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
    states: Integers | None = None
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
        self._states = [np.arange(size) for size in elimination.sizes]
        self._left = sum(elimination.sizes)
        self.best = Best(known)

    def run(self, deadline: float) -> Best:
        """Minimise until proven, or until the deadline by ``time.perf_counter`` or the largest beam is reached."""
        plain = np.vstack((self._goal, self._capped))
        eliminated = self._elimination.run(plain)
        if not (eliminated.values[1:] <= self._allowed).all() or math.isinf(eliminated.values[0]):
            self.best.bound = math.inf
            return self.best
        self.best.bound = float(eliminated.values[0])
        seen = self._see_all(eliminated)
        if (self._caps <= TIGHT * np.abs(eliminated.values[1:])).any():
            self._exclude(eliminated, self._below(0.0))
        for _ in range(PRUNINGS):
            if self._done(deadline):
                return self.best
            self._multiply(seen, deadline)
            seen = self._prune()
            if not seen:
                break
        for most in BEAMS:
            if self._done(deadline):
                break
            self._label(most, deadline)
        return self.best

    def _done(self, deadline: float) -> bool:
        return self.best.closed or time.perf_counter() > deadline

    @property
    def _capped(self) -> Numbers:
        rows: Numbers = np.eye(len(self._goal))[self._measures]
        return rows

    def _see_all(self, eliminated: Eliminated) -> list[Numbers]:
        return [self._see(states) for states in self._elimination.best(eliminated)]

    def _see(self, states: Integers) -> Numbers:
        """All measures of an assignment, which is kept if it is the best within the caps."""
        measured = self._elimination.measure(states)
        value = float(self._goal @ measured)
        within = (measured[self._measures] <= self._allowed).all()
        if within and (value < self.best.value or (self.best.states is None and value <= self.best.value)):
            self.best.value = value
            self.best.states = np.array([left[state] for left, state in zip(self._states, states, strict=True)])
        return measured

    def _multiply(self, seen: list[Numbers], deadline: float) -> None:
        planes = CuttingPlanes(self._caps, max(abs(float(self._goal @ one)) for one in seen))
        for one in seen:
            planes.add(float(self._goal @ one), one[self._measures])
        for _ in range(ROUNDS):
            if self.best.closed or time.perf_counter() > deadline:
                break
            proposed, highest = planes.propose()
            # Several at a time cost little more, and the best is often short of what the planes propose.
            tried = self._multipliers + np.array(STEPS)[:, None] * (proposed - self._multipliers)
            eliminated = self._elimination.run(np.array([self._with(one) for one in tried]))
            bounds = eliminated.values - tried @ self._caps
            best = int(np.argmax(bounds))
            if bounds[best] > self.best.bound:
                self.best.bound, self._multipliers = min(float(bounds[best]), self.best.value), tried[best]
            if math.isinf(bounds[best]) or highest - bounds[best] <= 1e-9 * abs(highest):
                break
            for one in self._see_all(eliminated):
                planes.add(float(self._goal @ one), one[self._measures])

    def _with(self, multipliers: Numbers) -> Numbers:
        weighting = self._goal.copy()
        np.add.at(weighting, self._measures, multipliers)
        return weighting

    def _bounds(self) -> tuple[Eliminated, Numbers, Numbers]:
        """Eliminate for several multiples of the multipliers, the goal and the capped measures.

        Returns:
            The elimination, what an assignment may have at most by each, and what to subtract to bound the goal.
        """
        several = self._multipliers * np.array(SCALES)[:, None]
        eliminated = self._elimination.run(np.vstack((*map(self._with, several), self._goal, self._capped)))
        offsets = several @ self._allowed
        return eliminated, self._below(np.append(offsets, 0.0)), offsets

    def _prune(self) -> list[Numbers]:
        """Exclude what nothing better has; measures of the assignments seen, none if that brought little."""
        if not self._elimination.exact or self.best.closed:
            return []
        eliminated, below, _ = self._bounds()
        if not (eliminated.values <= below).all():
            self.best.bound = self.best.value
            return []
        seen = self._see_all(eliminated)
        before = self._left
        self._exclude(eliminated, below)
        return seen if self._left < WORTHWHILE * before else []

    def _exclude(self, eliminated: Eliminated, below: Numbers) -> None:
        """Go on with the part of the network that something better may be in."""
        if not self._elimination.exact:
            return
        network, kept = self._elimination.reduced(self._elimination.excluded(eliminated, below))
        if min(network.sizes) == 0:
            self.best.bound = self.best.value
            return
        self._states = [before[states] for before, states in zip(self._states, kept, strict=True)]
        self._elimination = Elimination(network)
        self._left = sum(network.sizes)

    def _below(self, offsets: Numbers | float) -> Numbers:
        """What an assignment may cost by the goal with multipliers, the goal and the capped measures."""
        below: Numbers = np.hstack((self.best.window + offsets, self._allowed))
        return np.minimum(below, sys.float_info.max)

    def _label(self, most: int, deadline: float) -> None:
        eliminated, below, offsets = self._bounds()
        labelled = set_labels(self._elimination, eliminated, below, len(offsets), most, deadline)
        if labelled.states is not None:
            self._see(labelled.states)
        # Without a solution, exhausted labels prove that there is none.
        self.best.bound = max(self.best.bound, min(self.best.value, labelled.dropped - offsets[0]))
