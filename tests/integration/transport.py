"""A process that takes tensors, ways to it, and ways around ours: what the transport's tests share."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from core.deployment import RequestKey
from core.errors import InvalidTensorError
from core.tensors import Array, TensorSpec
from partita.v1.tensor_transport_pb2 import (
    DESTINATION_INFERENCER,
    CarryGreeting,
    CarryHeader,
    CarryRequest,
    CarryResponse,
    TensorAnnouncement,
    TensorSocket,
)
from partita.v1.tensor_transport_pb2_grpc import TensorTransportStub
from partita.v1.types_pb2 import TensorSpec as Spec
from services.runtime.channels import Channels
from services.runtime.server import Binding, serving
from services.runtime.settings import EmulatedLink
from services.runtime.shaping import LinkShaper
from services.transport.arrivals import Sink
from services.transport.receiver import TensorReceiver
from services.transport.sender import TensorSender, Way
from services.transport.tensor_port import TensorPort
from services.transport.wires import open_socket

LIMIT_BYTES = 2**26

WIRES = pytest.mark.parametrize("way", [Way.GRPC, Way.SOCKET])
"""Both that carry chunks."""

LENGTHS = struct.Struct("<II")


class Far:
    """A process that takes tensors, and a test's hand on it."""

    def __init__(self) -> None:
        self.taken: dict[str, Array] = {}
        self.order: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.waiting: set[str] = set()
        self.address = "127.0.0.1:0"
        self.tensor_port = 0
        self.tensor_advertise_port = 0
        self.receiver: TensorReceiver | None = None
        self.binding: Binding | None = None
        self._running = AsyncExitStack()

    def expected(self, key: RequestKey, spec: TensorSpec) -> None:
        if spec.name.startswith("bad"):
            raise InvalidTensorError(f"tensor {spec.name!r} is not wanted; send a good one")
        if spec.name == "broken":
            raise ZeroDivisionError("a bug")

    async def receive(self, key: RequestKey, name: str, array: Array) -> None:
        if name in self.gates:
            self.waiting.add(name)
            try:
                await self.gates[name].wait()
            finally:
                self.waiting.discard(name)
        self.order.append(name)
        self.taken[name] = array

    async def start(self) -> None:
        @asynccontextmanager
        async def service(binding: Binding) -> AsyncIterator[None]:
            self.binding = binding
            self.receiver = binding.receiver(LIMIT_BYTES)
            self.receiver.sinks[DESTINATION_INFERENCER] = Sink(self.expected, self.receive)
            yield

        running = serving(self.address, [service], self.tensor_port, self.tensor_advertise_port)
        self.address = await self._running.enter_async_context(running)

    @property
    def port(self) -> TensorPort:
        assert self.receiver is not None
        assert self.receiver._port is not None
        return self.receiver._port

    @property
    def idle_bytes(self) -> int:
        """Memory of tensors that nobody holds any more."""
        assert self.receiver is not None
        return self.receiver._intake.buffers.idle_bytes

    async def stop(self) -> None:
        await self._running.aclose()


@asynccontextmanager
async def outlet(way: Way = Way.SOCKET, *links: EmulatedLink) -> AsyncIterator[TensorSender]:
    async with TensorSender(LinkShaper(links), way) as sender:
        yield sender


def send(sender: TensorSender, far: Far, name: str, array: Array, request: str = "r") -> asyncio.Task[None]:
    return asyncio.create_task(sender.to_inferencer("far", far.address, RequestKey("app", 1, request), name, array))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


class Cable:
    """A way to another address that can be cut."""

    def __init__(self) -> None:
        self.target = ""
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.passed_bytes = 0

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(2**16):
                self.passed_bytes += len(data)
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.target.rpartition(":")
        there = await asyncio.open_connection(host, int(port))
        self._writers += [writer, there[1]]
        for one, other in ((reader, there[1]), (there[0], writer)):
            self._tasks.append(asyncio.create_task(self._pass(one, other)))

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()
        self.cut()
        await asyncio.gather(*self._tasks)

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


def announced(number: int, name: str, dtype: str, count: int) -> CarryHeader:
    """The header of a tensor of one dimension."""
    spec = Spec(name=name, dtype=dtype, shape=[count])
    return CarryHeader(tensor=number, announcement=TensorAnnouncement(destination=DESTINATION_INFERENCER, tensor=spec))


class CallByHand:
    """A stranger's sender, which says what a test wants."""

    def __init__(self, call: object) -> None:
        self.call = call

    async def write(self, header: CarryHeader, data: bytes = b"") -> None:
        await self.call.write(CarryRequest(header=header, data=data))

    async def read(self) -> CarryResponse:
        return await self.call.read()

    def end(self) -> None:
        self.call.cancel()


class SocketByHand:
    """The same over a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    async def write(self, header: CarryHeader, data: bytes = b"") -> None:
        message = header.SerializeToString()
        await self.write_bytes(LENGTHS.pack(len(message), len(data)) + message + data)

    async def write_bytes(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.connection, data)

    async def read_bytes(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            piece = await asyncio.get_running_loop().sock_recv(self.connection, count - len(found))
            if not piece:
                raise EOFError
            found += piece
        return found

    async def read(self) -> CarryResponse:
        header, data = LENGTHS.unpack(await self.read_bytes(LENGTHS.size))
        assert not data
        return CarryResponse.FromString(await self.read_bytes(header))

    def end(self) -> None:
        self.connection.close()


@asynccontextmanager
async def offered(far: Far) -> AsyncIterator[tuple[CallByHand, TensorSocket]]:
    """A call that has been greeted, and the socket that it was offered."""
    async with Channels() as channels:
        call = CallByHand(TensorTransportStub(channels.to(far.address)).Carry(timeout=60))
        await call.write(CarryHeader(greeting=CarryGreeting()))
        yield call, (await call.read()).welcome.socket
        call.end()


@asynccontextmanager
async def by_hand(far: Far, way: Way) -> AsyncIterator[CallByHand | SocketByHand]:
    """A stranger's sender over either wire."""
    async with offered(far) as (call, offer):
        if way is Way.GRPC:
            yield call
            return
        wire = SocketByHand(await open_socket(far.address, offer))
        yield wire
        wire.end()
