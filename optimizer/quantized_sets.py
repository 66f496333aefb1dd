"""Which layers to quantise when the placement is fixed: what the baselines are compared with."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from core.cost import predict, violated_limit
from core.plan import Prediction
from core.problem import Problem
from optimizer.measures import DEVICE_ENERGY, ENERGY, LATENCY, NOISE, Weights, caps, measures, memory_of, value_of
from optimizer.noise import ENUMERATED, TOLERANCE, Masks, all_masks, allowed_masks
from optimizer.solution import Solution, evaluated


class Fixed:
    """A placement, and what is the same for all sets of int8 layers with it."""

    def __init__(self, problem: Problem, placement: Mapping[str, str]) -> None:
        self._problem = problem
        self.placement = placement

    @cached_property
    def plain(self) -> Prediction | None:
        """Without int8 layers; ``None`` where a link is missing."""
        return predict(self._problem, self.placement, ())

    @cached_property
    def gains(self) -> dict[str, NDArray[np.float64]]:
        """By how much each measure but noise changes when each quantisable layer alone becomes int8."""
        layers = self._problem.model.quantizable
        latency, energy, device_energy, memory = self._problem.costs.gains(self.placement, layers)
        gains = {LATENCY: latency, ENERGY: energy, DEVICE_ENERGY: device_energy}
        for server in self._problem.servers:
            here = [self.placement[layer] == server.name for layer in layers]
            gains[memory_of(server.name)] = np.where(here, memory, 0.0)
        return gains


class QuantizedSets:
    """Finds the best set of int8 layers for given placements of one problem.

    With at most 12 quantisable layers that is the best of all sets; with more, the better of the planned set
    and the empty one.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._layers = problem.model.quantizable
        self._masks: Masks | None = None
        if len(self._layers) <= ENUMERATED:
            allowed = allowed_masks(problem.noise, self._layers, problem.limits.noise)
            self._masks = all_masks(len(self._layers))[allowed]

    @property
    def largest(self) -> frozenset[str]:
        """The set of most layers that the limit on noise allows; where sets are not enumerated, the empty one."""
        if self._masks is None or not len(self._masks):
            return frozenset()
        return self._named(self._masks[np.argmax(self._masks.sum(axis=1))])

    def best(self, fixed: Fixed, goal: Weights, planned: frozenset[str] = frozenset()) -> Solution | None:
        """The set of least ``goal`` within the problem's limits; ``None`` where no set is, or a link is missing."""
        plain = fixed.plain
        if plain is None:
            return None
        sets: Iterable[frozenset[str]] = (frozenset(), planned)
        if not self._layers:
            sets = (frozenset(),)
        elif self._masks is not None:
            sets = self._best_set(self._masks, fixed, goal, plain)
        solutions = (
            evaluated(self._problem, fixed.placement, chosen) if chosen else Solution(fixed.placement, chosen, plain)
            for chosen in sets
        )
        allowed = [one for one in solutions if violated_limit(self._problem, one.prediction) is None]
        return min(allowed, key=lambda one: value_of(goal, one.prediction), default=None)

    def _best_set(self, masks: Masks, fixed: Fixed, goal: Weights, plain: Prediction) -> Iterator[frozenset[str]]:
        # All but noise are sums over layers when the placement is fixed, so gains of single layers add up.
        start = measures(plain)

        def totals(weights: Weights) -> NDArray[np.float64]:
            gained = np.sum([weight * fixed.gains[measure] for measure, weight in weights.items()], axis=0)
            values: NDArray[np.float64] = masks @ gained
            return values + sum(weight * start[measure] for measure, weight in weights.items())

        allowed = np.ones(len(masks), dtype=bool)
        for measure, cap in caps(self._problem).items():
            if measure != NOISE:
                allowed &= totals({measure: 1.0}) <= cap + TOLERANCE * abs(cap)
        if allowed.any():
            yield self._named(masks[np.argmin(np.where(allowed, totals(goal), np.inf))])

    def _named(self, mask: Masks) -> frozenset[str]:
        return frozenset(layer for layer, chosen in zip(self._layers, mask, strict=True) if chosen)
