"""A part of the search: bounded by Lagrange multipliers and shrunk by leaving out what nothing better has."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.cost import Numbers
from optimizer.clock import Deadline
from optimizer.exact.alone import Alone
from optimizer.exact.choice import AnyElimination, eliminated
from optimizer.exact.elimination import Elimination
from optimizer.exact.multipliers import CuttingPlanes
from optimizer.exact.network import Integers, Network
from optimizer.exact.noise_limit import NoiseLimit
from optimizer.noise import TOLERANCE

ROUNDS = 12
"""Most times that multipliers are proposed."""

STEPS = (1.0, 0.5, 0.2)
"""How far to go from the best multipliers towards those proposed, as alternatives."""

SCALES = (1.0, 0.5, 1.1, 3.0)
"""Of the best multipliers: what parts of the placements are bounded by, for which others are better."""

LARGE = 4_000_000
"""An elimination of so many table entries is run for one multiple only, to save memory."""

PRUNINGS = 8
"""Most times that multipliers are found anew after what they exclude was left out."""

WORTHWHILE = 0.95
"""Part of the states that may be left for another round."""

COMPACT = 0.5
"""Part of the states that may be left before a network of its own is made of them."""

TIGHT = 1.01
"""A cap so near to the least value of its measure leaves little else."""

CLOSED = 1e-10
"""Relative gap that counts as none."""


@dataclass(frozen=True)
class Capped:
    """What is minimised, over rows of a network's measures.

    Attributes:
        goal: weights of the measures.
        rows: the measures that have caps.
        caps: their largest values.
        sums: multiples of the caps, sums × caps, that an earlier minimisation found to leave little.
    """

    goal: Numbers
    rows: Integers
    caps: Numbers
    sums: Numbers

    @property
    def allowed(self) -> Numbers:
        """The caps with slack for rounding."""
        return self.caps + TOLERANCE * np.abs(self.caps)

    def value(self, measured: Numbers) -> float:
        """The goal of an assignment's measures; infinite if it is impossible."""
        return float(self.goal @ measured) if np.isfinite(measured).all() else math.inf

    def weighting(self, multipliers: Numbers) -> Numbers:
        """The goal with multiples of the capped measures added."""
        weights = self.goal.copy()
        np.add.at(weights, self.rows, multipliers)
        return weights


class Incumbent:
    """The best assignment found so far, which all regions share.

    Args:
        problem: goal and caps.
        measure: of an assignment, all measures.
        noise: a limit to keep besides.
        value: of the goal, at a solution that is known already; infinite without one.

    Attributes:
        states: of the best assignment; ``None`` if only a value is known.
    """

    def __init__(
        self, problem: Capped, measure: Callable[[Integers], Numbers], noise: NoiseLimit | None, value: float
    ) -> None:
        self.value = value
        self.states: Integers | None = None
        self._problem = problem
        self._measure = measure
        self._noise = noise

    @property
    def window(self) -> float:
        """What a better assignment must cost at most."""
        return self.value - CLOSED * abs(self.value) if math.isfinite(self.value) else math.inf

    def offer(self, states: Integers) -> None:
        """Take an assignment, with layers back in float if it is too noisy, if it keeps the caps and is better."""
        if self._noise is not None:
            states = self._noise.mended(states)
        measured = self._measure(states)
        value = self._problem.value(measured)
        better = value < self.value or (self.states is None and value <= self.value)
        if better and math.isfinite(value) and (measured[self._problem.rows] <= self._problem.allowed).all():
            self.value, self.states = value, states


