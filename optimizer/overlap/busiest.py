"""A lower bound on the load of the busiest server or sender, and with it on time and energy weighed together.

For weights μ ≥ 0 that sum to 1, the busiest resource is at least Σ_r μ_r load_r, which is linear in a placement: its
least value over all placements comes from elimination (``optimizer.exact``) and bounds every placement's busiest
resource. Limits enter with multipliers λ ≥ 0 as λ (measure − cap) ≤ 0. The bound is concave in μ and λ; cutting
planes look for its maximum: the placements seen so far bound it from above, and the weights where that bound is
highest are tried next.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import highspy
import numpy as np

from core.cost import Numbers, predict, violated_limit
from core.problem import Problem
from optimizer.clock import OutOfTimeError
from optimizer.exact.choice import eliminated
from optimizer.exact.layout import TooLargeError
from optimizer.exact.network import Network
from optimizer.exact.noise_limit import NoiseLimit
from optimizer.exact.placement_network import PlacementNetwork
from optimizer.measures import ENERGY, NOISE, caps, computing_of, sending_of
from optimizer.solution import Solution

ROUNDS = 80
"""Most weights tried."""

LARGEST = 1e4
"""Bound on multipliers of limits, relative to the placements' own values."""

MOST_NUMBERS = 50_000_000
"""Most numbers in the tables of all loads."""


KEPT = 8
"""Most placements returned."""


@dataclass(frozen=True)
class LoadBound:
    """What the loads say.

    Attributes:
        value: no placement within the limits has a lower time weight × busiest load + energy weight × energy.
        placements: the best seen within the limits, the best first.
    """

    value: float
    placements: list[Solution]


def busiest_bound(
    problem: Problem, time_weight: float, energy_weight: float, stop: Callable[[], bool] = lambda: False
) -> LoadBound:
    """Bound time weight × busiest load (seconds) + energy weight × energy (joules) from below.

    Args:
        stop: asked now and then whether to end with the best bound so far.
    """

    def check() -> None:
        if stop():
            raise OutOfTimeError

    # Joules are at least 0 unless a correction makes a time negative.
    costs = problem.costs.seconds
    bound = time_weight * _shared_computing(problem) if costs.min() >= 0 else -math.inf
    if stop() or _numbers(problem) > MOST_NUMBERS:
        return LoadBound(bound, [])
    try:
        placement = PlacementNetwork(problem, loads=True, check=check)
        network, limits = _limited(problem, placement)
        elimination = eliminated(network, check)
    except (TooLargeError, OutOfTimeError):
        return LoadBound(bound, [])
    names = elimination.measures
    servers = [server.name for server in problem.servers]
    loads = [names.index(load(name)) for load in (computing_of, sending_of) for name in servers]
    planes = _Planes(len(loads), list(limits.values()))
    limited = [names.index(measure) for measure in limits]
    best = bound
    placements: dict[bytes, tuple[float, Solution]] = {}
    weights, multipliers, highest = planes.start
    for _ in range(ROUNDS):
        weighting = np.zeros(len(names))
        weighting[loads] = time_weight * weights
        weighting[names.index(ENERGY)] += energy_weight
        np.add.at(weighting, limited, multipliers)
        try:
            found = elimination.run(weighting[None])
        except OutOfTimeError:
            break
        bound = float(found.values[0] - multipliers @ planes.caps)
        best = max(best, bound)
        if math.isinf(bound):
            break
        states = elimination.best(found)[0]
        measured = elimination.measure(states)
        energy = energy_weight * float(measured[names.index(ENERGY)])
        key = states.tobytes()
        if key not in placements:
            where, quantized = placement.read(states)
            # Where the elimination is not exact, its guess may need a missing link.
            prediction = predict(problem, where, quantized)
            if prediction is not None and violated_limit(problem, prediction) is None:
                value = energy + time_weight * float(measured[loads].max())
                placements[key] = value, Solution(where, quantized, prediction)
        if (math.isfinite(highest) and highest - best <= 1e-7 * abs(highest)) or stop():
            break
        if not np.isfinite(measured).all():
            break
        planes.add(energy, time_weight * measured[loads], measured[limited] - planes.caps)
        weights, multipliers, highest = planes.propose()
    ranked = sorted(placements.values(), key=lambda one: one[0])
    return LoadBound(best, [solution for _, solution in ranked[:KEPT]])


