"""What a solution method returns: a placement and how far it is proven."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from core.cost import predict
from core.errors import InternalError
from core.plan import Prediction
from core.problem import Problem
from optimizer.measures import Weights


@dataclass(frozen=True)
class Solution:
    """A placement of all layers, the int8 ones among them, and what ``core.cost`` says of it."""

    placement: Mapping[str, str]
    quantized: frozenset[str]
    prediction: Prediction


@dataclass(frozen=True)
class Outcome:
    """How a minimisation ended.

    Attributes:
        status: ``optimal``: proven; ``stopped``: by its time limit; ``infeasible``: proven to have no solution.
        solution: the best found; ``None`` where none was.
        lower_bound: proven bound on the goal, in the goal's own units.
    """

    status: Literal["optimal", "stopped", "infeasible"]
    solution: Solution | None = None
    lower_bound: float = -math.inf


class Method(Protocol):
    """A way to minimise a linear goal over the placements of one problem."""

    def minimize(
        self, goal: Weights, caps: Weights, seconds: float | None = None, start: Solution | None = None
    ) -> Outcome:
        """Find the placement of least ``goal`` among those with every measure in ``caps`` at most its value.

        Args:
            seconds: stop after this long; ``None`` runs until proven.
            start: a placement within the caps to begin from.
        """
        ...


def evaluated(problem: Problem, placement: Mapping[str, str], quantized: frozenset[str]) -> Solution:
    """Attach the prediction to a placement.

    Raises:
        InternalError: the placement uses a link that does not exist.
    """
    prediction = predict(problem, placement, quantized)
    if prediction is None:
        raise InternalError("the solver returned a placement that uses a missing link; please report this problem file")
    return Solution(placement, quantized, prediction)
