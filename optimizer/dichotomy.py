"""The supported front of two goals by the dichotomic scheme of Aneja and Nair (1979).

For a weight ω of latency let g(ω) be the least of ω T + (1 − ω) E, both normalised by the payoff table. g is concave
and piecewise linear, and every piece is a supported plan. The scheme begins with the two ends, minimises where the
lines of two neighbouring plans meet, and so either finds a plan between them or proves that there is none. Solved
values of g, joined by straight lines, bound it from below, and the lines of the known plans from above: the distance
of the two is the gap that decides where to look next, and that is stated in the end.
"""

import math
from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from core.progress import Progress
from optimizer.clock import Clock
from optimizer.measures import ENERGY, LATENCY
from optimizer.payoff import Payoff, found
from optimizer.search import Search
from optimizer.solution import Solution

SAME = 1e-7
"""Differences of the normalised objective up to this count as none."""


@dataclass(frozen=True)
class Point:
    """A plan by its normalised latency and energy."""

    latency: float
    energy: float
    solution: Solution

    def value(self, weight: float) -> float:
        """The objective at a weight of latency."""
        return weight * self.latency + (1 - weight) * self.energy


def supported(points: Iterable[Point]) -> list[Point]:
    """The corners of the convex hull on the side of low latency and low energy, by rising latency."""
    corners: list[Point] = []
    for point in sorted(points, key=lambda one: (one.latency, one.energy)):
        if corners and point.energy >= corners[-1].energy:
            continue
        while len(corners) > 1:
            weight = _meeting(corners[-2], point)
            if point.value(weight) - corners[-1].value(weight) > SAME:
                break
            corners.pop()
        corners.append(point)
    return corners


def weight_limits(points: Sequence[Point]) -> list[float]:
    """The weights of latency where one point takes over from the next, from 1 down to 0."""
    return [1.0, *(_meeting(left, right) for left, right in pairwise(points)), 0.0]


def knee_of(points: Sequence[Point]) -> int | None:
    """Position of the point farthest from the line between the two ends; ``None`` if there is none between them."""
    first, last = points[0], points[-1]
    # Along the line both ends are worth the same, so that what a point is worth less is its distance but for a factor.
    weight = _meeting(first, last) if len(points) > 1 else 1.0
    inner = range(1, len(points) - 1)
    return min(inner, key=lambda index: points[index].value(weight), default=None)


def _meeting(left: Point, right: Point) -> float:
    """The weight of latency at which two neighbours are worth the same."""
    gain, loss = left.energy - right.energy, right.latency - left.latency
    return gain / (gain + loss)


class Dichotomy:
    """The points found so far, and what is proven of those that were not.

    Args:
        payoff: the two ends.
        most_points: when to stop.

    Attributes:
        points: corners of the front, by rising latency.
    """

    def __init__(self, payoff: Payoff, most_points: int) -> None:
        self._most = most_points
        self._proven = payoff.proven
        self._truncated = self._out_of_time = False
        table = payoff.normalization
        self._lows = table.latency_min, table.energy_min
        self._ranges = table.latency_max - table.latency_min, table.energy_max - table.energy_min
        # Weight of latency → proven bound on the objective there.
        self._bounds: dict[float, float] = {}
        if min(self._ranges) == 0:
            # One plan has both the least latency and the least energy.
            self.points = [Point(0.0, 0.0, payoff.fast_end)]
            return
        self.points = supported(map(self._point, (payoff.fast_end, payoff.thrifty_end)))
        self._bounds[0.0] = (payoff.thriftiest.lower_bound - table.energy_min) / self._ranges[1]
        self._bounds[1.0] = (payoff.fastest.lower_bound - table.latency_min) / self._ranges[0]

    @property
    def status(self) -> Literal["complete", "truncated", "stopped"]:
        """How the search ended; see ``core.front.Front``."""
        if self._out_of_time or not self._proven:
            return "stopped"
        return "truncated" if self._truncated else "complete"

    @property
    def gap(self) -> float:
        """For no weight is any plan's objective lower than the best point's by more than this; may be infinite."""
        # Between the limits the points' objective is linear and the bound concave, so the largest gap is at a limit.
        return max(map(self._gap, weight_limits(self.points))) if self._bounds else 0.0

    def run(self, search: Search, clock: Clock, progress: Progress) -> None:
        """Find points until there are no more, there are too many, or the time is up."""
        solves_left = 2 * self._most
        while (weight := self._widest()) is not None:
            if clock.share(1) == 0:
                self._out_of_time = True
                return
            progress(len(self.points) / (self._most + 1), f"minimising between {len(self.points)} points of the front")
            goal = {LATENCY: weight / self._ranges[0], ENERGY: (1 - weight) / self._ranges[1]}
            constant = goal[LATENCY] * self._lows[0] + goal[ENERGY] * self._lows[1]
            minimum = found(search.minimize(goal, {}, solves_left))
            solves_left = max(1, solves_left - 1)
            self._proven &= minimum.proven
            self._bounds[weight] = max(minimum.lower_bound - constant, self._bound(weight))
            points = supported([*self.points, self._point(minimum.solution)])
            if len(points) > self._most:
                self._truncated = True
                return
            self.points = points

    def _point(self, solution: Solution) -> Point:
        return Point(
            (solution.prediction.latency_seconds - self._lows[0]) / self._ranges[0],
            (solution.prediction.energy_joules - self._lows[1]) / self._ranges[1],
            solution,
        )

    def _widest(self) -> float | None:
        """The weight at which most is still open between two neighbours; ``None`` if nothing is."""
        meetings = [weight for weight in weight_limits(self.points)[1:-1] if weight not in self._bounds]
        widest = max(meetings, key=self._gap, default=None)
        return None if widest is None or self._gap(widest) <= SAME else widest

    def _gap(self, weight: float) -> float:
        return max(0.0, min(point.value(weight) for point in self.points) - self._bound(weight))

    def _bound(self, weight: float) -> float:
        """What the concavity of the least objective says of it at a weight, from the weights around it."""
        if weight in self._bounds:
            return self._bounds[weight]
        solved = sorted(self._bounds)
        right = bisect(solved, weight)
        low, high = solved[right - 1], solved[right]
        share = (weight - low) / (high - low)
        if not math.isfinite(self._bounds[low] + self._bounds[high]):
            return -math.inf
        return (1 - share) * self._bounds[low] + share * self._bounds[high]
