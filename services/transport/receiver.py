"""The receiving end: takes in tensors for the services of this process, from each sender on one connection."""

import asyncio
import uuid
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import grpc

from core.buffers import BufferPool
from core.deployment import ComponentRun, RequestKey
from core.errors import FailedPreconditionError, ServerUnavailableError
from core.tensors import Array
from partita.v1 import tensor_transport_pb2
from services.runtime.handlers import Context
from services.runtime.metrics import counted
from services.runtime.observed import observer
from services.runtime.streams import spec_of
from services.transport.arrivals import Intake, Sink
from services.transport.frames import Frame, from_bytes
from services.transport.incoming import Incoming
from services.transport.tensor_port import TensorPort

Run = Callable[[RequestKey, bool, Callable[[ComponentRun], None]], Coroutine[Any, Any, Sequence[ComponentRun]]]

SERVICE = tensor_transport_pb2.DESCRIPTOR.services_by_name["TensorTransport"].full_name

PART = f"/{SERVICE}/Carry part"
"""As which parts in requests are counted among calls."""


class TensorReceiver:
    """Where tensors arrive in this process.

    Args:
        limit_bytes: largest tensor that is accepted.
        stopping: set when no new tensors are taken any more.
        port: where senders may open sockets, if anywhere.

    Attributes:
        identity: tells senders in this process that they need no stream.
        sinks: who takes tensors.
        run: does this process's part in a request, where it has one.
    """

    def __init__(self, limit_bytes: int, stopping: asyncio.Event, port: TensorPort | None = None) -> None:
        self.identity = uuid.uuid4().hex
        self.sinks: dict[tensor_transport_pb2.Destination.ValueType, Sink] = {}
        self.run: Run | None = None
        self._stopping = stopping
        self._port = port
        self._intake = Intake(self.identity, self._sink, self._part, BufferPool(), limit_bytes, stopping)
        _receivers[self.identity] = self

    def attach_to(self, server: grpc.aio.Server) -> None:
        """Serve on ``server``, which has not started."""
        handler = grpc.stream_stream_rpc_method_handler(
            self.carry,
            request_deserializer=from_bytes,
            response_serializer=tensor_transport_pb2.CarryResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Carry": handler}),))

    async def carry(
        self, requests: AsyncIterator[Frame], context: Context
    ) -> AsyncGenerator[tensor_transport_pb2.CarryResponse]:
        """Serve one sender."""
        with ExitStack() as stack:
            incoming = Incoming(self._intake)
            if self._port is not None:
                incoming.offer = stack.enter_context(self._port.offer(incoming.attach))
            tasks = [asyncio.create_task(incoming.read(requests)), asyncio.create_task(incoming.stop_in_order())]
            try:
                async for answer in incoming.answers():
                    yield answer
            finally:
                for task in tasks:
                    task.cancel()
                try:
                    await asyncio.gather(*tasks, return_exceptions=True)
                finally:
                    # Also where the call is cancelled while it ends.
                    await incoming.close()

    async def take(
        self, destination: tensor_transport_pb2.Destination.ValueType, key: RequestKey, name: str, array: Array
    ) -> None:
        """Take a tensor from a sender in this process: the array itself.

        Raises:
            PartitaError: as which the service refuses it.
        """
        if self._stopping.is_set():
            raise ServerUnavailableError("the server is stopping; send the request elsewhere")
        sink = self._sink(destination)
        sink.expected(key, spec_of(name, array))
        taken = sink.receive(key, name, array)
        if taken is not None:
            await taken

    def drop_all(self) -> None:
        """Take every tensor and do nothing with it: what is measured then is the transport alone."""
        for destination in tensor_transport_pb2.Destination.values():
            self.sinks[destination] = Sink(lambda *_: None, lambda *_: None)

    async def _part(self, key: RequestKey, alone: bool, carried: Mapping[str, str]) -> Sequence[ComponentRun]:
        with counted(PART):
            if self.run is None:
                raise FailedPreconditionError("no Inferencer is in this process; check the address")
            return await self.run(key, alone, observer(key, carried))

    def _sink(self, destination: tensor_transport_pb2.Destination.ValueType) -> Sink:
        if destination not in self.sinks:
            raise FailedPreconditionError(
                f"no service of this process takes tensors for destination {destination}; check the address"
            )
        return self.sinks[destination]


_receivers: "weakref.WeakValueDictionary[str, TensorReceiver]" = weakref.WeakValueDictionary()


def receiver_in_this_process(identity: str) -> TensorReceiver | None:
    """The receiver with this identity, where it is in this very process."""
    return _receivers.get(identity)
