"""What a simpler plan would cost: device only, the best single server, the best single cut.

All by the same cost model, limits and pins. Their int8 layers: for device only and each single server the best
set the limits allow; for cuts every position and pair of servers is tried with nothing quantised and with the
plan's own int8 layers, and the most promising ones then get their best set (``optimizer.quantized_sets``).
"""

from collections.abc import Iterable, Mapping

import numpy as np

from core.cost import predict, weighted_objective
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


def single_server_solutions(problem: Problem) -> list[Solution]:
    """Every single-server placement without int8 layers that needs no missing link; limits are not checked."""
    placements = single_server_placements(problem).values()
    predictions = ((placement, predict(problem, placement, ())) for placement in placements)
    return [Solution(placement, frozenset(), found) for placement, found in predictions if found is not None]


def baselines(
    problem: Problem, normalization: Normalization, goal: Weights, quantized: frozenset[str]
) -> tuple[Mapping[str, Baseline], list[Solution]]:
    """The baselines ``device_only``, ``best_single_server`` and ``best_single_cut``.

    Args:
        normalization: of the plan, for the objectives.
        goal: what ranks plans.
        quantized: the plan's int8 layers.

    Returns:
        The baselines, and the placements behind those that are feasible.
    """
    sets = QuantizedSets(problem, quantized)
    single = {server: sets.best(placement, goal) for server, placement in single_server_placements(problem).items()}
    device_only = single.get(problem.device)
    server, best_single = _best(goal, single.items())
    cut_name, best_cut = _best(
        goal, ((name, sets.best(placement, goal)) for name, placement in _best_cuts(problem, goal, quantized).items())
    )
    found = {
        "device_only": _baseline(problem, normalization, device_only, f"all on {problem.device}"),
        "best_single_server": _baseline(problem, normalization, best_single, f"all on {server}"),
        "best_single_cut": _baseline(problem, normalization, best_cut, cut_name),
    }
    return found, [one for one in (device_only, best_single, best_cut) if one is not None]


def _best(goal: Weights, named: Iterable[tuple[str, Solution | None]]) -> tuple[str, Solution | None]:
    feasible = [(name, one) for name, one in named if one is not None]
    return min(feasible, key=lambda pair: value_of(goal, pair[1].prediction), default=("", None))


def _baseline(problem: Problem, normalization: Normalization, solution: Solution | None, summary: str) -> Baseline:
    if solution is None:
        return Baseline()
    count = len(solution.quantized)
    return Baseline(
        objective=weighted_objective(problem, normalization, solution.prediction),
        latency_seconds=solution.prediction.latency_seconds,
        energy_joules=solution.prediction.energy_joules,
        placement_summary=summary + (f", {count} layers in int8" if count else ""),
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
