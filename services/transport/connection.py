"""The sending end: requests take turns, chunk by chunk, and of one tensor follows tensor, until each is answered."""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Awaitable, Callable

import grpc

from core.errors import ERROR_TYPES, InternalError, PartitaError, ServerUnavailableError, TooLargeError
from inferencer.compression import BLOCK_BYTES, compress
from partita.v1 import tensor_transport_pb2
from services.runtime.channels import TRANSPORT_OPTIONS
from services.runtime.errors import typed_errors
from services.runtime.shaping import LinkShaper
from services.transport.frames import Frame, to_bytes
from services.transport.headers import compressed_from, numbered
from services.transport.message_socket import HEADER_LIMIT_BYTES, NO_DATA
from services.transport.wires import Call, CallWire, NoSocketError, SocketWire, Wire, open_socket

logger = logging.getLogger(__name__)

LEAST_CHUNK_BYTES, MOST_CHUNK_BYTES = 2**18, 2**20
"""Bytes of one chunk: each costs both ends time, but on slow links a tensor waits for one chunk of each other."""

_STEP_BYTES = 2**12
"""Chunks are whole pages, and so whole values."""

ANNOUNCEMENT_LIMIT_BYTES = HEADER_LIMIT_BYTES // 2
"""Longest announcement of a tensor: names, shape and segments."""

METHOD = "/partita.v1.TensorTransport/Carry"


class SegmentRefusedError(Exception):
    """The receiver could not map a segment of shared memory."""


