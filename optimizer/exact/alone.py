"""Eliminations by one weighting alone, remembered: several minimisations of a problem begin with the same ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from core.cost import Numbers
from optimizer.exact.network import Integers

MOST_REMEMBERED = 30_000_000
"""So many numbers are remembered, of all weightings together."""


@dataclass(frozen=True)
class Alone:
    """The elimination by one weighting.

    Attributes:
        value: the least cost.
        states: a state of least cost for each variable.
        eliminated: what the elimination returned.
    """

    value: float
    states: Integers
    eliminated: Any


class Eliminating(Protocol):
    """What eliminations have that this needs (``optimizer.exact.choice``).

    Attributes:
        held: how many numbers the elimination by one weighting keeps.
    """

    held: float

    def run(self, weightings: Numbers) -> Any:
        """Eliminate all variables."""
        ...

    def best(self, eliminated: Any) -> Integers:
        """By weighting, a state for each variable."""
        ...


class Remembered:
    """Eliminations of one network by single weightings; those by one measure alone come back with the next goal."""

    def __init__(self) -> None:
        self._known: dict[bytes, Alone] = {}

    def each(self, elimination: Eliminating, weightings: Sequence[Numbers]) -> list[Alone]:
        """The elimination by each weighting.

        Args:
            elimination: always the same one.
            weightings: of its measures.
        """
        found = {key: self._known[key] for key in (one.tobytes() for one in weightings) if key in self._known}
        missing = [one for one in weightings if one.tobytes() not in found]
        if missing:
            eliminated = elimination.run(np.array(missing))
            for number, (one, states) in enumerate(zip(missing, elimination.best(eliminated), strict=True)):
                found[one.tobytes()] = Alone(float(eliminated.values[number]), states, eliminated.alone(number))
            if (np.count_nonzero(missing, axis=1) == 1).all():
                self._known |= found
            while len(self._known) * elimination.held > MOST_REMEMBERED:
                del self._known[next(iter(self._known))]
        return [found[one.tobytes()] for one in weightings]
