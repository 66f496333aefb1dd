"""A planning problem: everything the Optimizer needs to know, and the format ``partita/problem@1``."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from core.errors import InvalidDocumentError
from core.graph import ModelGraph, Tensor
from core.objective import Limits, Objective

if TYPE_CHECKING:
    from core.cost import CostTables


@dataclass(frozen=True)
class Server:
    """A machine that can run layers.

    Attributes:
        name: unique within the problem.
        compute_watts: power drawn while computing.
        transmit_watts: power drawn while sending to another server.
        self_transmit_watts: power drawn while sending to itself.
        memory_bytes: room for weights; ``None`` is no limit.
        compression_slowness: how many times as long as ``Compression`` says compressing and decompressing take here.
    """

    name: str
    compute_watts: float = 0.0
    self_transmit_watts: float = 0.0
    transmit_watts: float = 0.0
    memory_bytes: int | None = None
    compression_slowness: float = 1.0

    def __post_init__(self) -> None:
        watts = self.compute_watts, self.transmit_watts, self.self_transmit_watts
        if min(*watts, self.memory_bytes or 0, self.compression_slowness) < 0:
            raise InvalidDocumentError(f"server {self.name!r} has a negative value")


@dataclass(frozen=True)
class Link:
    """An ordered pair of servers, and what sending from the first to the second takes.

    Attributes:
        source: the sending server.
        target: the receiving server.
        bytes_per_second: throughput, without ``seconds_by_bytes`` at all sizes, else beyond the largest of them.
        rtt_seconds: round-trip time, which is what a tensor of no bytes takes.
        seconds_by_bytes: pairs (bytes, seconds), both increasing: what was measured at several sizes, one round trip
            included. Times between are interpolated linearly, below the first pair from (0, ``rtt_seconds``), and
            beyond the last pair each further byte takes 1 / ``bytes_per_second``. Over distance the time of a transfer
            is not bytes / throughput: a connection takes round trips to reach its throughput.
        reply_seconds: how much of all these times passes after the tensor has arrived, until the sender knows: nothing
            waits for that. 0 (thesis): the whole round trip passes before.
    """

    source: str
    target: str
    bytes_per_second: float
    rtt_seconds: float
    seconds_by_bytes: tuple[tuple[float, ...], ...] | None = None
    reply_seconds: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        name = f"link {self.source} → {self.target}"
        if self.bytes_per_second <= 0 or self.rtt_seconds < 0:
            raise InvalidDocumentError(f"{name} needs bytes_per_second > 0 and rtt_seconds ≥ 0")
        if not 0 <= self.reply_seconds <= self.rtt_seconds:
            raise InvalidDocumentError(
                f"{name}: reply_seconds {self.reply_seconds:g} is not between 0 and rtt_seconds {self.rtt_seconds:g}"
            )
        for pair in self.seconds_by_bytes or ():
            if len(pair) != 2:
                raise InvalidDocumentError(f"{name}: seconds_by_bytes holds pairs [bytes, seconds], not {list(pair)}")
        for (fewer, sooner), (more, later) in pairwise(self.knots):
            if more <= fewer or later < sooner:
                raise InvalidDocumentError(
                    f"{name}: seconds_by_bytes goes from {fewer:g} bytes in {sooner:g} s to {more:g} bytes in "
                    f"{later:g} s; bytes and seconds must increase, from 0 bytes in rtt_seconds on"
                )

    @cached_property
    def knots(self) -> tuple[tuple[float, float], ...]:
        """Bytes and seconds until they have arrived, between which times are linear, 0 bytes first."""
        measured = ((0.0, self.rtt_seconds), *((pair[0], pair[1]) for pair in self.seconds_by_bytes or ()))
        return tuple((bytes_, seconds - self.reply_seconds) for bytes_, seconds in measured)

    @property
    def delay_seconds(self) -> float:
        """What a tensor of no bytes takes to arrive; while it is under way, others can be sent."""
        return self.rtt_seconds - self.reply_seconds

    def seconds(self, byte_count: float) -> float:
        """Time until ``byte_count`` bytes that are sent have arrived.

        Without ``seconds_by_bytes`` and ``reply_seconds``: bytes / throughput + round trip (thesis eq. 4.2.2).
        """
        knots = self.knots
        after = bisect_right(knots, byte_count, key=_bytes)
        fewer, sooner = knots[after - 1]
        if after == len(knots):
            return (byte_count - fewer) / self.bytes_per_second + sooner
        more, later = knots[after]
        return (byte_count - fewer) * (later - sooner) / (more - fewer) + sooner


def _bytes(knot: tuple[float, float]) -> float:
    return knot[0]


@dataclass(frozen=True)
class LayerTime:
    """Seconds of a layer on a server in float, and in int8 where that was measured.

    ``quantized_seconds`` may be below zero: it is the float time less the layer's share of the whole model's
    gain (thesis 6.3.2), and that correction overshoots for some layers of the thesis's own profiles.
    """

    seconds: float
    quantized_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.seconds < 0:
            raise InvalidDocumentError(f"a layer's time cannot be negative, but is {self.seconds:g} s")

    def times(self, factor: float) -> "LayerTime":
        """On a server that takes ``factor`` times as long."""
        quantized = self.quantized_seconds
        return LayerTime(self.seconds * factor, None if quantized is None else quantized * factor)


@dataclass(frozen=True)
class BorderTime:
    """Seconds of computing that arise because a tensor leaves a server, or enters it, besides sending it.

    A component has to start, to copy what comes out of it, to change a tensor's memory layout, and to run apart what
    the runtime would have fused. They are counted with the sending: once for each server that a tensor goes to, and
    in energy at the sender's power of transmitting.

    Attributes:
        leaving_seconds: on the server that makes the tensor, in float.
        entering_seconds: on the server that receives it, in float.
        quantized_leaving_seconds: where its producer is int8.
        quantized_entering_seconds: where its producer is int8.
    """

    leaving_seconds: float = 0.0
    entering_seconds: float = 0.0
    quantized_leaving_seconds: float = 0.0
    quantized_entering_seconds: float = 0.0

    def __post_init__(self) -> None:
        if min(*self.leaving, *self.entering) < 0:
            raise InvalidDocumentError(f"a tensor's border times cannot be negative: {self}")

    def times(self, factor: float) -> "BorderTime":
        """On a server that takes ``factor`` times as long."""
        return BorderTime(
            *(seconds * factor for seconds in (self.leaving_seconds, self.entering_seconds)),
            *(seconds * factor for seconds in (self.quantized_leaving_seconds, self.quantized_entering_seconds)),
        )

    @property
    def leaving(self) -> tuple[float, float]:
        """Of a tensor made in float, and in int8."""
        return self.leaving_seconds, self.quantized_leaving_seconds

    @property
    def entering(self) -> tuple[float, float]:
        """Of a tensor made in float, and in int8."""
        return self.entering_seconds, self.quantized_entering_seconds


@dataclass(frozen=True)
class Compression:
    """What compressing a tensor without loss brings, and takes.

    Attributes:
        ratio: bytes that are left / bytes that there were.
        compress_seconds: on the server that sends it.
        decompress_seconds: on the server that receives it.
    """

    ratio: float
    compress_seconds: float
    decompress_seconds: float

    def __post_init__(self) -> None:
        if min(self.ratio, self.compress_seconds, self.decompress_seconds) < 0:
            raise InvalidDocumentError(f"a tensor's compression has a negative value: {self}")


WORTH_COMPRESSING = 0.95
"""A tensor is compressed where it then arrives within this share of the time: its next values may be less alike."""

NO_BORDER = BorderTime()
"""Of tensors without an entry."""


@dataclass(frozen=True)
class NoiseTerm:
    """One monomial: ``coefficient`` counts when all ``layers`` are quantised."""

    layers: tuple[str, ...]
    coefficient: float


@dataclass(frozen=True)
class NoiseModel:
    """Polynomial in the quantisation choices that predicts noise (thesis eq. 3.1.4, 4.6.3).

    ``intercept`` counts as soon as any layer is quantised, so that the empty set has noise 0.
    """

    intercept: float
    terms: tuple[NoiseTerm, ...]

    def predict(self, quantized: frozenset[str]) -> float:
        """Predicted mean absolute difference of the outputs when ``quantized`` layers are int8."""
        if not quantized:
            return 0.0
        return self.intercept + sum(term.coefficient for term in self.terms if quantized.issuperset(term.layers))


@dataclass(frozen=True)
class Problem:
    """Model, servers, links, times, noise, goal and limits. The first server is the device.

    A link that is not listed may not be used; a self-link that is not listed costs nothing. A layer
    without an execution entry on a server cannot run there. ``borders``, server → tensor → ``BorderTime``, may be
    absent, as may any of its entries: no more than the sending is counted there. So may ``compression``, by tensor as
    made in float, and ``quantized_compression``, as made in int8: what has no entry is sent as it is.

    Raises:
        InvalidDocumentError: names do not match up or there is no server.
    """

    model: ModelGraph
    servers: tuple[Server, ...]
    links: tuple[Link, ...]
    execution: Mapping[str, Mapping[str, LayerTime]]
    noise: NoiseModel | None = None
    objective: Objective = field(default_factory=Objective)
    limits: Limits = field(default_factory=Limits)
    quantized_size_ratio: float = 4.0
    borders: Mapping[str, Mapping[str, BorderTime]] = field(default_factory=dict)
    compression: Mapping[str, Compression] = field(default_factory=dict)
    quantized_compression: Mapping[str, Compression] = field(default_factory=dict)
    format: Literal["partita/problem@1"] = "partita/problem@1"

    def __post_init__(self) -> None:
        names = [server.name for server in self.servers]
        if not names:
            raise InvalidDocumentError("servers: at least one, the device, is needed")
        if len(set(names)) != len(names):
            raise InvalidDocumentError(f"servers: a name is doubled in {names}")
        self._known("execution", list(self.execution), set(names), "server")
        for server, times in self.execution.items():
            self._known(f"execution[{server!r}]", list(times), self.model.by_name.keys(), "layer")
        self._known("borders", list(self.borders), set(names), "server")
        tensors = {tensor.name for tensor in self.model.tensors}
        for server, borders in self.borders.items():
            self._known(f"borders[{server!r}]", list(borders), tensors, "tensor")
        self._known("compression", list(self.compression), tensors, "tensor")
        self._known("quantized_compression", list(self.quantized_compression), tensors, "tensor")
        for link in self.links:
            self._known("links", [link.source, link.target], set(names), "server")
        if len(self.link_by_pair) != len(self.links):
            raise InvalidDocumentError("links: a pair of servers is listed twice")
        for layer in self.model.layers:
            self._known(f"layer {layer.name!r}: servers", list(layer.servers or ()), set(names), "server")
        for term in self.noise.terms if self.noise else ():
            self._known("noise", list(term.layers), self.model.by_name.keys(), "layer")
        if self.quantized_size_ratio < 1:
            raise InvalidDocumentError(f"quantized_size_ratio {self.quantized_size_ratio:g} must be ≥ 1")

    @staticmethod
    def _known(place: str, names: list[str], known: "set[str] | object", kind: str) -> None:
        for name in names:
            if name not in known:  # type: ignore[operator]
                raise InvalidDocumentError(f"{place}: unknown {kind} {name!r}")

    @property
    def device(self) -> str:
        """Name of the server where requests start and answers end."""
        return self.servers[0].name

    @cached_property
    def link_by_pair(self) -> Mapping[tuple[str, str], Link]:
        """Listed links by (source, target)."""
        return {(link.source, link.target): link for link in self.links}

    @cached_property
    def server_by_name(self) -> Mapping[str, Server]:
        """Servers by name."""
        return {server.name: server for server in self.servers}

    @cached_property
    def costs(self) -> "CostTables":
        """The cost model's numbers as arrays, made when first used."""
        from core.cost import CostTables

        return CostTables(self)

    def transfer_seconds(self, source: str, target: str, byte_count: float) -> float | None:
        """Time for ``byte_count`` bytes from source to target; ``None`` where no link allows it."""
        link = self.link_by_pair.get((source, target))
        if link is not None:
            return link.seconds(byte_count)
        return 0.0 if source == target else None

    def sending_seconds(self, tensor: Tensor, source: str, target: str, quantized: bool) -> float | None:
        """Time to bring a tensor from source to target, its borders included; ``None`` where no link allows it.

        Args:
            quantized: whether its producer is int8.
        """
        seconds = self.transfer_seconds(source, target, self._bytes(tensor, quantized))
        if seconds is None or source == target:
            return seconds
        seconds -= self.compression_gain(tensor, source, target, quantized)
        leaves = self.borders.get(source, {}).get(tensor.name, NO_BORDER).leaving[quantized]
        return seconds + leaves + self.borders.get(target, {}).get(tensor.name, NO_BORDER).entering[quantized]

    def compression_gain(self, tensor: Tensor, source: str, target: str, quantized: bool) -> float:
        """Seconds by which a tensor arrives sooner where it is compressed; 0 where it is sent as it is.

        With b bytes, of which r b are left, and g the seconds of the link: g(b) − g(r b) − compress − decompress,
        where that is no less than a twentieth of g(b).
        """
        known = (self.quantized_compression if quantized else self.compression).get(tensor.name)
        link = self.link_by_pair.get((source, target))
        if known is None or link is None or source == target:
            return 0.0
        byte_count = self._bytes(tensor, quantized)
        plain = link.seconds(byte_count)
        compressed = link.seconds(byte_count * known.ratio)
        compressed += known.compress_seconds * self.server_by_name[source].compression_slowness
        compressed += known.decompress_seconds * self.server_by_name[target].compression_slowness
        return plain - compressed if compressed < WORTH_COMPRESSING * plain else 0.0

    def _bytes(self, tensor: Tensor, quantized: bool) -> float:
        return tensor.bytes / (self.quantized_size_ratio if quantized else 1.0)

    def delay_seconds(self, source: str, target: str) -> float:
        """The part of sending during which the sender can send more already; 0 where no link is listed."""
        link = self.link_by_pair.get((source, target))
        return 0.0 if link is None else link.delay_seconds

    def allowed_servers(self, layer: str) -> tuple[str, ...]:
        """Servers on which ``layer`` may run: allowed by its rule and with a known time there."""
        return self._allowed_servers[layer]

    @cached_property
    def _allowed_servers(self) -> Mapping[str, tuple[str, ...]]:
        times = [(server.name, self.execution.get(server.name, {})) for server in self.servers]
        return {
            layer.name: tuple(
                server
                for server, known in times
                if layer.name in known and (layer.servers is None or server in layer.servers)
            )
            for layer in self.model.layers
        }
