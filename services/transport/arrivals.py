"""The tensors of one sender at the receiving end, and its parts in requests: built in place, handed over, answered."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.buffers import BufferPool, Bytes, as_tensor
from core.deployment import ComponentRun, RequestKey
from core.errors import (
    DeadlineExceededError,
    InternalError,
    InvalidArgumentError,
    PartitaError,
    ServerUnavailableError,
)
from core.tensors import Array, TensorSpec
from inferencer.compression import decompress
from partita.v1 import tensor_transport_pb2
from services.convert import from_component_run
from services.runtime.streams import ChunkSequence, to_spec
from services.transport.shared_memory import MappedSegments, SegmentError

logger = logging.getLogger(__name__)

MESSAGE_LIMIT = 2**14
"""Most characters of an error that a sender is told."""


@dataclass(frozen=True)
class Sink:
    """A service that takes tensors.

    Attributes:
        expected: refuses, by raising, a tensor that is not wanted, before any of it is taken.
        receive: takes it, at once or when what it returns has been awaited.
    """

    expected: Callable[[RequestKey, TensorSpec], None]
    receive: Callable[[RequestKey, str, Array], Coroutine[Any, Any, None] | None]


@dataclass(frozen=True)
class Intake:
    """What all senders to a receiver share.

    Attributes:
        identity: of the receiver.
        sink: finds who takes tensors for a destination; raises FailedPreconditionError where nobody does.
        part: does this process's part in a request, alone or not, with what its span carries; raises the same.
        buffers: memory for tensors that come in chunks.
        limit_bytes: largest tensor that is accepted.
        stopping: set when no new tensors are taken any more.
    """

    identity: str
    sink: Callable[[tensor_transport_pb2.Destination.ValueType], Sink]
    part: Callable[[RequestKey, bool, Mapping[str, str]], Awaitable[Sequence[ComponentRun]]]
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
        self._compressed: Bytes | None = None

    def place(self, offset: int, byte_count: int, decompressed_bytes: int) -> Bytes:
        """Where the next chunk's bytes are to go; raises as ``ChunkSequence.advance`` does."""
        self.advance(offset, decompressed_bytes or byte_count)
        self._compressed = np.empty(byte_count, np.uint8) if decompressed_bytes else None
        return self.memory[offset : self.received] if self._compressed is None else self._compressed

    def placed(self, offset: int) -> None:
        """Note that they are there; raises as ``decompress`` does where they are compressed."""
        if self._compressed is not None:
            place = self.memory[offset : self.received]
            decompress(self._compressed.data, place, np.dtype(self.spec.dtype).itemsize)
            self._compressed = None


