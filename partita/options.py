"""What can be asked of profiling and planning, and how that becomes a message of the contract."""

from collections.abc import Mapping, Sequence
from typing import TypedDict, Unpack

from core.errors import InvalidArgumentError
from partita.results import Model
from partita.v1 import deployer_pb2, types_pb2


class ProfileOptions(TypedDict, total=False):
    """What shapes a model profile; options left out keep what was used last for the model, or the default.

    Attributes:
        quantizable_count: how many of the heaviest quantisable layers may become int8; 0 keeps all in float, what is
            sent too.
        wire_count: how many tensors may be sent in int8 where all computing stays float; 0 sends them in float.
        excluded_layers: patterns (shell wildcards) of layers that must stay float.
        noise_samples: on how many sets of int8 layers the noise model is fitted and tested at most.
        noise_measure: what noise is: ``mean-absolute-difference`` of the outputs (default), ``top-1-agreement`` or
            ``detection-agreement`` (noise is then 1 − agreement), or a function ``module:function`` of two dicts of
            arrays, the float and the quantised model's outputs, that the ModelProfiler's settings allow.
        calibration: how the ranges of int8 layers follow from the samples: ``min-max`` (default), ``percentile`` or
            ``entropy``.
        activation_type: of int8 layers' inputs and outputs: ``uint8`` (default) or ``int8``.
        per_channel: whether int8 weights have one scale per output channel (default) or one per layer.
        timing: how layers are timed: ``profiler`` (default): by the runtime's own, inside the whole model;
            ``layer-by-layer``: each alone, as in the thesis.
    """

    quantizable_count: int
    wire_count: int
    excluded_layers: Sequence[str]
    noise_samples: int
    noise_measure: str
    calibration: str
    activation_type: str
    per_channel: bool
    timing: str


class PlanOptions(ProfileOptions, total=False):
    """Goal, limits and rules of a plan.

    Attributes:
        device: server where requests start and answers end; default: the only one whose role is ``device``.
        latency_weight: weight of normalised latency (or of what ``goal`` says), 0 to 1; the two weights sum to 1.
        energy_weight: weight of normalised energy, 0 to 1. One weight given alone determines the other;
            with neither, latency counts alone.
        noise_limit: largest predicted mean absolute difference of the outputs from the float model's; 0 keeps all in
            float.
        device_energy_limit_joules: largest energy of the device per request.
        memory_limit_bytes: server → bytes for weights; others are limited by the memory they report.
        layer_rules: pattern (shell wildcards) of layer names → servers that those layers may run on.
        servers: servers to plan for; default: all that are complete.
        goal: which time ``latency_weight`` weighs: ``latency-sum`` (default): all computing and sending added up;
            ``latency``: from the inputs to the last output when servers work side by side; ``throughput``: seconds
            between answers when requests fill the pipeline. Or ``energy``: the weights 0 and 1.
        method: ``exact`` (default): by elimination, with an integer program where that is too large; ``ilp``: by
            integer programs alone.
        solver: of integer programs: ``highs`` (default), ``cbc`` or ``cplex``.
        time_limit_seconds: when to stop the solver; the best plan so far comes back with its gap.
    """

    device: str
    latency_weight: float
    energy_weight: float
    noise_limit: float
    device_energy_limit_joules: float
    memory_limit_bytes: Mapping[str, int]
    layer_rules: Mapping[str, Sequence[str]]
    servers: Sequence[str]
    goal: str
    method: str
    solver: str
    time_limit_seconds: float


def model_reference(model: str | Model) -> str:
    """The text by which the Deployer knows a model: a name, or ``name@hash``."""
    return model.reference if isinstance(model, Model) else model


def profiler_settings(options: ProfileOptions) -> types_pb2.ProfilerSettings | None:
    """The settings as a message; ``None`` where no option is given.

    Raises:
        InvalidArgumentError: a count is negative.
    """
    given = {key: options[key] for key in ProfileOptions.__annotations__ if key in options}  # type: ignore[literal-required]
    for key, value in given.items():
        if isinstance(value, int) and value < 0:
            raise InvalidArgumentError(f"{key} {value} must not be negative")
    return types_pb2.ProfilerSettings(**given) if given else None


def weights(options: PlanOptions) -> tuple[float | None, float | None]:
    """Latency and energy weight; the one that is missing is what the other leaves of 1."""
    latency, energy = options.get("latency_weight"), options.get("energy_weight")
    if latency is None and energy is not None:
        return 1 - energy, energy
    if energy is None and latency is not None:
        return latency, 1 - latency
    return latency, energy


def plan_request(model: str | Model, **options: Unpack[PlanOptions]) -> deployer_pb2.PlanRequest:
    """The request for a plan.

    Raises:
        InvalidArgumentError: a count or a memory limit is negative.
    """
    latency_weight, energy_weight = weights(options)
    memory = options.get("memory_limit_bytes", {})
    for server, limit in memory.items():
        if limit < 0:
            raise InvalidArgumentError(f"memory_limit_bytes[{server!r}] is {limit}; it must not be negative")
    return deployer_pb2.PlanRequest(
        model=model_reference(model),
        device=options.get("device", ""),
        latency_weight=latency_weight,
        energy_weight=energy_weight,
        noise_limit=options.get("noise_limit"),
        device_energy_limit_joules=options.get("device_energy_limit_joules"),
        memory_limit_bytes=memory,
        layer_rules=[
            deployer_pb2.LayerRule(pattern=pattern, servers=servers)
            for pattern, servers in options.get("layer_rules", {}).items()
        ],
        servers=options.get("servers", ()),
        goal=options.get("goal", ""),
        method=options.get("method", ""),
        solver=options.get("solver", ""),
        time_limit_seconds=options.get("time_limit_seconds"),
        settings=profiler_settings(options),
    )
