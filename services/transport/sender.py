"""Sends tensors to the other servers, by the nearest way: the array itself, shared memory, or chunk after chunk."""

import asyncio
import enum
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

from core.buffers import Bytes
from core.deployment import ComponentRun, RequestKey
from core.errors import DeadlineExceededError, PartitaError, ServerUnavailableError
from core.tensors import Array
from partita.v1 import tensor_transport_pb2
from services.convert import to_component_run
from services.runtime.metrics import SENT_BYTES
from services.runtime.shaping import LinkShaper
from services.runtime.streams import raw_bytes
from services.runtime.tracing import outgoing
from services.transport.budget import ByteBudget
from services.transport.connection import Connection, SegmentRefusedError, chunk_bytes
from services.transport.headers import announcement, lies_in
from services.transport.receiver import TensorReceiver, receiver_in_this_process
from services.transport.shared_memory import LEAST_BYTES, Segment, SegmentPool, make_probe

PROBE_TIMEOUT_SECONDS = 10.0
"""Upper bound on the transfer of a tensor that only measures the link."""

WINDOW_BYTES = 64 * 2**20
"""Most that is under way to one receiver without having been taken; what comes after waits at its producer."""


class Way(enum.IntEnum):
    """How a tensor gets there, from the farthest to the nearest."""

    GRPC = 0
    SOCKET = 1
    SHARED_MEMORY = 2
    SAME_PROCESS = 3


class _Peer:
    """One receiver, as long as the connection to it holds.

    Attributes:
        open: whether it has welcomed us.
        receiver: from then on, the receiver itself where it is in this process and that counts.
    """

    def __init__(
        self, server: str, address: str, shaper: LinkShaper, nearest: Way, let_go: Callable[[], object]
    ) -> None:
        probe = make_probe()
        greeting = tensor_transport_pb2.CarryGreeting(shared_memory_probe=probe.name if probe else "")
        self._content = bytes(probe.memory).decode() if probe else ""
        self.open = False
        self.receiver: TensorReceiver | None = None
        self.budget = ByteBudget(WINDOW_BYTES)
        self.sent_bytes = SENT_BYTES.labels(server)
        self.segments = SegmentPool()
        name = f"server {server!r} ({address})"
        self._nearest = nearest
        self.connection = Connection(name, server, address, shaper, greeting, self._by_socket, self._broken)
        self._let_go = let_go
        if probe is not None:
            self.connection.welcome.add_done_callback(lambda _: probe.unname())
        self.connection.welcome.add_done_callback(self._welcomed)

    async def wait_until_open(self) -> None:
        """Wait until the receiver has welcomed us; raises ServerUnavailableError where it does not."""
        # Others may be waiting for it too.
        await asyncio.shield(self.connection.welcome)

    def _here(self, welcome: tensor_transport_pb2.CarryWelcome) -> TensorReceiver | None:
        return receiver_in_this_process(welcome.receiver) if self._nearest >= Way.SAME_PROCESS else None

    def _by_socket(self, welcome: tensor_transport_pb2.CarryWelcome) -> bool:
        return self._nearest >= Way.SOCKET and self._here(welcome) is None

    def _welcomed(self, welcome: "asyncio.Future[tensor_transport_pb2.CarryWelcome]") -> None:
        self.open = not welcome.cancelled() and welcome.exception() is None
        self.receiver = self._here(welcome.result()) if self.open else None
        # A receiver in this process gets the array itself.
        self.segments.usable = (
            self.open
            and bool(self._content)
            and welcome.result().shared_memory_content == self._content
            and self.receiver is None
        )

    def _broken(self) -> None:
        self.segments.close()
        self._let_go()

    async def close(self) -> None:
        """End the connection."""
        await self.connection.close()
        # Its task may have been cancelled before it began.
        self.segments.close()