def chunk_bytes(byte_count: int) -> int:
    """Bytes of each chunk of a tensor: a quarter of it within bounds, so that the ends work side by side."""
    return min(MOST_CHUNK_BYTES, max(LEAST_CHUNK_BYTES, -(-byte_count // (4 * _STEP_BYTES)) * _STEP_BYTES))


class _Outgoing:
    """A tensor on its way: what is left of it."""

    def __init__(self, number: int, request: str, announcement: bytes, data: memoryview, compressed_items: int) -> None:
        self.number = number
        self.request = request
        self._announcement = announcement
        self._data = data
        self.compressed_items = compressed_items
        self._chunk_bytes = min(BLOCK_BYTES, chunk_bytes(data.nbytes)) if compressed_items else chunk_bytes(data.nbytes)
        self._offset = 0

    @property
    def begun(self) -> bool:
        """Whether its announcement is on the way."""
        return not self._announcement

    @property
    def finished(self) -> bool:
        """Whether nothing is left to send."""
        return self.begun and self._offset >= self._data.nbytes

    def next_frame(self) -> Frame:
        """What comes next: the announcement with the first chunk, then chunk after chunk."""
        header = self._announcement or numbered(self.number, self._offset)
        self._announcement = b""
        data = self._data[self._offset : self._offset + self._chunk_bytes]
        self._offset += data.nbytes
        return Frame(header, data)

    async def compressed(self, frame: Frame) -> Frame:
        """The frame as it is to go."""
        if not self.compressed_items or not frame.data.nbytes:
            return frame
        smaller = await asyncio.to_thread(compress, frame.data, self.compressed_items)
        if smaller is None:
            return frame
        return Frame(frame.header + compressed_from(frame.data.nbytes), memoryview(smaller))


class Connection:
    """The way to a receiver. It is opened at once, and useless once ``broken`` is set.

    Args:
        peer: who is at the other end, in words.
        server: its server, for emulated links.
        address: its ``host:port``.
        greeting: the first message.
        by_socket: whether a receiver with this welcome is to be reached by a socket, where that is possible.
        let_go: called when the connection has broken.

    Attributes:
        welcome: the answer to the greeting, when it has come and what carries tensors is open.
        wire: what carries them, from then on.
        broken: why nothing can be sent any more.
    """

    def __init__(
        self,
        peer: str,
        server: str,
        address: str,
        shaper: LinkShaper,
        greeting: tensor_transport_pb2.CarryGreeting,
        by_socket: Callable[[tensor_transport_pb2.CarryWelcome], bool],
        let_go: Callable[[], None],
    ) -> None:
        self._peer = peer
        self._server = server
        self._address = address
        self._shaper = shaper
        self._greeting = greeting
        self._by_socket = by_socket
        self._let_go = let_go
        self._numbers = itertools.count(1)
        self._control: deque[Frame] = deque()
        self._outgoing: dict[str, deque[_Outgoing]] = {}
        self._waiting = asyncio.Event()
        self._resting = False
        self._unsent: Awaitable[None] | None = None
        self._answers: dict[int, asyncio.Future[tensor_transport_pb2.CarryResponse]] = {}
        self.welcome: asyncio.Future[tensor_transport_pb2.CarryWelcome] = asyncio.get_running_loop().create_future()
        self.wire: Wire | None = None
        self.broken: PartitaError | None = None
        self._task = asyncio.create_task(self._run())

    def send(
        self,
        request: str,
        announcement: bytes,
        data: memoryview = NO_DATA,
        unsent: Callable[[], None] | None = None,
        compressed_items: int = 0,
    ) -> Awaitable[None]:
        """Begin to send a tensor; to be awaited at once, until the receiver has taken it.

        Where that is cancelled, the receiver is told to forget the tensor.

        Args:
            request: identifies the one to which it belongs.
            announcement: of it, as in ``headers``; a number is added here.
            data: its bytes, none where they lie in shared memory.
            unsent: called where not even the announcement went out.
            compressed_items: size of a value of a tensor that is to be compressed; 0: it is not.

        Raises:
            PartitaError: as which the receiver refused it.
            SegmentRefusedError: the receiver could not map the segment announced.
            ServerUnavailableError: the connection broke.
            TooLargeError: the announcement is longer than any receiver takes.
        """
        try:
            number, answer = self._number(len(announcement))
        except PartitaError:
            if unsent is not None:
                unsent()
            raise
        outgoing = _Outgoing(number, request, announcement + numbered(number), data, compressed_items)
        self._outgoing.setdefault(request, deque()).append(outgoing)
        self._write_or_wake()
        return self._until_taken(outgoing, answer, unsent)

    async def _until_taken(
        self,
        outgoing: _Outgoing,
        answer: "asyncio.Future[tensor_transport_pb2.CarryResponse]",
        unsent: Callable[[], None] | None,
    ) -> None:
        try:
            await answer
        finally:
            del self._answers[outgoing.number]
            if not outgoing.finished:
                self._drop(outgoing)
            if not outgoing.begun and unsent is not None:
                unsent()
            if outgoing.begun and answer.cancelled():
                self._send_ahead(numbered(outgoing.number, cancelled=True))

    async def ask(self, header: bytes) -> tensor_transport_pb2.CarryResponse:
        """Send what is no tensor, ahead of all chunks; returns the answer. Cancelled, the receiver is told so.

        Args:
            header: a ``CarryHeader`` as protobuf writes it; a number is added here.

        Raises:
            PartitaError: as ``send`` does.
        """
        number, answer = self._number(len(header))
        self._send_ahead(header + numbered(number))
        try:
            return await answer
        finally:
            del self._answers[number]
            if answer.cancelled():
                self._send_ahead(numbered(number, cancelled=True))

    def _number(self, byte_count: int) -> "tuple[int, asyncio.Future[tensor_transport_pb2.CarryResponse]]":
        """A number for what has a header of so many bytes, and what its answer will be."""
        if self.broken is not None:
            raise self.broken
        if byte_count > ANNOUNCEMENT_LIMIT_BYTES:
            raise TooLargeError(
                f"what announces a tensor has {byte_count} bytes, at most {ANNOUNCEMENT_LIMIT_BYTES} are sent; give it "
                "a shorter name"
            )
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        return number, answer

    def _send_ahead(self, header: bytes) -> None:
        self._control.append(Frame(header, NO_DATA))
        self._write_or_wake()

    async def close(self) -> None:
        """End the connection; what is under way fails."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        error: PartitaError = ServerUnavailableError(f"the connection to {self._peer} was closed; send again")
        try:
            with typed_errors(self._peer):
                async with grpc.aio.insecure_channel(self._address, options=TRANSPORT_OPTIONS) as channel:
                    call = channel.stream_stream(
                        METHOD,
                        request_serializer=to_bytes,
                        response_deserializer=tensor_transport_pb2.CarryResponse.FromString,
                    )()
                    await self._carry(call)
            error = ServerUnavailableError(f"{self._peer} ended the connection; check that it runs and try again")
        except ServerUnavailableError as failed:
            error = failed
        except (PartitaError, OSError) as failed:
            cause = failed.strerror or failed if isinstance(failed, OSError) else failed
            error = ServerUnavailableError(f"the connection to {self._peer} broke ({cause}); try again")
        finally:
            self._break(error)

    async def _carry(self, call: Call) -> None:
        await call.write(Frame(tensor_transport_pb2.CarryHeader(greeting=self._greeting).SerializeToString(), NO_DATA))
        answer = await call.read()
        if not isinstance(answer, tensor_transport_pb2.CarryResponse):
            return
        wire = self.wire = await self._open(call, answer.welcome)
        writing = asyncio.create_task(self._write(wire))
        try:
            self.welcome.set_result(answer.welcome)
            await wire.read(self._take)
        finally:
            self._resting = False
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            wire.close()

    async def _open(self, call: Call, welcome: tensor_transport_pb2.CarryWelcome) -> Wire:
        if self._by_socket(welcome):
            try:
                return SocketWire(await open_socket(self._address, welcome.socket), call)
            except NoSocketError as error:
                logger.info("tensors to %s go by gRPC, which takes more time: %s", self._peer, error)
        return CallWire(call)

    def _write_or_wake(self) -> None:
        """Have what waits written, and begin here and now where nothing is in its way."""
        wire = self.wire if self._resting and not self._shaper.shapes(self._server) else None
        if wire is not None and wire.at_once and (self._control or not self._first().compressed_items):
            self._unsent = wire.write(self._control.popleft() if self._control else self._next()[1])
            if self._unsent is None and not self._outgoing:
                return
        self._resting = False
        self._waiting.set()

    async def _write(self, wire: Wire) -> None:
        try:
            while True:
                self._resting = not (self._control or self._outgoing)
                if self._resting:
                    self._waiting.clear()
                    await self._waiting.wait()
                if self._unsent is not None:
                    await self._unsent
                    self._unsent = None
                await self._write_all(wire)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The call has ended: its reader says why.
            return
        except Exception:
            logger.exception("sending tensors to %s failed", self._peer)
            wire.close()

    async def _write_all(self, wire: Wire) -> None:
        """Send one chunk of each request in turn, until nothing is left."""
        sent = self._shaper.transfer(self._server)
        while self._control or self._outgoing:
            if self._control:
                frame = self._control.popleft()
            else:
                outgoing, frame = self._next()
                frame = await outgoing.compressed(frame)
            # What is in shared memory has been paced already, and its announcement is no second tensor.
            if frame.data.nbytes:
                await sent(frame.data.nbytes)
            # Others are to have their turn, however fast the receiver is.
            await (wire.write(frame) or asyncio.sleep(0))

    def _first(self) -> _Outgoing:
        return next(iter(self._outgoing.values()))[0]

    def _next(self) -> tuple[_Outgoing, Frame]:
        outgoing = self._first()
        frame = outgoing.next_frame()
        tensors = self._outgoing.pop(outgoing.request)
        if outgoing.finished:
            tensors.popleft()
        if tensors:
            # The other requests come first now.
            self._outgoing[outgoing.request] = tensors
        return outgoing, frame

    def _drop(self, outgoing: _Outgoing) -> None:
        tensors = self._outgoing[outgoing.request]
        tensors.remove(outgoing)
        if not tensors:
            del self._outgoing[outgoing.request]

    def _take(self, response: tensor_transport_pb2.CarryResponse) -> None:
        answer = self._answers.get(response.tensor)
        if answer is None or answer.done():
            return
        if response.segment_refused:
            answer.set_exception(SegmentRefusedError(response.message))
        elif response.error:
            answer.set_exception(ERROR_TYPES.get(response.error, InternalError)(response.message))
        else:
            answer.set_result(response)

    def _break(self, error: PartitaError) -> None:
        self.broken = error
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(error)
        if not self.welcome.done():
            self.welcome.set_exception(error)
            # Nobody may be waiting for it.
            self.welcome.exception()
        self._let_go()