def _shared_computing(problem: Problem) -> float:
    """What is left of the load if sending is free and all servers share the computing, for plain weights μ."""
    seconds = problem.costs.seconds[:-2].min(axis=2)
    may_run = np.isfinite(seconds)
    rates = 1 / np.maximum(np.where(may_run, seconds, 0.0).sum(axis=0), 1e-100)
    shares = np.where(may_run, np.where(may_run, seconds, 0.0) * (rates / rates.sum()), np.inf)
    return max(0.0, float(shares.min(axis=1).sum()))


def _numbers(problem: Problem) -> float:
    """About how many numbers the tables would have."""
    count = len(problem.servers)
    entries = sum(float(count) ** (1 + min(len(group.targets), 3)) for group in problem.costs.transfers)
    return entries * (3 + 2 * count)


def _limited(problem: Problem, placement: PlacementNetwork) -> tuple[Network, dict[str, float]]:
    """The network with what of the limit on noise it can have built in, and the caps that are left for multipliers."""
    limits = caps(problem)
    if NOISE not in limits:
        return placement.network, limits
    network = placement.network
    states = [np.arange(size) for size in network.sizes]
    noise = NoiseLimit(problem.noise, placement.precision, limits[NOISE])
    network, settled = noise.imposed(network, states)
    return network, {measure: cap for measure, cap in limits.items() if measure != NOISE or not settled}


class _Planes:
    """The linear program over weights of loads and multipliers of limits."""

    def __init__(self, loads: int, limits: list[float]) -> None:
        self.caps: Numbers = np.array(limits, dtype=float)
        self._loads = loads
        self._scales: Numbers = np.array([abs(cap) or 1.0 for cap in limits])
        self._program = highspy.Highs()
        self._program.silent()
        count = loads + len(limits)
        upper = np.array([1.0] * loads + [0.0] * len(limits) + [highspy.kHighsInf])
        self._program.addVars(count + 1, np.zeros(count + 1), upper)
        self._program.changeColBounds(count, -highspy.kHighsInf, highspy.kHighsInf)
        self._program.changeColCost(count, -1.0)
        self._program.addRow(1.0, 1.0, loads, np.arange(loads, dtype=np.int32), np.ones(loads))
        self._scale = 0.0

    @property
    def start(self) -> tuple[Numbers, Numbers, float]:
        """Equal weights, no multipliers."""
        return np.full(self._loads, 1 / self._loads), np.zeros(len(self.caps)), math.inf

    def add(self, constant: float, loads: Numbers, excess: Numbers) -> None:
        """Take a placement into account: its energy's part, its loads, and by how much it is above each limit."""
        if not self._scale:
            self._scale = abs(constant) + float(np.abs(loads).max()) or 1.0
            for column in range(self._loads, self._loads + len(self.caps)):
                self._program.changeColBounds(column, 0.0, LARGEST)
        slopes = np.concatenate((-loads / self._scale, -excess / self._scales, [1.0]))
        columns = np.arange(len(slopes), dtype=np.int32)
        self._program.addRow(-highspy.kHighsInf, constant / self._scale, len(slopes), columns, slopes)

    def propose(self) -> tuple[Numbers, Numbers, float]:
        """Weights and multipliers to try next, and a value that no bound exceeds."""
        self._program.run()
        solution = np.array(self._program.getSolution().col_value)
        weights = np.maximum(solution[: self._loads], 0.0)
        multipliers = np.maximum(solution[self._loads : -1], 0.0) * self._scale / self._scales
        return weights / weights.sum(), multipliers, float(solution[-1]) * self._scale
