"""The sending end of a stream: tensors take turns, chunk by chunk, until each is answered."""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import grpc

from core.errors import ERROR_TYPES, InternalError, PartitaError, ServerUnavailableError
from inferencer.compression import BLOCK_BYTES, compress
from partita.v1 import tensor_transport_pb2
from services.runtime.channels import TRANSPORT_OPTIONS
from services.runtime.errors import typed_errors
from services.runtime.shaping import LinkShaper
from services.transport.frames import Frame, to_bytes

logger = logging.getLogger(__name__)

LEAST_CHUNK_BYTES, MOST_CHUNK_BYTES = 2**18, 2**20
"""Bytes of one chunk: each costs both ends time, but on slow links a tensor waits for one chunk of each other."""

_STEP_BYTES = 2**12
"""Chunks are whole pages, and so whole values."""

NO_DATA = memoryview(b"")

METHOD = "/partita.v1.TensorTransport/Carry"


class SegmentRefusedError(Exception):
    """The receiver could not map a segment of shared memory."""


def chunk_bytes(byte_count: int) -> int:
    """Bytes of each chunk of a tensor: a quarter of it within bounds, so that the ends work side by side."""
    return min(MOST_CHUNK_BYTES, max(LEAST_CHUNK_BYTES, -(-byte_count // (4 * _STEP_BYTES)) * _STEP_BYTES))


class _Outgoing:
    """A tensor on its way: what is left of it."""

    def __init__(
        self,
        number: int,
        announcement: tensor_transport_pb2.TensorAnnouncement,
        data: memoryview,
        compressed_items: int,
    ) -> None:
        self.number = number
        self._announcement: tensor_transport_pb2.TensorAnnouncement | None = announcement
        self._data = data
        self._compressed_items = compressed_items
        self._chunk_bytes = min(BLOCK_BYTES, chunk_bytes(data.nbytes)) if compressed_items else chunk_bytes(data.nbytes)
        self._offset = 0

    @property
    def begun(self) -> bool:
        """Whether its announcement is on the way."""
        return self._announcement is None

    @property
    def finished(self) -> bool:
        """Whether nothing is left to send."""
        return self.begun and self._offset >= self._data.nbytes

    async def next_frame(self) -> Frame:
        """What comes next: the announcement with the first chunk, then chunk after chunk."""
        header = tensor_transport_pb2.CarryHeader(
            tensor=self.number, offset=self._offset, announcement=self._announcement
        )
        self._announcement = None
        data = self._data[self._offset : self._offset + self._chunk_bytes]
        self._offset += data.nbytes
        if self._compressed_items and data.nbytes:
            smaller = await asyncio.to_thread(compress, data, self._compressed_items)
            if smaller is not None:
                header.decompressed_bytes, data = data.nbytes, memoryview(smaller)
        return Frame(header, data)


class Connection:
    """One open stream to a receiver. It is opened at once, and useless once ``broken`` is set.

    Args:
        peer: who is at the other end, in words.
        server: its server, for emulated links.
        address: its ``host:port``.
        greeting: the first message.
        let_go: called when the stream has broken.

    Attributes:
        welcome: the answer to the greeting, when it has come.
        broken: why nothing can be sent any more.
    """

    def __init__(
        self,
        peer: str,
        server: str,
        address: str,
        shaper: LinkShaper,
        greeting: tensor_transport_pb2.CarryGreeting,
        let_go: Callable[[], None],
    ) -> None:
        self._peer = peer
        self._server = server
        self._address = address
        self._shaper = shaper
        self._greeting = greeting
        self._let_go = let_go
        self._numbers = itertools.count(1)
        self._control: deque[Frame] = deque()
        self._outgoing: deque[_Outgoing] = deque()
        self._waiting = asyncio.Event()
        self._answers: dict[int, asyncio.Future[None]] = {}
        self.welcome: asyncio.Future[tensor_transport_pb2.CarryWelcome] = asyncio.get_running_loop().create_future()
        self.broken: PartitaError | None = None
        self._task = asyncio.create_task(self._run())

    async def send(
        self,
        announcement: tensor_transport_pb2.TensorAnnouncement,
        data: memoryview = NO_DATA,
        unsent: Callable[[], None] | None = None,
        compressed_items: int = 0,
    ) -> None:
        """Send a tensor; returns when the receiver has taken it. Cancelled, the receiver is told to forget it.

        Args:
            announcement: what it is.
            data: its bytes, none where they lie in shared memory.
            unsent: called where not even the announcement went out.
            compressed_items: size of a value of a tensor that is to be compressed; 0: it is not.

        Raises:
            PartitaError: as which the receiver refused it.
            SegmentRefusedError: the receiver could not map the segment announced.
            ServerUnavailableError: the stream broke.
        """
        if self.broken is not None:
            raise self.broken
        outgoing = _Outgoing(next(self._numbers), announcement, data, compressed_items)
        answer = self._answers[outgoing.number] = asyncio.get_running_loop().create_future()
        self._outgoing.append(outgoing)
        self._waiting.set()
        try:
            await answer
        finally:
            del self._answers[outgoing.number]
            with suppress(ValueError):
                self._outgoing.remove(outgoing)
            if not outgoing.begun and unsent is not None:
                unsent()
            if outgoing.begun and answer.cancelled():
                header = tensor_transport_pb2.CarryHeader(tensor=outgoing.number, cancelled=True)
                self._control.append(Frame(header, NO_DATA))
                self._waiting.set()

    async def close(self) -> None:
        """End the stream; what is under way fails."""
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
        except PartitaError as failed:
            error = ServerUnavailableError(f"the connection to {self._peer} broke ({failed}); try again")
        finally:
            self._break(error)

    async def _carry(self, call: "grpc.aio.StreamStreamCall[Frame, tensor_transport_pb2.CarryResponse]") -> None:
        await call.write(Frame(tensor_transport_pb2.CarryHeader(greeting=self._greeting), NO_DATA))
        writing: asyncio.Task[None] | None = None
        try:
            async for response in call:
                if writing is None:
                    self.welcome.set_result(response.welcome)
                    writing = asyncio.create_task(self._write(call))
                else:
                    self._take(response)
        finally:
            if writing is not None:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
            call.cancel()

    async def _write(self, call: "grpc.aio.StreamStreamCall[Frame, tensor_transport_pb2.CarryResponse]") -> None:
        try:
            while True:
                await self._waiting.wait()
                sent = self._shaper.transfer(self._server)
                async for frame in self._frames():
                    await sent(frame.data.nbytes)
                    await call.write(frame)
                self._waiting.clear()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The call has ended: its reader says why.
            return
        except Exception:
            logger.exception("sending tensors to %s failed", self._peer)
            call.cancel()

    async def _frames(self) -> AsyncIterator[Frame]:
        """What is to be sent: one chunk of each tensor in turn, until nothing is left."""
        while self._control or self._outgoing:
            if self._control:
                yield self._control.popleft()
                continue
            outgoing = self._outgoing[0]
            frame = await outgoing.next_frame()
            with suppress(ValueError):
                # It may have been cancelled meanwhile.
                self._outgoing.remove(outgoing)
                if not outgoing.finished:
                    self._outgoing.append(outgoing)
            yield frame

    def _take(self, response: tensor_transport_pb2.CarryResponse) -> None:
        answer = self._answers.get(response.tensor)
        if answer is None or answer.done():
            return
        if response.segment_refused:
            answer.set_exception(SegmentRefusedError(response.message))
        elif response.error:
            answer.set_exception(ERROR_TYPES.get(response.error, InternalError)(response.message))
        else:
            answer.set_result(None)

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
