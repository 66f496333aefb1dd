"""What a simpler plan would cost: device only, the best single server, the best single cut.

All by the same cost model, limits and pins. Their int8 layers: for device only and each single server the best
set the limits allow; for cuts every position and pair of servers is tried with nothing quantised and with the
plan's own int8 layers, and the most promising ones then get their best set (``optimizer.quantized_sets``).
For the goal ``latency`` cuts are promising by their summed latency, and int8 layers are chosen by it; what counts in
the end is the goal.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.cost import Numbers, weighted_objective
from core.plan import Baseline, Normalization
from core.problem import Problem
from optimizer.candidate import Candidate, candidate
from optimizer.clock import never
from optimizer.cuts import CutCosts, Cuts
from optimizer.measures import DEVICE_ENERGY, ENERGY, LATENCY, Weights, caps, memory_of, value_of
from optimizer.noise import TOLERANCE
from optimizer.packing import packed_placements
from optimizer.quantized_sets import Fixed, QuantizedSets
from optimizer.solution import Solution

REFINED_CUTS = 8
"""How many of the best cuts get their own best set of int8 layers."""


def single_server_placements(problem: Problem) -> dict[str, dict[str, str]]:
    """Server → the placement of all layers on it, for servers that may run them all."""
    everywhere = {problem.allowed_servers(layer) for layer in problem.model.by_name}
    return {
        server.name: dict.fromkeys(problem.model.by_name, server.name)
        for server in problem.servers
        if all(server.name in servers for servers in everywhere)
    }


@dataclass(frozen=True)
class SimplePlan:
    """A feasible plan of a simple kind and its placement in words."""

    problem: Problem
    summary: str
    solution: Solution

    @cached_property
    def candidate(self) -> Candidate:
        """With components, and a request followed through them."""
        return candidate(self.problem, self.solution)


class SimplePlans:
    """The simple plans of one problem."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._sets = QuantizedSets(problem)
        placements = single_server_placements(problem).items()
        self._alone = {f"all on {server}": Fixed(problem, placement) for server, placement in placements}

    def starts(self) -> list[Solution]:
        """Plans to begin from, which a stopped solve can fall back on.

        Those of single servers; where none is feasible those of single cuts, or else those that fill servers in turn.
        """
        goals: Sequence[Weights] = [{LATENCY: 1.0}, {ENERGY: 1.0}]
        if not self._problem.model.quantizable:
            goals = goals[:1]
        alone = [plan.solution for goal in goals for plan in self._feasible(self._alone, goal, frozenset())]
        if alone:
            return alone
        found = [self.best(goal, self._sets.largest)["best_single_cut"] for goal in goals]
        cuts = [plan.solution for plan in found if plan is not None]
        if cuts:
            return cuts
        # Two may fill the servers in one order, so their names are numbers.
        packed = {
            f"filled in turn, {number}": Fixed(self._problem, one)
            for number, one in enumerate(packed_placements(self._problem))
        }
        return [plan.solution for goal in goals for plan in self._feasible(packed, goal, frozenset())]

    def best(
        self,
        goal: Weights,
        quantized: frozenset[str],
        judge: Callable[[Solution], float] | None = None,
        stop: Callable[[], bool] = never,
    ) -> dict[str, SimplePlan | None]:
        """The best ``device_only``, ``best_single_server`` and ``best_single_cut``; ``None`` where none is feasible.

        Args:
            goal: what chooses int8 layers, and ranks cuts.
            quantized: the int8 layers of the plan to compare with.
            judge: what ranks plans in the end; ``None`` stands for the goal.
            stop: asked now and then whether the cuts tried so far are enough; those that begin on the device are tried
                in any case.
        """
        ranked = judge or (lambda solution: value_of(goal, solution.prediction))

        def best(plans: Iterable[SimplePlan]) -> SimplePlan | None:
            return min(plans, key=lambda one: ranked(one.solution), default=None)

        single = list(self._feasible(self._alone, goal, quantized))
        placements = _best_cuts(self._problem, goal, quantized, stop)
        cuts = self._feasible({name: Fixed(self._problem, one) for name, one in placements.items()}, goal, quantized)
        if judge is None and not self._problem.model.quantizable:
            # They come in the order of the goal.
            cuts = itertools.islice(cuts, 1)
        return {
            "device_only": best(one for one in single if one.summary == f"all on {self._problem.device}"),
            "best_single_server": best(single),
            "best_single_cut": best(cuts),
        }

    def _feasible(
        self, placements: Mapping[str, Fixed], goal: Weights, quantized: frozenset[str]
    ) -> Iterator[SimplePlan]:
        for summary, fixed in placements.items():
            solution = self._sets.best(fixed, goal, quantized)
            if solution is not None:
                yield SimplePlan(self._problem, summary, solution)


