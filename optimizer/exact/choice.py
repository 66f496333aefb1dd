"""Which elimination a network gets: all tables at hand, one at a time, or an estimate from below."""

from collections.abc import Callable
from typing import Any, Protocol

from core.cost import Numbers
from optimizer.clock import unhurried
from optimizer.exact.alone import Remembered
from optimizer.exact.elimination import Elimination
from optimizer.exact.layout import Layout, TooLargeError
from optimizer.exact.network import Integers, Network
from optimizer.exact.wide import WideElimination

MOST_WORK = 1e9
"""Most entries of all tables that are added up one after another: some seconds for each weighting."""

MOST_MESSAGES = 15e6
"""Most entries of messages, which are held: some hundred megabytes for each weighting."""


class AnyElimination(Protocol):
    """What they have in common (``optimizer.exact.elimination``)."""

    check: Callable[[], None]
    measures: tuple[str, ...]
    entries: float
    held: float
    states: int
    remembered: Remembered

    def run(self, weightings: Numbers) -> Any:
        """Eliminate all variables; the result has the ``values`` by weighting."""
        ...

    def best(self, eliminated: Any) -> Integers:
        """By weighting, a state for each variable."""
        ...

    def margin(self, eliminated: Any, states: Integers) -> float:
        """By how much any other assignment costs more than the best one, at least; of one weighting."""
        ...

    def measure(self, states: Integers) -> Numbers:
        """Every measure of one state for each variable."""
        ...

    def excluded(self, eliminated: Any, below: Numbers) -> Any:
        """What no assignment within ``below`` has."""
        ...

    def kept(self, excluded: Any) -> list[Integers]:
        """For each variable the states that are left."""
        ...

    def reduced(self, excluded: Any, kept: list[Integers]) -> Network:
        """The network of what is left."""
        ...


def eliminated(network: Network, check: Callable[[], None] = unhurried) -> AnyElimination:
    """The elimination of a network; of a network that costs less, where its tables are too large.

    Raises:
        TooLargeError: that would be too large, too.
    """
    if not network.sendings:
        return Elimination(network, check)
    try:
        layout = Layout(network, check, whole=MOST_WORK)
    except TooLargeError:
        return Elimination(network.relaxed(), check)
    wide = WideElimination(network, layout, check)
    return wide if wide.held <= MOST_MESSAGES else Elimination(network.relaxed(), check)
