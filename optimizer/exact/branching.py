"""Branch and bound over the regions of a network: the least goal under caps, or a true bound when time is up."""

import contextlib
import heapq
import itertools

import numpy as np

from core.cost import Numbers
from optimizer.clock import Deadline, OutOfTimeError
from optimizer.exact.choice import AnyElimination, eliminated
from optimizer.exact.network import Integers, Network
from optimizer.exact.noise_limit import NoiseLimit
from optimizer.exact.region import Capped, Incumbent, Region


class Branching:
    """One minimisation.

    Args:
        problem: goal and caps.
        noise: a limit to keep besides; ``None`` if the network has it built in or there is none.
        incumbent: the best known; replaced by what is better.
        deadline: when to stop; the eliminations look at it too.
        multipliers: of the caps, to begin with.

    Attributes:
        multipliers: of the caps, the best for all of the network.
    """

    def __init__(
        self,
        problem: Capped,
        noise: NoiseLimit | None,
        incumbent: Incumbent,
        deadline: Deadline,
        multipliers: Numbers,
    ) -> None:
        self._problem = problem
        self._noise = noise
        self._incumbent = incumbent
        self._deadline = deadline
        self._waiting: list[tuple[float, int, Region]] = []
        self._count = itertools.count()
        self.multipliers = multipliers

    def run(self, network: Network, elimination: AnyElimination) -> float:
        """Minimise over a network, of which the elimination is.

        Returns:
            A lower bound on the goal: at least the incumbent's window if nothing better exists.
        """
        states = [np.arange(size) for size in network.sizes]
        settled = self._noise is None
        root = Region(network, states, self._problem, self._incumbent, settled, self.multipliers, elimination)
        self._search(root)
        self.multipliers = root.multipliers_at_first
        while self._waiting and not self._deadline.passed:
            bound, _, region = heapq.heappop(self._waiting)
            if bound >= self._incumbent.window:
                return self._incumbent.value
            try:
                self._divide(region)
            except OutOfTimeError:
                return bound
        return self._waiting[0][0] if self._waiting else self._incumbent.value

    def _divide(self, region: Region) -> None:
        """Search a region's parts.

        Raises:
            OutOfTimeError: the time was up before all were looked at.
        """
        if self._noise is not None and not region.settled and self._noise.can_settle(region.states):
            self._enter(region, region.network, region.states)
            return
        for variable, kept in region.branches():
            left = list(region.states)
            left[variable] = left[variable][kept]
            self._enter(region, region.network.restricted(variable, kept), left)

    def _enter(self, parent: Region, network: Network, states: list[Integers]) -> None:
        settled = parent.settled
        if self._noise is not None and not settled:
            network, settled = self._noise.imposed(network, states, parent.guess())
        elimination = eliminated(network, self._deadline.check)
        region = Region(network, states, self._problem, self._incumbent, settled, parent.multipliers, elimination)
        region.bound = parent.bound
        self._search(region)

    def _search(self, region: Region) -> None:
        # What was bounded until time was up still is.
        with contextlib.suppress(OutOfTimeError):
            region.search(self._deadline)
        if not region.closed:
            heapq.heappush(self._waiting, (region.bound, next(self._count), region))
