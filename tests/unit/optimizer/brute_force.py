"""The placement problem by trying every placement and every set of int8 layers."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from core.cost import predict, weighted_objective
from core.plan import Normalization, Prediction
from core.problem import Problem
from optimizer.measures import ENERGY, LATENCY, caps, measures

TINY = 1e-9


def predictions(problem: Problem) -> Iterator[Prediction]:
    """What the cost model says of every placement that the links allow; limits are not looked at."""
    layers = [layer.name for layer in problem.model.layers]
    sets = [
        frozenset(chosen)
        for size in range(len(problem.model.quantizable) + 1)
        for chosen in itertools.combinations(problem.model.quantizable, size)
    ]
    for servers in itertools.product(*(problem.allowed_servers(layer) for layer in layers)):
        placement = dict(zip(layers, servers, strict=True))
        for chosen in sets:
            prediction = predict(problem, placement, chosen)
            if prediction is None:
                break
            yield prediction


def least(values: list[dict[str, float]], measure: str, limits: dict[str, float]) -> float:
    """Least value of a measure among those ``values`` that are within some limits."""
    return min(one[measure] for one in values if within(one, limits))


@dataclass(frozen=True)
class Optimum:
    """Payoff table and least weighted objective."""

    normalization: Normalization
    objective: float


def optimum(problem: Problem) -> Optimum | None:
    """The optimum with the lexicographic payoff table; ``None`` if the problem is infeasible."""
    feasible = [one for one in predictions(problem) if within(measures(one), caps(problem))]
    if not feasible:
        return None
    values = [measures(one) for one in feasible]
    latency_min = min(one[LATENCY] for one in values)
    energy_min = min(one[ENERGY] for one in values)
    normalization = Normalization(
        latency_min=latency_min,
        latency_max=min(one[LATENCY] for one in values if one[ENERGY] <= energy_min + TINY),
        energy_min=energy_min,
        energy_max=min(one[ENERGY] for one in values if one[LATENCY] <= latency_min + TINY),
    )
    return Optimum(normalization, min(weighted_objective(problem, normalization, one) for one in feasible))


def within(values: dict[str, float], limits: dict[str, float]) -> bool:
    return all(values[measure] <= limit + TINY for measure, limit in limits.items())
