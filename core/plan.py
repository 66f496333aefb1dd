"""A plan: what runs where, what is promised and how good it is; the format ``partita/plan@1``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from core.objective import Goal

Status = Literal["optimal", "feasible", "infeasible"]


@dataclass(frozen=True)
class Normalization:
    """The payoff table (thesis 4.8): ranges that make latency (seconds) and energy (joules) comparable.

    The latency is the time that the plan's goal means. For the goals ``latency`` and ``throughput`` its least value
    is not known: ``latency_min`` is then a proven lower bound on it, and ``latency_max`` the time of the plan of
    least energy.
    """

    latency_min: float
    latency_max: float
    energy_min: float
    energy_max: float


@dataclass(frozen=True)
class Prediction:
    """What the cost model says of one placement; ``memory_bytes`` per server counts weights."""

    latency_seconds: float
    energy_joules: float
    device_energy_joules: float
    noise: float
    memory_bytes: Mapping[str, int]


@dataclass(frozen=True)
class ParallelPrediction:
    """What a plan's component graph does when components and transfers overlap (``core.simulation``).

    Attributes:
        latency_seconds: from the inputs to the last output of one request.
        seconds_per_request: between answers when requests fill the pipeline: the time that the busiest server or
            link needs for one request; its inverse bounds the throughput.
        bottleneck: that server (``"edge"``) or link (``"device → edge"``).
    """

    latency_seconds: float
    seconds_per_request: float
    bottleneck: str


@dataclass(frozen=True)
class PlannedComponent:
    """A connected set of layers on one server that runs as one sub-model.

    Attributes:
        id: position in topological order of the component graph.
        server: where it runs.
        layers: how many layers it has.
        layer_names: which.
        inputs: names of tensors it receives.
        outputs: tensor name → ids of the components that receive it.
        compressed: tensor name → servers to which it goes compressed without loss.
    """

    id: int
    server: str
    layers: int
    inputs: tuple[str, ...]
    outputs: Mapping[str, tuple[int, ...]]
    layer_names: tuple[str, ...] = ()
    compressed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Baseline:
    """The best plan of a simple kind, by the same cost model; ``None`` where no such plan is feasible.

    Attributes:
        objective: normalised like the plan's own.
        latency_seconds: of all computing and sending added up.
        placement_summary: in words, for example ``"all on edge"`` or ``"cut after /layer3"``.
        parallel: the same with servers and links at work side by side.
    """

    objective: float | None = None
    latency_seconds: float | None = None
    energy_joules: float | None = None
    placement_summary: str | None = None
    parallel: ParallelPrediction | None = None


@dataclass(frozen=True)
class Plan:
    """Placement, components and promises for one problem.

    Attributes:
        status: ``optimal``, ``feasible`` (``gap`` > 0: stopped early, or found by local search) or ``infeasible``
            (see ``reason``).
        objective: normalised weighted sum that was minimised.
        lower_bound: proven bound on ``objective``.
        gap: ``objective − lower_bound``.
        quantized: layers that run in int8.
        components: generator first, receiver last, both without layers of the model.
        goal: which time the objective weighs (``core.problem.Objective``).
        parallel: the same plan with servers and links at work side by side.
        advice: ``do not split`` where one server alone does as well.
        notes: what a reader should know of how the plan was found.
        id: given by the Deployer when it keeps the plan.
    """

    model: str
    status: Status
    reason: str | None = None
    objective: float | None = None
    lower_bound: float | None = None
    gap: float | None = None
    solve_seconds: float = 0.0
    normalization: Normalization | None = None
    predicted: Prediction | None = None
    placement: Mapping[str, str] = field(default_factory=dict)
    quantized: tuple[str, ...] = ()
    components: tuple[PlannedComponent, ...] = ()
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    goal: Goal = "latency-sum"
    parallel: ParallelPrediction | None = None
    advice: Literal["split", "do not split"] | None = None
    notes: tuple[str, ...] = ()
    id: str | None = None
    format: Literal["partita/plan@1"] = "partita/plan@1"
