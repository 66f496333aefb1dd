"""The front of latency against energy: the plans that some weights make the best; the format ``partita/front@1``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from core.plan import Baseline, Normalization, ParallelPrediction, Prediction


@dataclass(frozen=True)
class FrontPoint:
    """One plan of the front.

    Attributes:
        predicted: what the cost model says of it.
        placement: layer → server.
        quantized: layers that run in int8.
        latency_weight_from: least weight of latency for which no plan of the front is better; the weight of
            energy is what it leaves of 1, and both goals are normalised by the front's payoff table.
        latency_weight_to: largest such weight.
        parallel: the same plan with servers and links at work side by side; ``None`` where there was no time for it.
    """

    predicted: Prediction
    placement: Mapping[str, str]
    quantized: tuple[str, ...]
    latency_weight_from: float
    latency_weight_to: float
    parallel: ParallelPrediction | None = None


@dataclass(frozen=True)
class Front:
    """The supported front of summed latency against energy under a problem's limits.

    A plan is a point of the front if it is the best for more than one pair of weights: the points are the corners
    of the convex hull of all plans, on the side of low latency and low energy.

    Attributes:
        status: ``complete``: these are all points; ``truncated``: there are more than were asked for;
            ``stopped``: by the time limit; ``infeasible``: see ``reason``.
        points: by rising latency and falling energy.
        knee: position of the point farthest from the line between the first and the last, both axes normalised;
            ``None`` where no point lies between them.
        gap: for no weights does any plan improve on the best point by more than this, in the normalised
            objective; ``None`` where that is not known.
        normalization: the payoff table; the range of a goal is between the front's two ends.
        baselines: the best simpler plans when both goals weigh the same.
        notes: what a reader should know of how the front was found.
    """

    model: str
    status: Literal["complete", "truncated", "stopped", "infeasible"]
    reason: str | None = None
    points: tuple[FrontPoint, ...] = ()
    knee: int | None = None
    gap: float | None = None
    solve_seconds: float = 0.0
    normalization: Normalization | None = None
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    format: Literal["partita/front@1"] = "partita/front@1"
