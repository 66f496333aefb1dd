"""Which layers to quantise when the placement is fixed: what the baselines are compared with."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from core.cost import predict, violated_limit
from core.plan import Prediction
from core.problem import Problem
from optimizer.measures import NOISE, Weights, caps, value_of
from optimizer.noise import ENUMERATED, TOLERANCE, Masks, all_masks, allowed_masks
from optimizer.solution import Solution, evaluated


class QuantizedSets:
    """Finds the best set of int8 layers for given placements of one problem.

    With at most 12 quantisable layers that is the best of all sets; with more, the better of the planned set
    and the empty one.
    """

    def __init__(self, problem: Problem, planned: frozenset[str]) -> None:
        self._problem = problem
        self._planned = planned
        self._layers = problem.model.quantizable
        self._masks: Masks | None = None
        if len(self._layers) <= ENUMERATED:
            allowed = allowed_masks(problem.noise, self._layers, problem.limits.noise)
            self._masks = all_masks(len(self._layers))[allowed]

    def best(self, placement: Mapping[str, str], goal: Weights) -> Solution | None:
        """The set of least ``goal`` within the problem's limits; ``None`` where no set is, or a link is missing."""
        plain = predict(self._problem, placement, ())
        if plain is None:
            return None
        if self._masks is None:
            sets: Iterable[frozenset[str]] = (frozenset(), self._planned)
        else:
            sets = self._best_set(self._masks, placement, goal, plain)
        solutions = (evaluated(self._problem, placement, chosen) for chosen in sets)
        allowed = [one for one in solutions if violated_limit(self._problem, one.prediction) is None]
        return min(allowed, key=lambda one: value_of(goal, one.prediction), default=None)

    def _best_set(
        self, masks: Masks, placement: Mapping[str, str], goal: Weights, plain: Prediction
    ) -> Iterator[frozenset[str]]:
        # All but noise are sums over layers when the placement is fixed, so gains of single layers add up.
        single = [evaluated(self._problem, placement, frozenset({layer})).prediction for layer in self._layers]
        allowed = np.ones(len(masks), dtype=bool)
        for measure, cap in caps(self._problem).items():
            if measure != NOISE:
                allowed &= _totals(masks, {measure: 1.0}, plain, single) <= cap + TOLERANCE * abs(cap)
        values = np.where(allowed, _totals(masks, goal, plain, single), np.inf)
        if allowed.any():
            yield frozenset(np.array(self._layers, dtype=object)[masks[np.argmin(values)]])


def _totals(masks: Masks, goal: Weights, plain: Prediction, single: list[Prediction]) -> NDArray[np.float64]:
    start = value_of(goal, plain)
    values: NDArray[np.float64] = start + masks @ np.array([value_of(goal, one) - start for one in single])
    return values
