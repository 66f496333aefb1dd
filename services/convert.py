"""Core nouns from (``to_…``) and to (``from_…``) the messages of the contract."""

from dataclasses import replace
from typing import Literal, cast, get_args

from core.cluster import Cluster, Member, ServerRecord
from core.deployment import ComponentRun
from core.documents import decode, encode
from core.errors import InvalidArgumentError
from core.objective import Goal, Objective, SolverOptions
from core.profiles import MeasuredLink, ModelProfilerSettings, Power, QuantizationSettings, ServerState
from partita.v1 import registry_pb2, types_pb2


def to_member(message: registry_pb2.Member) -> Member:
    """Read a member."""
    return Member(
        server=message.server,
        role=message.role,
        service=message.service,
        address=message.address,
        public_address=message.public_address,
        instance=message.instance,
    )


def from_member(member: Member) -> registry_pb2.Member:
    """Write a member."""
    return registry_pb2.Member(
        server=member.server,
        role=member.role,
        service=member.service,
        address=member.address,
        public_address=member.public_address,
        instance=member.instance,
    )


def to_power(message: types_pb2.Power) -> Power:
    """Read a server's watts.

    Raises:
        InvalidArgumentError: the source is neither ``measured`` nor ``declared``.
    """
    return Power(
        compute_watts=message.compute_watts,
        transmit_watts=message.transmit_watts,
        self_transmit_watts=message.self_transmit_watts,
        source=_power_source(message.source),
    )


def _power_source(text: str) -> Literal["measured", "declared"]:
    if text == "measured":
        return "measured"
    if text == "declared":
        return "declared"
    raise InvalidArgumentError(f"the source of a server's power is {text!r}; give 'measured' or 'declared'")


def from_power(power: Power) -> types_pb2.Power:
    """Write a server's watts."""
    return types_pb2.Power(
        compute_watts=power.compute_watts,
        transmit_watts=power.transmit_watts,
        self_transmit_watts=power.self_transmit_watts,
        source=power.source,
    )


def to_state(message: types_pb2.ServerState) -> ServerState:
    """Read a server's state.

    Raises:
        InvalidArgumentError: see ``to_power``.
    """
    return ServerState(
        name=message.name,
        fingerprint=message.fingerprint,
        description=message.description,
        machine=message.machine,
        memory_bytes=message.memory_bytes,
        available_memory_bytes=message.available_memory_bytes,
        load=message.load,
        power=to_power(message.power),
        temperature_celsius=message.temperature_celsius if message.HasField("temperature_celsius") else None,
        drawn_watts=message.drawn_watts if message.HasField("drawn_watts") else None,
        battery_level=message.battery_level if message.HasField("battery_level") else None,
        slowdown=message.slowdown if message.HasField("slowdown") else 1.0,
    )


def from_state(state: ServerState) -> types_pb2.ServerState:
    """Write a server's state."""
    return types_pb2.ServerState(
        name=state.name,
        fingerprint=state.fingerprint,
        description=state.description,
        machine=state.machine,
        memory_bytes=state.memory_bytes,
        available_memory_bytes=state.available_memory_bytes,
        load=state.load,
        power=from_power(state.power),
        temperature_celsius=state.temperature_celsius,
        drawn_watts=state.drawn_watts,
        battery_level=state.battery_level,
        slowdown=state.slowdown,
    )


def to_server(message: types_pb2.Server) -> ServerRecord:
    """Read a server that takes part.

    Raises:
        InvalidArgumentError: see ``to_power``.
    """
    return ServerRecord(
        name=message.name,
        role=message.role,
        services=dict(message.services),
        state=to_state(message.state) if message.HasField("state") else None,
        public_front_end_address=message.public_front_end_address,
        instances=dict(message.instances),
    )


def from_server(server: ServerRecord) -> types_pb2.Server:
    """Write a server that takes part."""
    return types_pb2.Server(
        name=server.name,
        role=server.role,
        services=server.services,
        state=None if server.state is None else from_state(server.state),
        public_front_end_address=server.public_front_end_address,
        instances=server.instances,
    )


def to_link(message: types_pb2.Link) -> MeasuredLink:
    """Read a link.

    Raises:
        InvalidDocumentError: it has no positive throughput, a negative round-trip time, or times that decrease.
    """
    return MeasuredLink(
        source=message.source,
        target=message.target,
        bytes_per_second=message.bytes_per_second,
        rtt_seconds=message.rtt_seconds,
        seconds_by_bytes=tuple((time.byte_count, time.seconds) for time in message.transfer_times) or None,
        measured_at=message.measured_at,
        spread=message.spread,
        bare_rtt_seconds=message.bare_rtt_seconds,
    )


def from_link(link: MeasuredLink) -> types_pb2.Link:
    """Write a link."""
    return types_pb2.Link(
        source=link.source,
        target=link.target,
        bytes_per_second=link.bytes_per_second,
        rtt_seconds=link.rtt_seconds,
        transfer_times=[
            types_pb2.TransferTime(byte_count=byte_count, seconds=seconds)
            for byte_count, seconds in link.seconds_by_bytes or ()
        ],
        measured_at=link.measured_at,
        spread=link.spread,
        bare_rtt_seconds=link.bare_rtt_seconds,
    )


