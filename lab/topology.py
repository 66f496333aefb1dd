"""What a lab consists of: servers, and links from one to another."""

from dataclasses import dataclass

from core.errors import NotFoundError


@dataclass(frozen=True)
class Shape:
    """How a link carries packets, in one direction.

    Attributes:
        bytes_per_second: its bandwidth.
        delay_seconds: one way, of every packet.
        jitter_seconds: a packet's delay is up to this much shorter or longer.
        loss: the part of all packets that is lost, from 0 to below 1.
    """

    bytes_per_second: float
    delay_seconds: float = 0.0
    jitter_seconds: float = 0.0
    loss: float = 0.0

    @property
    def needs_delays(self) -> bool:
        """Whether a rate limit alone cannot do it."""
        return self.delay_seconds > 0 or self.jitter_seconds > 0 or self.loss > 0


@dataclass(frozen=True)
class TracePoint:
    """From ``seconds`` after the lab's start on, a link has this bandwidth and this one-way delay."""

    seconds: float
    bytes_per_second: float
    delay_seconds: float


@dataclass(frozen=True)
class Link:
    """An ordered pair of servers; a link with a trace begins with the trace's first point."""

    source: str
    target: str
    shape: Shape
    trace: tuple[TracePoint, ...] = ()

    @property
    def name(self) -> str:
        """As the command line writes it, for example ``device:edge``."""
        return f"{self.source}:{self.target}"


@dataclass(frozen=True)
class LabServer:
    """A server, with what its services are told.

    Attributes:
        name: unique in the topology.
        role: one of ``core.cluster.ROLES``.
        cores: the processor's cores it may use; empty for all.
        threads: of one model run.
        slowdown: model runs take this many times their real time.
        memory_bytes: that may hold weights; 0 for what the machine has.
        compute_watts: power while computing.
        transmit_watts: power while sending to other servers.
        self_transmit_watts: power while sending to itself.
        provider: ONNX Runtime execution provider.
    """

    name: str
    role: str
    cores: tuple[int, ...] = ()
    threads: int = 1
    slowdown: float = 1.0
    memory_bytes: int = 0
    compute_watts: float = 0.0
    transmit_watts: float = 0.0
    self_transmit_watts: float = 0.0
    provider: str = "CPUExecutionProvider"


@dataclass(frozen=True)
class Topology:
    """Servers, the device first, and links; two servers without a link do not reach each other."""

    servers: tuple[LabServer, ...]
    links: tuple[Link, ...] = ()

    @property
    def needs_delays(self) -> bool:
        """Whether a rate limit alone cannot make some link."""
        return any(link.shape.needs_delays or any(point.delay_seconds for point in link.trace) for link in self.links)

    def position(self, server: str) -> int:
        """The place of a server in ``servers``."""
        return [one.name for one in self.servers].index(server)

    def link(self, name: str) -> Link:
        """The link ``source:target``.

        Raises:
            NotFoundError: there is none.
        """
        for link in self.links:
            if link.name == name:
                return link
        raise NotFoundError(f"there is no link {name!r}; there are {', '.join(link.name for link in self.links)}")