class Arrivals:
    """One sender's tensors, from their announcement to their answer.

    Args:
        intake: what it shares with others.
        answer: tells the sender something.
    """

    def __init__(self, intake: Intake, answer: Callable[[tensor_transport_pb2.CarryResponse], None]) -> None:
        self._intake = intake
        self._answer = answer
        self._segments = MappedSegments()
        self._arriving: dict[int, _Arriving] = {}
        self._delivering: dict[int, asyncio.Task[None]] = {}
        self._emptied = asyncio.Event()

    def begin(self, header: tensor_transport_pb2.CarryHeader, byte_count: int) -> Bytes | None:
        """Take in a message up to its data.

        Returns:
            Where its ``byte_count`` bytes of data, none perhaps, are to go before ``finish``; ``None`` where nobody
            wants them, as of a tensor that was refused.
        """
        number = header.tensor
        if header.cancelled:
            self._forget(number)
            return None
        try:
            if header.HasField("announcement"):
                self._open(number, header.announcement)
            elif header.HasField("part"):
                self._check_new(number)
                self._answer_later(number, self._do(header.part))
            arriving = self._arriving.get(number)
            if arriving is not None:
                return arriving.place(header.offset, byte_count, header.decompressed_bytes)
        except SegmentError as error:
            answer = tensor_transport_pb2.CarryResponse(tensor=number, segment_refused=True, message=str(error))
            self._answer(answer)
        except Exception as error:  # noqa: BLE001 - the border: nothing may pass untyped, nor end the connection
            self._refuse(number, error)
        return None

    def finish(self, header: tensor_transport_pb2.CarryHeader) -> None:
        """Take in a message's data, which are where ``begin`` said."""
        number = header.tensor
        arriving = self._arriving.get(number)
        if arriving is None:
            return
        try:
            arriving.placed(header.offset)
            if arriving.complete:
                del self._arriving[number]
                array = as_tensor(arriving.memory, arriving.spec)
                self._deliver(number, arriving.sink, arriving.key, arriving.spec.name, array)
                self._emptied.set()
        except Exception as error:  # noqa: BLE001 - the border: nothing may pass untyped, nor end the connection
            self._refuse(number, error)

    async def wait_until_empty(self) -> None:
        """Wait until all tensors begun have been handed over."""
        while self._arriving or self._delivering:
            self._emptied.clear()
            await self._emptied.wait()

    def forget_all(self) -> None:
        """Forget all that has not been handed over."""
        self._arriving.clear()
        for task in self._delivering.values():
            task.cancel()
        self._emptied.set()

    async def close(self) -> None:
        """Forget all that has not been handed over; when this returns, nobody is at it any more."""
        self.forget_all()
        await asyncio.gather(*self._delivering.values(), return_exceptions=True)

    def _open(self, number: int, announcement: tensor_transport_pb2.TensorAnnouncement) -> None:
        """Check a tensor before any memory is taken for it."""
        shared = announcement.HasField("segment")
        # Even where it is refused, the sender may use the segment again.
        memory = self._segments.view(announcement.segment) if shared else None
        self._check_new(number)
        key = RequestKey(announcement.deployment, announcement.version, announcement.request_id)
        spec = to_spec(announcement.tensor)
        sink = self._intake.sink(announcement.destination)
        sink.expected(key, spec)
        if memory is None:
            self._arriving[number] = _Arriving(sink, key, spec, self._intake)
        else:
            self._deliver(number, sink, key, spec.name, as_tensor(memory[: spec.byte_count], spec))

    def _check_new(self, number: int) -> None:
        if number in self._arriving or number in self._delivering:
            raise InvalidArgumentError(f"number {number} was announced before; use each number once")
        if self._intake.stopping.is_set():
            raise ServerUnavailableError("the server is stopping; send the request elsewhere")

    async def _do(self, part: tensor_transport_pb2.RequestPart) -> Sequence[ComponentRun]:
        key = RequestKey(part.deployment, part.version, part.request_id)
        # The event loop would end by it.
        if math.isnan(part.seconds):
            raise InvalidArgumentError(f"request {key.request_id} has {part.seconds} s left; send a number of seconds")
        try:
            async with asyncio.timeout(part.seconds) as limit:
                return await self._intake.part(key, part.alone, part.trace)
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceededError(f"request {key.request_id} was not done within {part.seconds:g} s") from None

    def _deliver(self, number: int, sink: Sink, key: RequestKey, name: str, array: Array) -> None:
        taken = sink.receive(key, name, array)
        if taken is None:
            self._answer(tensor_transport_pb2.CarryResponse(tensor=number))
        else:
            self._answer_later(number, taken)

    def _answer_later(self, number: int, work: Coroutine[Any, Any, Sequence[ComponentRun] | None]) -> None:
        def ended(_: asyncio.Task[None]) -> None:
            # It may have been cancelled before it began.
            work.close()
            del self._delivering[number]
            self._emptied.set()

        task = self._delivering[number] = asyncio.create_task(self._answer_when_done(number, work))
        task.add_done_callback(ended)

    async def _answer_when_done(self, number: int, work: Coroutine[Any, Any, Sequence[ComponentRun] | None]) -> None:
        try:
            runs = await work or ()
        except Exception as error:  # noqa: BLE001 - the border: nothing may pass untyped
            self._refuse(number, error)
        else:
            self._answer(tensor_transport_pb2.CarryResponse(tensor=number, runs=map(from_component_run, runs)))

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
            logger.error("a tensor or a part in a request failed unexpectedly", exc_info=error)
            error = InternalError(
                f"a tensor or a part in a request failed unexpectedly ({type(error).__name__}: {error}); see the "
                "server's log"
            )
        message = str(error)[:MESSAGE_LIMIT]
        logger.info("a tensor or a part in a request ended with %s: %s", type(error).__name__, message)
        self._answer(tensor_transport_pb2.CarryResponse(tensor=number, error=type(error).__name__, message=message))