class TensorSender:
    """The outlet of this process's services: keeps one connection to every receiver. An asynchronous context manager.

    Args:
        shaper: emulated links.
        nearest: the nearest way to take, for measuring the others.
    """

    def __init__(self, shaper: LinkShaper, nearest: Way = Way.SAME_PROCESS) -> None:
        self._shaper = shaper
        self._nearest = nearest
        self._peers: dict[tuple[str, str], _Peer] = {}
        # One tensor of a request after the other, as on a connection.
        self._orders: WeakValueDictionary[tuple[str, RequestKey], asyncio.Lock] = WeakValueDictionary()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections; what is under way fails."""
        peers, self._peers = self._peers, {}
        await asyncio.gather(*(peer.close() for peer in peers.values()))

    async def run(
        self, server: str, address: str, key: RequestKey, seconds: float, alone: bool
    ) -> Sequence[ComponentRun]:
        """Have a server's Inferencer do its part in a request; returns how its components ran when it has.

        The request's inputs follow on the same way. Cancelled, or after ``seconds``, the server frees what it holds.

        Args:
            alone: not together with other requests.

        Raises:
            ServerUnavailableError: the server cannot be reached, or the connection broke.
            PartitaError: why the request failed there.
        """
        part = tensor_transport_pb2.RequestPart()
        part.deployment, part.version, part.request_id = key.deployment, key.version, key.request_id
        part.alone, part.seconds = alone, max(0.0, seconds)
        part.trace.update(outgoing())
        peer = self._peer(server, address)
        try:
            await peer.wait_until_open()
            answer = await peer.connection.ask(tensor_transport_pb2.CarryHeader(part=part).SerializeToString())
        except ServerUnavailableError as error:
            # The server itself tells of others that it cannot reach.
            if peer.connection.broken is None or repr(server) in str(error):
                raise
            raise _named(error, server, address) from error
        return tuple(map(to_component_run, answer.runs))

    def memory_for(self, server: str, address: str, byte_count: int) -> Bytes | None:
        """Memory that the receiver there sees too: a tensor that is made in it needs no copy on its way.

        ``None`` where there is none, or where it gains nothing. Any thread may ask.
        """
        peer = self._peers.get((server, address))
        return peer.segments.memory(byte_count) if peer is not None and self._shareable(byte_count) else None

    async def to_inferencer(
        self, server: str, address: str, key: RequestKey, name: str, array: Array, compress: bool = False
    ) -> None:
        """Send a tensor to a server's Inferencer; returns when it has taken it.

        Args:
            compress: without loss, for a slow link; it then always goes in chunks.

        Raises:
            ServerUnavailableError: the server cannot be reached, or the connection broke.
        """
        await self._send(server, address, tensor_transport_pb2.DESTINATION_INFERENCER, key, name, array, compress)

    async def to_front_end(
        self, server: str, address: str, key: RequestKey, name: str, array: Array, compress: bool = False
    ) -> None:
        """Send a model output to the device's FrontEnd; returns when it has taken it.

        Args:
            compress: see ``to_inferencer``.

        Raises:
            ServerUnavailableError: the device cannot be reached, or the connection broke.
        """
        await self._send(server, address, tensor_transport_pb2.DESTINATION_FRONT_END, key, name, array, compress)

    async def to_monitor(self, server: str, address: str, array: Array, compress: bool = False) -> None:
        """Send a tensor to a server's ServerMonitor, as it would go to its Inferencer; returns when it has arrived.

        Args:
            compress: see ``to_inferencer``.

        Raises:
            ServerUnavailableError: the server cannot be reached, or the connection broke.
            DeadlineExceededError: it took longer than ``PROBE_TIMEOUT_SECONDS``.
        """
        destination = tensor_transport_pb2.DESTINATION_SERVER_MONITOR
        key = RequestKey("", 0, "")
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                await self._send(server, address, destination, key, "probe", array, compress)
        except TimeoutError:
            raise DeadlineExceededError(
                f"server {server!r} ({address}) did not answer in time: {array.nbytes} bytes were not taken within "
                f"{PROBE_TIMEOUT_SECONDS:g} s; check the link to it and its load"
            ) from None

    async def _send(
        self,
        server: str,
        address: str,
        destination: tensor_transport_pb2.Destination.ValueType,
        key: RequestKey,
        name: str,
        array: Array,
        compress: bool,
    ) -> None:
        """Send a tensor; whoever has it sent sees to it that this ends, for a request by its deadline."""
        peer = self._peer(server, address)
        try:
            if not peer.open:
                await peer.wait_until_open()
            if peer.receiver is not None and not compress:
                async with self._shaper.round_trip(server):
                    await self._pace(server, key, array.nbytes)
                    await peer.receiver.take(destination, key, name, array)
                return
            start = announcement(destination, key, name, array)
            await peer.budget.take(array.nbytes)
            try:
                # Where nothing is delayed, even a context that does nothing takes time.
                if self._shaper.shapes(server):
                    async with self._shaper.round_trip(server):
                        await self._carry(peer, server, key, start, array, compress)
                else:
                    await self._carry(peer, server, key, start, array, compress)
            finally:
                peer.budget.give_back(array.nbytes)
        except ServerUnavailableError as error:
            if repr(server) in str(error):
                raise
            raise _named(error, server, address) from error

    def _peer(self, server: str, address: str) -> _Peer:
        key = (server, address)
        if key not in self._peers:
            self._peers[key] = _Peer(server, address, self._shaper, self._nearest, lambda: self._peers.pop(key, None))
        return self._peers[key]

    async def _carry(
        self, peer: _Peer, server: str, key: RequestKey, start: bytes, array: Array, compress: bool
    ) -> None:
        data = raw_bytes(array)
        segment = peer.segments.put(data) if self._shareable(data.nbytes) and not compress else None
        if segment is not None:
            try:
                await self._carry_in(segment, peer, server, key, start, data.nbytes)
                return
            except SegmentRefusedError:
                peer.segments.close()
        taken = peer.connection.send(key.request_id, start, data, compressed_items=array.itemsize if compress else 0)
        # Before the answer there is time for it.
        peer.sent_bytes.inc(data.nbytes)
        await taken

    async def _carry_in(
        self, segment: Segment, peer: _Peer, server: str, key: RequestKey, start: bytes, byte_count: int
    ) -> None:
        try:
            await self._pace(server, key, byte_count)
        except asyncio.CancelledError:
            segment.release()
            raise
        try:
            taken = peer.connection.send(key.request_id, start + lies_in(segment.message), unsent=segment.release)
            peer.sent_bytes.inc(byte_count)
            await taken
        except (PartitaError, SegmentRefusedError):
            segment.file.unname()
            raise
        segment.file.unname()

    def _shareable(self, byte_count: int) -> bool:
        return self._nearest >= Way.SHARED_MEMORY and byte_count >= LEAST_BYTES

    async def _pace(self, server: str, key: RequestKey, byte_count: int) -> None:
        """Wait as long as the bytes take on an emulated link, in turns with other requests' as chunks would."""
        if not self._shaper.shapes(server):
            return
        sent = self._shaper.transfer(server)
        step = chunk_bytes(byte_count)
        async with self._orders.setdefault((server, key), asyncio.Lock()):
            for start in range(0, byte_count, step):
                await sent(min(step, byte_count - start))


def _named(error: ServerUnavailableError, server: str, address: str) -> ServerUnavailableError:
    """The error of a server that cannot be reached, which says what server it is."""
    return ServerUnavailableError(f"server {server!r} ({address}): {error}")
