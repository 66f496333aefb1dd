"""Who takes part: services of servers, the servers they make up, and the links between those."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.profiles import MeasuredLink, ServerState

ROLES = ("device", "edge", "cloud")
"""What a server can be: where requests start and answers end, near it, or far away."""

SERVER_SERVICES = ("exec_profiler", "server_monitor", "inferencer", "front_end")
"""The services that run on servers; a server that has all but ``front_end`` can take part in a plan."""


@dataclass(frozen=True)
class Member:
    """One service of one server.

    Attributes:
        server: the server's name.
        role: one of ``ROLES``.
        service: one of ``SERVER_SERVICES``.
        address: ``host:port`` under which other services reach it.
        public_address: where clients outside the cluster's network reach it; empty where it is the same.
        instance: identity of the process and service: a new process has a new one.
    """

    server: str
    role: str
    service: str
    address: str
    public_address: str
    instance: str


@dataclass(frozen=True)
class ServerRecord:
    """A server that takes part.

    Attributes:
        name: unique in the cluster.
        role: one of ``ROLES``.
        services: its live services, name → ``host:port``.
        state: as its monitor last reported; ``None`` before that.
        public_front_end_address: where clients outside the cluster's network reach its FrontEnd; empty
            where it is the same address.
        instances: service → identity of its process; another one means that it was started anew.
    """

    name: str
    role: str
    services: Mapping[str, str] = field(default_factory=dict)
    state: ServerState | None = None
    public_front_end_address: str = ""
    instances: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cluster:
    """The servers that take part now and every link that was measured."""

    servers: tuple[ServerRecord, ...] = ()
    links: tuple[MeasuredLink, ...] = ()