class Region:
    """The assignments of a network, of which only better ones than the incumbent matter.

    Args:
        network: what is left of the whole network.
        states: for each of its variables the states of the whole network that are left.
        problem: goal and caps.
        incumbent: is offered the assignments that are seen.
        settled: whether the network has all of the limit on noise built in.
        multipliers: to begin with.
        elimination: of the network.

    Attributes:
        bound: nothing in the region has a lower goal; at least the incumbent's where nothing is better.
        multipliers: the best by what is left; ``multipliers_at_first``: before anything was left out by them.
    """

    def __init__(
        self,
        network: Network,
        states: list[Integers],
        problem: Capped,
        incumbent: Incumbent,
        settled: bool,
        multipliers: Numbers,
        elimination: AnyElimination,
    ) -> None:
        self.network = network
        self.states = states
        self.bound = -math.inf
        self.settled = settled
        self.multipliers = multipliers
        self.multipliers_at_first = multipliers
        self._problem = problem
        self._incumbent = incumbent
        self._elimination = elimination
        self._excluded: Any = None
        self._seen: list[tuple[Integers, Numbers]] = []

    @property
    def closed(self) -> bool:
        """Whether nothing better is in the region."""
        return self.bound >= self._incumbent.window

    def search(self, deadline: Deadline) -> None:
        """Raise the bound and leave out what is not better, while that helps.

        Raises:
            OutOfTimeError: the time was up in between; only the bound can be used then.
        """
        self._search(deadline)
        if self._excluded is not None and not self.closed:
            self._compact(self._excluded)

    def _search(self, deadline: Deadline) -> None:
        problem = self._problem
        if max(self.network.sizes) == 1:
            self._offer(np.zeros(len(self.network.sizes), dtype=np.int64))
            self.bound = math.inf
            return
        sums = np.vstack((np.eye(len(problem.caps)), problem.sums))
        weightings = np.zeros((len(sums), len(problem.goal)))
        weightings[:, problem.rows] = sums
        alone = self._elimination.remembered.each(self._elimination, [problem.goal, *weightings])
        values = np.array([one.value for one in alone])
        below = np.append(self._incumbent.window, sums @ problem.allowed)
        if not (values <= below).all():
            self.bound = math.inf
            return
        self.bound = max(self.bound, alone[0].value)
        self._seen = [(one.states, self._offer(one.states)) for one in alone]
        if self.closed:
            return
        if len(problem.sums) or (problem.caps <= TIGHT * np.abs(values[1 : 1 + len(problem.caps)])).any():
            if any(map(self._is_only, alone[1:], below[1:].tolist())):
                self.bound = math.inf
                return
            least = alone[0].eliminated.joined([one.eliminated for one in alone])
            self._leave_out(least, np.minimum(below, sys.float_info.max))
        for pruning in range(PRUNINGS):
            if self.closed or deadline.passed:
                return
            if len(problem.caps):
                self._multiply(deadline)
            if pruning == 0:
                self.multipliers_at_first = self.multipliers
            if self.closed or deadline.passed or not self._shrink():
                return

    def _is_only(self, alone: Alone, below: float) -> bool:
        """Whether no assignment costs at most ``below`` but the best one, which was offered."""
        near = below <= TIGHT * abs(alone.value)
        return near and alone.value + self._elimination.margin(alone.eliminated, alone.states) > below

    def _look(self) -> None:
        """See good assignments of the network as it is now."""
        several = [self._problem.weighting(self.multipliers * scale) for scale in (0.0, 0.97, 1.03)]
        self._see(self._elimination.run(np.array(several)))

    def guess(self) -> Integers:
        """States of the whole network that are best by the multipliers."""
        if not self._seen:
            self._look()
        return self._whole(self._best_seen())

    def _best_seen(self) -> Integers:
        weighted = replace(self._problem, goal=self._problem.weighting(self.multipliers))
        return min(self._seen, key=lambda one: weighted.value(one[1]))[0]

    def _whole(self, states: Integers) -> Integers:
        return np.array([left[state] for left, state in zip(self.states, states, strict=True)])

    def branches(self) -> list[tuple[int, Integers]]:
        """A variable and its states for each of two parts, chosen where the assignments seen last disagree."""
        if not self._seen:
            self._look()
        variable, chosen = self._disagreement()
        everything = np.arange(self.network.sizes[variable])
        return [(variable, np.array([chosen])), (variable, everything[everything != chosen])]

    def _disagreement(self) -> tuple[int, int]:
        best = self._best_seen()
        apart = np.zeros(len(best), dtype=bool)
        for states, _ in self._seen:
            apart |= states != best
        sizes = np.array(self.network.sizes)
        candidates = np.flatnonzero(apart & (sizes > 1))
        if not len(candidates):
            candidates = np.flatnonzero(sizes > 1)
        weights = np.array([self._influence(int(variable)) for variable in candidates])
        # Of noisy layers the noisiest first; else the middle by weight, which on a chain halves a cut's positions.
        middle = int(np.searchsorted(np.cumsum(weights), weights.sum() / 2))
        chosen = min(middle, len(candidates) - 1) if self.settled else int(weights.argmax())
        variable = int(candidates[chosen])
        return variable, int(best[variable])

    def _influence(self, variable: int) -> float:
        """By how much a variable's own costs can change what is capped."""
        weighting = self._problem.weighting(self.multipliers) - self._problem.goal
        own = [table.values for table in self.network.tables if table.scope == (variable,)]
        return float(np.ptp(weighting @ sum(own))) + 1e-12 if own else 1e-12

    def _see(self, least: Any) -> None:
        """Look at the best assignment by each weighting."""
        self._seen = [(states, self._offer(states)) for states in self._elimination.best(least)]

    def _offer(self, states: Integers) -> Numbers:
        """Offer an assignment of the network that seems better than the incumbent; returns what it measures."""
        problem, incumbent = self._problem, self._incumbent
        measured = self._elimination.measure(states)
        if problem.value(measured) <= incumbent.value and (measured[problem.rows] <= problem.allowed).all():
            incumbent.offer(self._whole(states))
        return measured

    def _multiply(self, deadline: Deadline) -> None:
        """Find the multipliers of the best bound."""
        problem = self._problem
        if not self._seen:
            self._look()
        possible = [measured for _, measured in self._seen if np.isfinite(measured).all()]
        if not possible:
            return
        planes = CuttingPlanes(problem.caps, max(abs(problem.value(measured)) for measured in possible))
        for number in range(ROUNDS):
            for _, measured in self._seen:
                if np.isfinite(measured).all():
                    planes.add(problem.value(measured), measured[problem.rows])
            proposed, highest = planes.propose()
            # Several at a time cost little more, and the best is often short of what the planes propose.
            steps = STEPS if number or not self.multipliers.any() else (0.0, *STEPS)
            tried = self.multipliers + np.array(steps)[:, None] * (proposed - self.multipliers)
            least = self._elimination.run(np.array([problem.weighting(one) for one in tried]))
            bounds = least.values - tried @ problem.caps
            best = int(np.argmax(bounds))
            if bounds[best] > self.bound:
                self.bound, self.multipliers = float(bounds[best]), tried[best]
            if math.isinf(bounds[best]):
                return
            self._see(least)
            if self.closed or highest - bounds[best] <= 1e-9 * abs(highest) or deadline.passed:
                return

    def _shrink(self) -> bool:
        """Leave out what no better assignment has; says whether that was much."""
        problem = self._problem
        scales = SCALES if self._elimination.entries < LARGE else SCALES[:1]
        several = self.multipliers * np.array(scales)[:, None]
        rows = (*map(problem.weighting, several), problem.goal, *np.eye(len(problem.goal))[problem.rows])
        least = self._elimination.run(np.vstack(rows))
        below = self._below(np.append(several @ problem.allowed, 0.0))
        if not (least.values <= below).all():
            self.bound = math.inf
            return False
        self._see(least)
        before = self._elimination.states
        self._leave_out(least, below)
        return self._elimination.states < WORTHWHILE * before

    def _leave_out(self, least: Any, below: Numbers) -> None:
        excluded = self._elimination.excluded(least, below)
        if isinstance(self._elimination, Elimination) and self._elimination.exact:
            left = self._elimination.left(excluded)
            if left == 0:
                self.bound = math.inf
                return
            if left > COMPACT * self._elimination.states:
                self._elimination, self._excluded = self._elimination.without(excluded, left), excluded
                return
        self._compact(excluded)

    def _compact(self, excluded: Any) -> None:
        """Make a network of what is left; if that is one assignment, look at it, and nothing else is left."""
        kept = self._elimination.kept(excluded)
        most = {len(states) for states in kept}
        if 0 in most:
            self.bound = math.inf
        elif most == {1}:
            self._offer(np.array([states[0] for states in kept]))
            self.bound = math.inf
        else:
            self.network = self._elimination.reduced(excluded, kept)
            self.states = [before[states] for before, states in zip(self.states, kept, strict=True)]
            self._elimination = eliminated(self.network, self._elimination.check)
            self._excluded = None
            self._seen = []

    def _below(self, offsets: Numbers | float) -> Numbers:
        """What an assignment may cost by the goal with multipliers, the goal and the capped measures."""
        below: Numbers = np.hstack((self._incumbent.window + offsets, self._problem.allowed))
        return np.minimum(below, sys.float_info.max)
