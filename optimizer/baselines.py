"""What a simpler plan would cost: device only, the best single server, the best single cut.

All by the same cost model, limits and pins. Their int8 layers: for device only and each single server the best
set the limits allow; for cuts every position and pair of servers is tried with nothing quantised and with the
plan's own int8 layers, and the most promising ones then get their best set (``optimizer.quantized_sets``).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.cost import weighted_objective
from core.plan import Baseline, Normalization
from core.problem import Problem
from optimizer.cuts import CutCosts, Cuts, Vector
from optimizer.measures import DEVICE_ENERGY, ENERGY, LATENCY, Weights, caps, memory_of, value_of
from optimizer.noise import TOLERANCE
from optimizer.quantized_sets import QuantizedSets
from optimizer.solution import Solution

REFINED_CUTS = 4
"""How many of the best cuts get their own best set of int8 layers."""


def single_server_placements(problem: Problem) -> dict[str, dict[str, str]]:
    """Server → the placement of all layers on it, for servers that may run them all."""
    return {
        server.name: dict.fromkeys(problem.model.by_name, server.name)
        for server in problem.servers
        if all(server.name in problem.allowed_servers(layer) for layer in problem.model.by_name)
    }


@dataclass(frozen=True)
class SimplePlan:
    """A feasible plan of a simple kind and its placement in words."""

    summary: str
    solution: Solution


def simple_plans(problem: Problem, goal: Weights, quantized: frozenset[str]) -> dict[str, SimplePlan | None]:
    """The best ``device_only``, ``best_single_server`` and ``best_single_cut``; ``None`` where none is feasible.

    Args:
        goal: what ranks plans.
        quantized: the int8 layers of the plan to compare with.
    """
    sets = QuantizedSets(problem, quantized)

    def best(placements: Mapping[str, Mapping[str, str]]) -> SimplePlan | None:
        found = ((summary, sets.best(placement, goal)) for summary, placement in placements.items())
        feasible = [SimplePlan(summary, solution) for summary, solution in found if solution is not None]
        return min(feasible, key=lambda one: value_of(goal, one.solution.prediction), default=None)

    single = {f"all on {server}": placement for server, placement in single_server_placements(problem).items()}
    device = f"all on {problem.device}"
    return {
        "device_only": best({device: single[device]} if device in single else {}),
        "best_single_server": best(single),
        "best_single_cut": best(_best_cuts(problem, goal, quantized)),
    }


def baseline(problem: Problem, normalization: Normalization, simple: SimplePlan | None) -> Baseline:
    """Describe a simple plan, its objective normalised like the plan's own."""
    if simple is None:
        return Baseline()
    count = len(simple.solution.quantized)
    prediction = simple.solution.prediction
    return Baseline(
        objective=weighted_objective(problem, normalization, prediction),
        latency_seconds=prediction.latency_seconds,
        energy_joules=prediction.energy_joules,
        placement_summary=simple.summary + (f", {count} layers in int8" if count else ""),
    )


def _best_cuts(problem: Problem, goal: Weights, quantized: frozenset[str]) -> dict[str, dict[str, str]]:
    names = [server.name for server in problem.servers]
    pairs = [(first, second) for first in names for second in names if first != second]
    ranked: list[tuple[float, str, dict[str, str]]] = []
    for chosen in dict.fromkeys((frozenset[str](), quantized)):
        cuts = Cuts(problem, chosen)
        for first, second in pairs:
            values = _values(problem, cuts.costs(first, second), goal, first, second)[1:-1]
            for index in np.argsort(values, kind="stable")[:REFINED_CUTS]:
                if np.isfinite(values[index]):
                    before, after = cuts.order[: index + 1], cuts.order[index + 1 :]
                    summary = f"{first} → {second}, cut after {before[-1]}"
                    placement = dict.fromkeys(before, first) | dict.fromkeys(after, second)
                    ranked.append((float(values[index]), summary, placement))
    ranked.sort(key=lambda entry: entry[0])
    return {summary: placement for _, summary, placement in ranked[: 2 * REFINED_CUTS]}


def _values(problem: Problem, costs: CutCosts, goal: Weights, first: str, second: str) -> Vector:
    """Value of the goal at every position, infinite where a limit other than noise is broken."""
    totals = {
        LATENCY: costs.latency,
        ENERGY: costs.energy,
        DEVICE_ENERGY: costs.device_energy,
        memory_of(first): costs.first_memory,
        memory_of(second): costs.second_memory,
    }
    allowed = costs.possible
    for measure, cap in caps(problem).items():
        if measure in totals:
            allowed = allowed & (totals[measure] <= cap + TOLERANCE * abs(cap))
    values = np.sum([weight * totals[measure] for measure, weight in goal.items()], axis=0)
    return np.where(allowed, values, np.inf)
