"""The lexicographic payoff table (thesis 4.8): the two ends of the front of latency against energy.

T_min and E_min are the least latency and energy under the limits; T_max is the least latency among the plans of
energy E_min, and E_max the least energy among those of latency T_min. So the table, and with it every normalised
objective, does not depend on which of several optima a solver happens to find.
"""

from dataclasses import dataclass

from core.errors import InternalError
from core.plan import Normalization
from core.progress import Progress
from optimizer.measures import ENERGY, LATENCY
from optimizer.search import Minimum, Search, held
from optimizer.solution import Solution


@dataclass(frozen=True)
class Payoff:
    """The payoff table and the plans behind it; the best found where a solve was stopped.

    Attributes:
        normalization: the table.
        fastest: least latency, energy left aside.
        thriftiest: least energy, latency left aside.
        fast_end: least energy at the least latency.
        thrifty_end: least latency at the least energy.
        proven: whether all four are proven optimal.
    """

    normalization: Normalization
    fastest: Minimum
    thriftiest: Minimum
    fast_end: Solution
    thrifty_end: Solution
    proven: bool


def payoff_table(search: Search, progress: Progress, solves_after: int) -> Payoff | None:
    """Fill the payoff table; ``None`` if nothing satisfies the limits.

    Args:
        solves_after: how many later minimisations share the time that is left.

    Raises:
        DeadlineExceededError: the time was up before any plan was found.
    """
    progress(0.0, "minimising latency alone")
    fastest = search.minimize({LATENCY: 1.0}, {}, solves_left=solves_after + 4)
    if fastest is None:
        return None
    latency_min = fastest.solution.prediction.latency_seconds
    progress(0.25, "minimising energy alone")
    thriftiest = found(search.minimize({ENERGY: 1.0}, {}, solves_left=solves_after + 3))
    energy_min = thriftiest.solution.prediction.energy_joules
    progress(0.5, "minimising energy at the least latency")
    thrifty_fastest = fastest
    if fastest.solution.prediction.energy_joules > held(energy_min):
        thrifty_fastest = found(search.minimize({ENERGY: 1.0}, {LATENCY: held(latency_min)}, solves_after + 2))
    progress(0.75, "minimising latency at the least energy")
    fast_thriftiest = thriftiest
    if thriftiest.solution.prediction.latency_seconds > held(latency_min):
        fast_thriftiest = found(search.minimize({LATENCY: 1.0}, {ENERGY: held(energy_min)}, solves_after + 1))
    return Payoff(
        normalization=Normalization(
            latency_min=latency_min,
            latency_max=_unless_equal(latency_min, fast_thriftiest.solution.prediction.latency_seconds),
            energy_min=energy_min,
            energy_max=_unless_equal(energy_min, thrifty_fastest.solution.prediction.energy_joules),
        ),
        fastest=fastest,
        thriftiest=thriftiest,
        fast_end=thrifty_fastest.solution,
        thrifty_end=fast_thriftiest.solution,
        proven=all(one.proven for one in (fastest, thriftiest, thrifty_fastest, fast_thriftiest)),
    )


def found(minimum: Minimum | None) -> Minimum:
    """The minimum of a solve whose caps an earlier solution is known to meet.

    Raises:
        InternalError: there is none all the same.
    """
    if minimum is None:
        raise InternalError("a solution that was found is lost; please report this problem file")
    return minimum


def _unless_equal(low: float, high: float) -> float:
    return high if high > held(low) else low
