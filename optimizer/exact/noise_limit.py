"""The limit on noise for an elimination: a table of the allowed sets of int8 layers, or a bound until they are few.

Noise is a polynomial η(q) of the int8 choices. Over few of them its allowed sets are enumerated into one table. With
more, each term's share is estimated from below by a sum over single layers, which elimination can add up: a term of
several layers is at least 0 if its coefficient is positive, and otherwise at least its coefficient times any
weighted mean of its layers' choices. Branching and leaving out settle choices, until the rest can be enumerated.
"""

from collections.abc import Mapping

import numpy as np

from core.cost import Flags, Numbers
from core.problem import NoiseModel
from optimizer.exact.network import Integers, Network, Table
from optimizer.measures import NOISE
from optimizer.noise import ENUMERATED, TOLERANCE, all_masks


class NoiseLimit:
    """A limit on the noise of the int8 layers of a placement network.

    Args:
        noise: the model.
        precision: variable of each quantisable layer, 0 for float and 1 for int8.
        limit: largest noise.
    """

    def __init__(self, noise: NoiseModel | None, precision: Mapping[str, int], limit: float) -> None:
        self._allowed = limit + TOLERANCE * abs(limit)
        self._variables = np.array(list(precision.values()), dtype=np.int64)
        column = {name: index for index, name in enumerate(precision)}
        known = [term for term in noise.terms if column.keys() >= set(term.layers)] if noise else []
        terms = [term for term in known if term.layers]
        # A term of no layers counts, as the intercept does, as soon as any layer is int8.
        self._intercept = (noise.intercept if noise else 0.0) + sum(t.coefficient for t in known if not t.layers)
        self._coefficients = np.array([term.coefficient for term in terms], dtype=float)
        self._members: Flags = np.zeros((len(terms), len(column)), dtype=bool)
        for row, term in enumerate(terms):
            self._members[row, [column[name] for name in term.layers]] = True
        self._sizes = self._members.sum(axis=1)

    def accepts(self, states: Integers) -> bool:
        """Whether the int8 layers of some states keep the limit."""
        return bool(self._noise(states[self._variables][None])[0] <= self._allowed)

    def mended(self, states: Integers) -> Integers:
        """The states with the noisiest int8 layers back in float, one by one until the limit is kept."""
        states = states.copy()
        while not self.accepts(states):
            chosen = np.flatnonzero(states[self._variables])
            if not len(chosen):
                break
            without = np.repeat(states[self._variables][None], len(chosen), axis=0)
            without[np.arange(len(chosen)), chosen] = 0
            states[self._variables[chosen[np.argmin(self._noise(without))]]] = 0
        return states

    def can_settle(self, states: list[Integers]) -> bool:
        """Whether so few choices are open that their sets can be enumerated."""
        return sum(len(states[variable]) > 1 for variable in self._variables) <= ENUMERATED

    def imposed(self, network: Network, states: list[Integers], guess: Integers | None = None) -> tuple[Network, bool]:
        """The network with the limit built in, and whether that is all of it.

        Args:
            network: with an earlier estimate or none.
            states: for each of its variables the states of the whole network that are left.
            guess: states of the whole network where an estimate should be exact.
        """
        chosen = np.array([len(states[v]) == 1 and states[v][0] == 1 for v in self._variables], dtype=bool)
        is_open = np.array([len(states[v]) > 1 for v in self._variables], dtype=bool)
        # What the chosen layers and some of the open ones add: by term, the open layers that it waits for.
        alive = (self._members <= (chosen | is_open)).all(axis=1)
        waiting = self._members[alive][:, is_open]
        coefficients = self._coefficients[alive]
        imposed = self._without_estimate(network)
        scope = self._variables[is_open].tolist()
        if self.can_settle(states):
            masks = all_masks(len(scope))
            noise = (masks.astype(float) @ waiting.T >= waiting.sum(axis=1)) @ coefficients
            noise += self._intercept * (masks.any(axis=1) | chosen.any())
            # Row numbers of masks are binary with the first layer lowest, hence the axes in reverse.
            forbidden = ~(noise <= self._allowed).reshape((2,) * len(scope))
            imposed.add(scope[::-1], np.zeros((len(network.measures), *forbidden.shape)), forbidden)
            return imposed, True
        guessed = np.zeros(len(scope), dtype=bool) if guess is None else guess[self._variables[is_open]] > 0
        self._estimate(imposed, scope, waiting, coefficients, bool(chosen.any()), guessed)
        return imposed, False

    def _estimate(
        self, network: Network, scope: list[int], waiting: Flags, values: Numbers, any_chosen: bool, guess: Flags
    ) -> None:
        """Add a sum over single layers that is never above the noise, and equal to it at a guess of the open choices.

        A product is at most each of its factors, and at least their sum less all but one.
        """
        sizes = waiting.sum(axis=1)
        linear = np.zeros(len(scope))
        np.add.at(linear, waiting[sizes == 1].argmax(axis=1), values[sizes == 1])
        whole: Flags = np.logical_and.reduce(waiting <= guess, axis=1)
        constant = values[sizes == 0].sum() + (self._intercept if any_chosen else min(self._intercept, 0.0))
        raising = (sizes > 1) & (values > 0) & whole
        slopes = linear + values[raising] @ waiting[raising]
        constant -= values[raising] @ (sizes[raising] - 1.0)
        # Where a product lowers the noise, layers that the guess leaves in float take that, or all of its layers do.
        lowering = (sizes > 1) & (values < 0)
        takers = np.where(whole[lowering, None], waiting[lowering], waiting[lowering] & ~guess)
        shares = np.where(takers, np.maximum(linear, 1e-12), 0.0)
        slopes += values[lowering] @ (shares / shares.sum(axis=1, keepdims=True))
        row = network.measures.index(NOISE)
        for variable, slope in zip(scope, slopes, strict=True):
            table = np.zeros((len(network.measures), 2))
            table[row, 1] = slope
            network.add((variable,), table)
        alone = np.zeros(len(network.measures))
        alone[row] = constant
        network.tables.append(Table((), alone, None))

    @staticmethod
    def _without_estimate(network: Network) -> Network:
        tables = list(network.tables)
        if NOISE in network.measures:
            row = network.measures.index(NOISE)
            for index, table in enumerate(tables):
                if table.values[row].any():
                    values = table.values.copy()
                    values[row] = 0.0
                    tables[index] = Table(table.scope, values, table.forbidden)
        return Network(network.measures, list(network.sizes), tables, list(network.sendings))

    def _noise(self, choices: Integers) -> Numbers:
        """Noise of sets of int8 layers: sets × layers."""
        present = choices.astype(float) @ self._members.T >= self._sizes
        noise: Numbers = present @ self._coefficients
        return noise + self._intercept * choices.any(axis=1)
