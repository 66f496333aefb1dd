"""The tensors of one stream at the receiving end: built in place, handed over and answered."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import numpy as np

from core.buffers import BufferPool, as_tensor
from core.deployment import RequestKey
from core.errors import InternalError, InvalidArgumentError, PartitaError, ServerUnavailableError
from core.tensors import Array, TensorSpec
from inferencer.compression import decompress
from partita.v1 import tensor_transport_pb2
from services.runtime.streams import ChunkSequence, to_spec
from services.transport.frames import Frame
from services.transport.shared_memory import MappedSegments, SegmentError, read_probe

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sink:
    """A service that takes tensors.

    Attributes:
        expected: refuses, by raising, a tensor that is not wanted, before any of it is taken.
        receive: takes it, at once or when what it returns has been waited for.
    """

    expected: Callable[[RequestKey, TensorSpec], None]
    receive: Callable[[RequestKey, str, Array], Awaitable[None] | None]


@dataclass(frozen=True)
class Intake:
    """What all streams of a receiver share.

    Attributes:
        identity: of the receiver.
        sink: finds who takes tensors for a destination; raises FailedPreconditionError where nobody does.
        buffers: memory for tensors that come in chunks.
        limit_bytes: largest tensor that is accepted.
        stopping: set when no new tensors are taken any more.
    """

    identity: str
    sink: Callable[[tensor_transport_pb2.Destination.ValueType], Sink]
    buffers: BufferPool
    limit_bytes: int
    stopping: asyncio.Event


class _Arriving(ChunkSequence):
    """A tensor of which chunks are still to come."""

    def __init__(self, sink: Sink, key: RequestKey, spec: TensorSpec, intake: Intake) -> None:
        super().__init__(f"tensor {spec.name!r}", spec.byte_count, intake.limit_bytes)
        self.sink = sink
        self.key = key
        self.spec = spec
        self.memory = intake.buffers.take(spec.byte_count)
        self._item_bytes = np.dtype(spec.dtype).itemsize

    def put(self, offset: int, data: memoryview, decompressed_bytes: int) -> None:
        """Take the next chunk; raises as ``ChunkSequence.advance`` and, where it is compressed, ``decompress`` do."""
        byte_count = decompressed_bytes or data.nbytes
        self.advance(offset, byte_count)
        place = self.memory[offset : offset + byte_count]
        if decompressed_bytes:
            decompress(data, place, self._item_bytes)
        else:
            place[:] = np.frombuffer(data, np.uint8)


class Arrivals:
    """One stream's tensors, from their announcement to their answer."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._segments = MappedSegments()
        self._arriving: dict[int, _Arriving] = {}
        self._delivering: dict[int, asyncio.Task[None]] = {}
        self._answers: asyncio.Queue[tensor_transport_pb2.CarryResponse | None] = asyncio.Queue()
        self._emptied = asyncio.Event()

    async def read(self, requests: AsyncIterator[Frame]) -> None:
        """Take in what comes until the sender ends the stream."""
        try:
            async for frame in requests:
                if frame.header.HasField("greeting"):
                    self._welcome(frame.header.greeting)
                elif frame.header.cancelled:
                    self._forget(frame.header.tensor)
                else:
                    self._take(frame)
        finally:
            self._answers.put_nowait(None)

    async def answers(self) -> AsyncIterator[tensor_transport_pb2.CarryResponse]:
        """What to tell the sender."""
        while (answer := await self._answers.get()) is not None:
            yield answer

    async def stop_in_order(self) -> None:
        """End the stream when the process is to stop and all tensors begun have been handed over."""
        await self._intake.stopping.wait()
        while self._arriving or self._delivering:
            self._emptied.clear()
            await self._emptied.wait()
        self._answers.put_nowait(None)

    async def close(self) -> None:
        """Forget all that has not been handed over."""
        self._arriving.clear()
        tasks = list(self._delivering.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _welcome(self, greeting: tensor_transport_pb2.CarryGreeting) -> None:
        welcome = tensor_transport_pb2.CarryWelcome(
            receiver=self._intake.identity, shared_memory_content=read_probe(greeting.shared_memory_probe)
        )
        self._answers.put_nowait(tensor_transport_pb2.CarryResponse(welcome=welcome))

    def _take(self, frame: Frame) -> None:
        number = frame.header.tensor
        try:
            if frame.header.HasField("announcement"):
                self._open(number, frame.header.announcement)
            arriving = self._arriving.get(number)
            # The rest of a tensor that was refused may still be on the way.
            if arriving is not None:
                arriving.put(frame.header.offset, frame.data, frame.header.decompressed_bytes)
                if arriving.complete:
                    del self._arriving[number]
                    array = as_tensor(arriving.memory, arriving.spec)
                    self._deliver(number, arriving.sink, arriving.key, arriving.spec.name, array)
                    self._emptied.set()
        except SegmentError as error:
            answer = tensor_transport_pb2.CarryResponse(tensor=number, segment_refused=True, message=str(error))
            self._answers.put_nowait(answer)
        except Exception as error:  # noqa: BLE001 - the border: nothing may pass untyped, nor end the stream
            self._refuse(number, error)

    def _open(self, number: int, announcement: tensor_transport_pb2.TensorAnnouncement) -> None:
        """Check a tensor before any memory is taken for it."""
        shared = announcement.HasField("segment")
        # Even where it is refused, the sender may use the segment again.
        memory = self._segments.view(announcement.segment) if shared else None
        if number in self._arriving or number in self._delivering:
            raise InvalidArgumentError(f"tensor number {number} was announced before; use each number once")
        if self._intake.stopping.is_set():
            raise ServerUnavailableError("the server is stopping; send the request elsewhere")
        key = RequestKey(announcement.deployment, announcement.version, announcement.request_id)
        spec = to_spec(announcement.tensor)
        sink = self._intake.sink(announcement.destination)
        sink.expected(key, spec)
        if memory is None:
            self._arriving[number] = _Arriving(sink, key, spec, self._intake)
        else:
            self._deliver(number, sink, key, spec.name, as_tensor(memory[: spec.byte_count], spec))

    def _deliver(self, number: int, sink: Sink, key: RequestKey, name: str, array: Array) -> None:
        taken = sink.receive(key, name, array)
        if taken is None:
            self._answers.put_nowait(tensor_transport_pb2.CarryResponse(tensor=number))
        else:
            self._delivering[number] = asyncio.create_task(self._hand_over(number, taken))

    async def _hand_over(self, number: int, taken: Awaitable[None]) -> None:
        try:
            await taken
        except Exception as error:  # noqa: BLE001 - the border: nothing may pass untyped
            self._refuse(number, error)
        else:
            self._answers.put_nowait(tensor_transport_pb2.CarryResponse(tensor=number))
        finally:
            del self._delivering[number]
            self._emptied.set()

    def _forget(self, number: int) -> None:
        self._arriving.pop(number, None)
        task = self._delivering.get(number)
        if task is not None:
            task.cancel()
        self._emptied.set()

    def _refuse(self, number: int, error: Exception) -> None:
        self._arriving.pop(number, None)
        self._emptied.set()
        if not isinstance(error, PartitaError):
            logger.error("taking a tensor failed unexpectedly", exc_info=error)
            error = InternalError(f"taking a tensor failed ({type(error).__name__}: {error}); see the server's log")
        self._answers.put_nowait(
            tensor_transport_pb2.CarryResponse(tensor=number, error=type(error).__name__, message=str(error))
        )
