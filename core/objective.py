"""What a plan is asked to be good at, within which limits, and how it is to be found."""

from dataclasses import dataclass
from typing import Literal

from core.errors import InvalidDocumentError

Goal = Literal["latency-sum", "latency", "throughput"]


@dataclass(frozen=True)
class Objective:
    """What to minimise: a weighted sum of a time and of energy, each normalised.

    Attributes:
        latency_weight: of the time; ≥ 0.
        energy_weight: of the energy; ≥ 0, and the two sum to 1.
        goal: which time is meant. ``latency-sum``: all computing and sending added up (thesis chapter 4);
            ``latency``: from the inputs to the last output when servers work side by side; ``throughput``:
            seconds between answers when requests fill the pipeline.
    """

    latency_weight: float = 1.0
    energy_weight: float = 0.0
    goal: Goal = "latency-sum"

    def __post_init__(self) -> None:
        sums_to_one = abs(self.latency_weight + self.energy_weight - 1) <= 1e-9
        if min(self.latency_weight, self.energy_weight) < 0 or not sums_to_one:
            raise InvalidDocumentError(
                f"latency_weight {self.latency_weight:g} and energy_weight {self.energy_weight:g} "
                "must be ≥ 0 and sum to 1"
            )


@dataclass(frozen=True)
class Limits:
    """Caps on a plan; ``None`` is no cap.

    Attributes:
        noise: largest predicted mean absolute difference of the outputs (η_max).
        device_energy_joules: largest energy of the device per request (J_0).
    """

    noise: float | None = None
    device_energy_joules: float | None = None


@dataclass(frozen=True)
class SolverOptions:
    """How to solve.

    Attributes:
        solver: of integer programs.
        time_limit_seconds: when to stop with the best found; ``None`` runs until proven optimal.
        method: ``exact``: by elimination, and an integer program where that is too large; ``ilp``: by integer
            programs alone.
    """

    solver: Literal["highs", "cbc", "cplex"] = "highs"
    time_limit_seconds: float | None = None
    method: Literal["exact", "ilp"] = "exact"

    def __post_init__(self) -> None:
        if self.time_limit_seconds is not None and self.time_limit_seconds <= 0:
            raise InvalidDocumentError(f"time_limit_seconds {self.time_limit_seconds:g} must be positive")
