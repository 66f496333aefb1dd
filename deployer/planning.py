"""From profiles to a problem, and what a user may ask of a plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from core.cluster import Cluster, ServerRecord
from core.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError, ServerUnavailableError
from core.graph import GENERATOR, RECEIVER, ModelGraph
from core.objective import Limits, Objective, SolverOptions
from core.problem import Problem, Server
from core.profiles import ModelProfilerSettings
from deployer.profiling import Profiles
from model_divider.wire import is_wire_layer

PLANNED_SERVICES = ("exec_profiler", "server_monitor", "inferencer")
"""What a server must offer to take part; the device needs a FrontEnd as well."""


@dataclass(frozen=True)
class PlanWishes:
    """What a plan is asked to be.

    Attributes:
        device: name of the server where requests start; empty: the only one with that role.
        objective: which time is meant, and the weights of it and of energy.
        limits: caps on noise and the device's energy.
        memory_limit_bytes: server → bytes for weights, instead of the memory it reports.
        layer_rules: (pattern, servers): matching layers may run only there.
        servers: names of the servers to plan for; empty: all that are complete.
        options: method, solver and time limit.
        settings: profiler settings; ``None``: those used last for the model.
    """

    device: str = ""
    objective: Objective = field(default_factory=Objective)
    limits: Limits = field(default_factory=Limits)
    memory_limit_bytes: Mapping[str, int] = field(default_factory=dict)
    layer_rules: tuple[tuple[str, tuple[str, ...]], ...] = ()
    servers: tuple[str, ...] = ()
    options: SolverOptions = field(default_factory=SolverOptions)
    settings: ModelProfilerSettings | None = None


def choose_servers(cluster: Cluster, device: str, names: Sequence[str]) -> tuple[ServerRecord, ...]:
    """The servers to plan for, the device first.

    Raises:
        NotFoundError: a named server is not registered.
        ServerUnavailableError: a named server, or the device, lacks a service.
        FailedPreconditionError: no server, or more than one, could be the device.
    """
    by_name = {server.name: server for server in cluster.servers}
    for name in (*names, *filter(None, [device])):
        if name not in by_name:
            raise NotFoundError(f"no server {name!r} is registered; registered: {', '.join(by_name) or 'none'}")
    chosen = [by_name[name] for name in names] or [
        server for server in cluster.servers if not _missing(server, PLANNED_SERVICES)
    ]
    for server in chosen:
        if missing := _missing(server, PLANNED_SERVICES):
            raise ServerUnavailableError(f"server {server.name!r} lacks {', '.join(missing)}; start what is missing")
    if device:
        devices = [by_name[device]]
    else:
        devices = [server for server in chosen if server.role == "device"]
        if len(devices) != 1:
            found = ", ".join(server.name for server in devices) or "none"
            raise FailedPreconditionError(f"servers with the role 'device': {found}; name the device to plan for")
    if missing := _missing(devices[0], (*PLANNED_SERVICES, "front_end")):
        raise ServerUnavailableError(f"device {devices[0].name!r} lacks {', '.join(missing)}; start what is missing")
    return (devices[0], *(server for server in chosen if server.name != devices[0].name))


def _missing(server: ServerRecord, services: Sequence[str]) -> list[str]:
    missing = [service for service in services if service not in server.services]
    return missing if missing or server.state is not None else ["state (not reported yet)"]


def build_problem(profiles: Profiles, wishes: PlanWishes) -> Problem:
    """Everything measured and everything wished, as one problem.

    Raises:
        InvalidArgumentError: a rule matches no layer, or names an unknown server.
    """
    names = [server.name for server in profiles.servers]
    for name in wishes.memory_limit_bytes:
        if name not in names:
            raise InvalidArgumentError(f"memory limit for {name!r}, which is not among the servers {names}")
    noise = profiles.model.noise
    slowness = _compression_slowness(profiles)
    compression = profiles.model.compression if slowness else None
    return Problem(
        model=ruled(profiles.model.graph, wishes, names),
        servers=tuple(
            Server(
                name=state.name,
                compute_watts=profiles.energies[state.name].watts,
                self_transmit_watts=state.power.self_transmit_watts,
                transmit_watts=state.power.transmit_watts,
                memory_bytes=wishes.memory_limit_bytes.get(state.name, state.memory_bytes),
                compression_slowness=slowness.get(state.name, 1.0),
            )
            for state in (server.state for server in profiles.servers)
            if state is not None
        ),
        links=tuple(link.link for link in profiles.links),
        execution={name: profile.layers for name, profile in profiles.execution.items()},
        borders={name: profile.borders for name, profile in profiles.execution.items() if profile.borders},
        compression=compression.floating if compression else {},
        quantized_compression=compression.rounded if compression else {},
        noise=noise.model if noise else None,
        objective=wishes.objective,
        limits=wishes.limits,
    )


def _compression_slowness(profiles: Profiles) -> dict[str, float]:
    """How much longer compressing takes on each server than where it was measured; empty where that is not known."""
    measured = profiles.model.compression
    found = {
        name: profile.compression_seconds / measured.reference_seconds
        for name, profile in profiles.execution.items()
        if profile.compression_seconds is not None and measured is not None
    }
    return found if len(found) == len(profiles.execution) else {}


def ruled(graph: ModelGraph, wishes: PlanWishes, servers: Sequence[str]) -> ModelGraph:
    """The graph with every rule's servers at the layers it matches; several rules for a layer intersect.

    Where no noise is allowed every layer stays in float: a fitted noise model may say 0, or less, of int8 layers.

    Raises:
        InvalidArgumentError: a rule matches no layer, names an unknown server, or leaves a layer none.
    """
    allowed: dict[str, tuple[str, ...]] = {}
    for pattern, rule_servers in wishes.layer_rules:
        for name in rule_servers:
            if name not in servers:
                raise InvalidArgumentError(f"rule {pattern!r} names server {name!r}; planned for: {', '.join(servers)}")
        matching = [layer.name for layer in graph.layers if fnmatchcase(layer.name, pattern)]
        if not matching:
            raise InvalidArgumentError(f"rule {pattern!r} matches no layer of {graph.name!r}; see `partita model show`")
        for layer in matching:
            allowed[layer] = tuple(name for name in allowed.get(layer, rule_servers) if name in rule_servers)
            if not allowed[layer]:
                raise InvalidArgumentError(
                    f"rule {pattern!r} leaves layer {layer!r} no server, together with the rules before it; "
                    "name a server in all of them"
                )
    if allowed:
        allowed |= _ruled_wires(graph, allowed, servers)
    in_float = wishes.limits.noise == 0
    return replace(
        graph,
        layers=tuple(
            replace(
                layer,
                servers=allowed.get(layer.name, layer.servers),
                quantizable=layer.quantizable and not in_float,
            )
            for layer in graph.layers
        ),
    )


def _ruled_wires(
    graph: ModelGraph, allowed: Mapping[str, tuple[str, ...]], servers: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Where wire layers may run that no rule names: beside the layer before them, or one behind them.

    So what a rule keeps on a server does not leave it to be rounded.
    """
    found: dict[str, tuple[str, ...]] = {}
    for tensor in graph.tensors:
        for wire in filter(is_wire_layer, tensor.targets):
            ends = [tensor.producer, *graph.digraph.succ[wire]]
            if wire not in allowed:
                places = {name for end in ends if end != RECEIVER for name in _places(end, allowed, servers)}
                found[wire] = tuple(name for name in servers if name in places)
    return found


def _places(layer: str, allowed: Mapping[str, tuple[str, ...]], servers: Sequence[str]) -> Sequence[str]:
    return servers[:1] if layer == GENERATOR else allowed.get(layer, servers)