def to_cluster(message: registry_pb2.ListServersResponse | registry_pb2.WatchResponse) -> Cluster:
    """Read servers and links.

    Raises:
        InvalidArgumentError: see ``to_server`` and ``to_link``.
    """
    return Cluster(tuple(map(to_server, message.servers)), tuple(map(to_link, message.links)))


def to_component_run(message: types_pb2.ComponentRun) -> ComponentRun:
    """Read how long a component took."""
    return ComponentRun(
        component=message.component,
        server=message.server,
        queue_seconds=message.queue_seconds,
        compute_seconds=message.compute_seconds,
        transfer_seconds=message.transfer_seconds,
        start_seconds=message.start_seconds,
        together=max(1, message.together),
    )


def from_component_run(run: ComponentRun) -> types_pb2.ComponentRun:
    """Write how long a component took."""
    return types_pb2.ComponentRun(
        component=run.component,
        server=run.server,
        queue_seconds=run.queue_seconds,
        compute_seconds=run.compute_seconds,
        transfer_seconds=run.transfer_seconds,
        start_seconds=run.start_seconds,
        together=run.together,
    )


def to_profiler_settings(message: types_pb2.ProfilerSettings) -> ModelProfilerSettings:
    """Read profiler settings; what is unset takes its default.

    Raises:
        InvalidDocumentError: an unknown calibration, activation type or way of timing.
    """
    default = ModelProfilerSettings()
    found = ModelProfilerSettings(
        quantizable_count=message.quantizable_count
        if message.HasField("quantizable_count")
        else default.quantizable_count,
        wire_count=message.wire_count if message.HasField("wire_count") else default.wire_count,
        excluded_layers=tuple(message.excluded_layers),
        noise_samples=message.noise_samples if message.HasField("noise_samples") else default.noise_samples,
        noise_measure=message.noise_measure or default.noise_measure,
        quantization=_quantization(message, default.quantization),
    )
    given = {"timing": message.timing} if message.timing else {}
    return decode(encode(found) | given, ModelProfilerSettings, "profiler settings")


def _quantization(message: types_pb2.ProfilerSettings, default: QuantizationSettings) -> QuantizationSettings:
    """Raises InvalidDocumentError for an unknown calibration or activation type."""
    given = {name: value for name in ("calibration", "activation_type") if (value := getattr(message, name))}
    if message.HasField("per_channel"):
        given["per_channel"] = message.per_channel
    return decode(encode(default) | given, QuantizationSettings, "profiler settings")


def from_profiler_settings(settings: ModelProfilerSettings) -> types_pb2.ProfilerSettings:
    """Write profiler settings."""
    return types_pb2.ProfilerSettings(
        quantizable_count=settings.quantizable_count,
        wire_count=settings.wire_count,
        excluded_layers=settings.excluded_layers,
        noise_samples=settings.noise_samples,
        noise_measure=settings.noise_measure,
        calibration=settings.quantization.calibration,
        activation_type=settings.quantization.activation_type,
        per_channel=settings.quantization.per_channel,
        timing=settings.timing,
    )


def solver_options(solver: str, time_limit_seconds: float | None, method: str) -> SolverOptions:
    """Options from a request; an empty solver or method is the default one.

    Raises:
        InvalidDocumentError: unknown solver or method, or a time limit that is not positive.
    """
    fields = {name: value for name, value in (("solver", solver), ("method", method)) if value}
    return decode({**fields, "time_limit_seconds": time_limit_seconds}, SolverOptions, "solver options")


def objective(
    goal: str,
    latency_weight: float | None,
    energy_weight: float | None,
    default: Objective = Objective(),  # noqa: B008 - frozen
) -> Objective:
    """What to minimise, as a request tells it; what it leaves open is as in ``default``.

    Args:
        goal: one of ``core.problem.Goal``, or ``energy``, which stands for the weights 0 and 1; may be empty.
        latency_weight: one weight alone determines the other.
        energy_weight: see ``latency_weight``.

    Raises:
        InvalidArgumentError: an unknown goal, or weights other than 0 and 1 for the goal ``energy``.
        InvalidDocumentError: weights that do not sum to 1.
    """
    known = (*get_args(Goal), "energy")
    if goal and goal not in known:
        raise InvalidArgumentError(f"goal {goal!r} is unknown; give one of {', '.join(map(repr, known))}")
    if latency_weight is not None or energy_weight is not None:
        latency = 1 - cast(float, energy_weight) if latency_weight is None else latency_weight
        default = Objective(latency, 1 - latency if energy_weight is None else energy_weight, default.goal)
        if goal == "energy" and default.energy_weight != 1:
            raise InvalidArgumentError(
                f"goal 'energy' means latency weight 0 and energy weight 1, not {default.latency_weight:g} and "
                f"{default.energy_weight:g}; leave out the weights, or give the goal for the time to be weighed"
            )
    elif goal == "energy":
        default = Objective(0.0, 1.0, default.goal)
    elif goal and default.latency_weight == 0:
        # A time is asked for that the default does not weigh.
        default = Objective(1.0, 0.0, default.goal)
    return default if goal in ("", "energy") else replace(default, goal=cast(Goal, goal))