def baseline(problem: Problem, normalization: Normalization, simple: SimplePlan | None) -> Baseline:
    """Describe a simple plan, its objective normalised like the plan's own."""
    if simple is None:
        return Baseline()
    count = len(simple.solution.quantized)
    prediction = simple.solution.prediction
    made = simple.candidate
    return Baseline(
        objective=weighted_objective(problem, normalization, made.timed(problem.objective.goal)),
        latency_seconds=prediction.latency_seconds,
        energy_joules=prediction.energy_joules,
        placement_summary=simple.summary + (f", {count} layers in int8" if count else ""),
        parallel=made.parallel,
    )


def _best_cuts(
    problem: Problem, goal: Weights, quantized: frozenset[str], stop: Callable[[], bool]
) -> dict[str, dict[str, str]]:
    names = [server.name for server in problem.servers]
    ranked: list[tuple[float, list[str], str, str, int]] = []
    for chosen in dict.fromkeys((frozenset[str](), quantized)):
        cuts = Cuts(problem, chosen)
        for first in range(len(names)):
            if first and stop():
                break
            others = [second for second in range(1, len(names)) if second != first]
            for seconds in filter(None, ([] if first == 0 else [0], others)):
                values = _values(problem, cuts.costs(first, seconds), goal, first, seconds)[:, 1:-1]
                worst = ranked[REFINED_CUTS - 1][0] if len(ranked) >= REFINED_CUTS else math.inf
                for place in _least(values, REFINED_CUTS, worst):
                    second, index = divmod(place, values.shape[1])
                    ranked.append((values.flat[place], cuts.order, names[first], names[seconds[second]], index))
                ranked.sort(key=lambda entry: entry[0])
    return dict(_cut(*entry[1:]) for entry in ranked[:REFINED_CUTS])


def _cut(order: list[str], first: str, second: str, index: int) -> tuple[str, dict[str, str]]:
    """The cut after a position of the order, in words and as a placement."""
    before, after = order[: index + 1], order[index + 1 :]
    placement = dict.fromkeys(before, first) | dict.fromkeys(after, second)
    return f"{first} → {second}, cut after {before[-1]}", placement


def _least(values: Numbers, count: int, below: float) -> list[int]:
    """Flat positions of the least values under a limit."""
    places = np.flatnonzero(values < below)
    if len(places) > count:
        places = places[np.argpartition(values.reshape(-1)[places], count - 1)[:count]]
    found: list[int] = places.tolist()
    return found


def _values(problem: Problem, costs: CutCosts, goal: Weights, first: int, seconds: Sequence[int]) -> Numbers:
    """Value of the goal at every position, infinite where a limit other than noise is broken."""
    allowed = costs.possible
    limits = caps(problem)
    if DEVICE_ENERGY in limits:
        allowed = allowed & (costs.device_energy <= _with_slack(limits[DEVICE_ENERGY]))
    rooms = [_with_slack(limits.get(memory_of(server.name), math.inf)) for server in problem.servers]
    if min(rooms) < math.inf:
        allowed = allowed & (costs.first_memory <= rooms[first])
        allowed = allowed & (costs.second_memory <= np.array(rooms)[seconds, None])
    latency, energy = goal.get(LATENCY, 0.0), goal.get(ENERGY, 0.0)
    if problem.objective.goal == "throughput":
        values = latency * costs.busiest + costs.weighted(0.0, energy)
    else:
        values = costs.weighted(latency, energy)
    values[~allowed] = np.inf
    return values


def _with_slack(cap: float) -> float:
    return cap + TOLERANCE * abs(cap)
