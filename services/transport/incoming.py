"""One sender's tensors as they come in: over its gRPC call, or over the socket that belongs to it."""

import asyncio
import socket
from collections.abc import AsyncIterator

from core.buffers import Bytes
from partita.v1 import tensor_transport_pb2
from services.transport.arrivals import Arrivals, Intake
from services.transport.frames import Frame
from services.transport.message_socket import MessageSocket
from services.transport.shared_memory import read_probe


class SocketArrivals:
    """What comes over one socket, which is answered there."""

    def __init__(self, connection: socket.socket, intake: Intake) -> None:
        self._arrivals = Arrivals(intake, self._answer)
        self._header = tensor_transport_pb2.CarryHeader()
        self._socket = MessageSocket(connection, self._begin, self._finish)
        self._socket.closed.add_done_callback(lambda _: self._arrivals.forget_all())

    async def wait_until_empty(self) -> None:
        """Wait until all that was begun has been handed over, and answered."""
        await self._arrivals.wait_until_empty()
        await self._socket.wait_until_sent()

    async def close(self) -> None:
        """End the connection, and forget all that has not been handed over."""
        self._socket.close()
        await self._arrivals.close()

    def _begin(self, header: bytes, data_bytes: int) -> Bytes | None:
        self._header = tensor_transport_pb2.CarryHeader.FromString(header)
        return self._arrivals.begin(self._header, data_bytes)

    def _finish(self) -> None:
        self._arrivals.finish(self._header)

    def _answer(self, answer: tensor_transport_pb2.CarryResponse) -> None:
        unsent = self._socket.write(answer.SerializeToString())
        if unsent is not None:
            # Who takes no answers gives us no more to answer.
            self._socket.pause()
            unsent.add_done_callback(lambda _: self._socket.resume())


class Incoming:
    """One sender's call, and its socket.

    Args:
        intake: what it shares with others.
        offer: the socket that the sender may open, if it may.
    """

    def __init__(self, intake: Intake, offer: tensor_transport_pb2.TensorSocket | None = None) -> None:
        self._intake = intake
        self.offer = offer
        self._answers: asyncio.Queue[tensor_transport_pb2.CarryResponse | None] = asyncio.Queue()
        self._arrivals = Arrivals(intake, self._answers.put_nowait)
        self._socket: SocketArrivals | None = None
        self._ended = False

    def attach(self, connection: socket.socket) -> None:
        """Take in what comes over the sender's socket too."""
        if self._ended:
            connection.close()
        else:
            self._socket = SocketArrivals(connection, self._intake)

    async def read(self, requests: AsyncIterator[Frame]) -> None:
        """Take in what comes over the call until the sender ends it."""
        try:
            async for frame in requests:
                header = tensor_transport_pb2.CarryHeader.FromString(frame.header)
                if header.HasField("greeting"):
                    self._welcome(header.greeting)
                    continue
                place = self._arrivals.begin(header, frame.data.nbytes)
                if place is not None:
                    place.data[:] = frame.data
                    self._arrivals.finish(header)
        finally:
            self._answers.put_nowait(None)

    async def answers(self) -> AsyncIterator[tensor_transport_pb2.CarryResponse]:
        """What to tell the sender on the call."""
        while (answer := await self._answers.get()) is not None:
            yield answer

    async def stop_in_order(self) -> None:
        """End the call when the process is to stop and all tensors begun have been handed over."""
        await self._intake.stopping.wait()
        await self._arrivals.wait_until_empty()
        if self._socket is not None:
            await self._socket.wait_until_empty()
        self._answers.put_nowait(None)

    async def close(self) -> None:
        """Forget all that has not been handed over."""
        self._ended = True
        try:
            if self._socket is not None:
                await self._socket.close()
        finally:
            await self._arrivals.close()

    def _welcome(self, greeting: tensor_transport_pb2.CarryGreeting) -> None:
        welcome = tensor_transport_pb2.CarryWelcome(
            receiver=self._intake.identity,
            shared_memory_content=read_probe(greeting.shared_memory_probe),
            socket=self.offer,
        )
        self._answers.put_nowait(tensor_transport_pb2.CarryResponse(welcome=welcome))
