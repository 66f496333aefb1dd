"""What carries a sender's frames to a receiver and its answers back: a socket of their own, or the gRPC call."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

import grpc

from core.buffers import Bytes
from partita.v1 import tensor_transport_pb2
from services.transport.addresses import host_and_port
from services.transport.frames import Frame
from services.transport.message_socket import MessageSocket
from services.transport.tensor_port import receive_exactly

CONNECT_SECONDS = 1.0
"""How long connecting a socket may take: a firewall may drop what comes."""

PROOF_SECONDS = 5.0
"""How long who answers at the socket's port may take to prove whom we have reached."""

LAST_ANSWERS_SECONDS = 2.0
"""How long answers are still read when the receiver has ended the call."""

Call = grpc.aio.StreamStreamCall[Frame, tensor_transport_pb2.CarryResponse]

Take = Callable[[tensor_transport_pb2.CarryResponse], None]


class NoSocketError(Exception):
    """The receiver cannot be reached by a socket; the message says why."""


class Wire(Protocol):
    """Carries frames one way and answers the other.

    Attributes:
        at_once: whether writing begins when ``write`` is called, not when what it returns is waited for.
    """

    at_once: bool

    def write(self, frame: Frame) -> Awaitable[None] | None:
        """Send a frame: at once, or when what is returned has been waited for, which is due before the next frame."""

    async def read(self, take: Take) -> None:
        """Hand over every answer until the receiver ends the connection.

        Raises:
            grpc.aio.AioRpcError: the call broke.
            OSError: the socket broke.
        """

    def close(self) -> None:
        """Send and read nothing more."""


class CallWire:
    """The gRPC call itself, which works wherever gRPC does."""

    at_once = False

    def __init__(self, call: Call) -> None:
        self._call = call

    def write(self, frame: Frame) -> Awaitable[None] | None:
        """See ``Wire``."""
        return self._call.write(frame)

    async def read(self, take: Take) -> None:
        """See ``Wire``."""
        while isinstance(answer := await self._call.read(), tensor_transport_pb2.CarryResponse):
            take(answer)

    def close(self) -> None:
        """See ``Wire``."""
        self._call.cancel()


class SocketWire:
    """A socket, with the call as its sign of life."""

    at_once = True

    def __init__(self, connection: socket.socket, call: Call) -> None:
        self._call = call
        self._take: Take | None = None
        self._socket = MessageSocket(connection, self._answered, lambda: None)

    def write(self, frame: Frame) -> Awaitable[None] | None:
        """See ``Wire``."""
        return self._socket.write(frame.header, frame.data)

    async def read(self, take: Take) -> None:
        """See ``Wire``."""
        self._take = take
        closed, ended = self._socket.closed, asyncio.ensure_future(self._call.read())
        try:
            await asyncio.wait((closed, ended), return_when=asyncio.FIRST_COMPLETED)
            if not closed.done():
                ended.result()
                await asyncio.wait((closed,), timeout=LAST_ANSWERS_SECONDS)
            if closed.done() and (error := closed.result()) is not None:
                raise error
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)

    def close(self) -> None:
        """See ``Wire``."""
        self._socket.close()
        self._call.cancel()

    def _answered(self, header: bytes, data_bytes: int) -> Bytes | None:
        answer = tensor_transport_pb2.CarryResponse.FromString(header)
        if self._take is not None:
            self._take(answer)
        return None


async def open_socket(address: str, offer: tensor_transport_pb2.TensorSocket) -> socket.socket:
    """Open the socket that a receiver offers.

    Args:
        address: as which it was dialled.
        offer: from its welcome.

    Raises:
        NoSocketError: it cannot be had.
    """
    dialled = host_and_port(address)
    if not offer.port:
        raise NoSocketError("it takes none")
    if dialled is None or offer.grpc_port not in (0, dialled[1]):
        raise NoSocketError(
            f"it was reached at {address}, but listens at port {offer.grpc_port}; where a proxy or a port mapping is "
            "between, its --tensor-advertise-port says at which port tensors reach it"
        )
    connection = await _connect(dialled[0], offer.port)
    try:
        async with asyncio.timeout(PROOF_SECONDS):
            await asyncio.get_running_loop().sock_sendall(connection, offer.token)
            proof = await receive_exactly(connection, len(offer.proof))
        if proof != offer.proof:
            raise NoSocketError(f"somebody else is at its port {offer.port}")
    except (OSError, TimeoutError) as error:
        connection.close()
        raise NoSocketError(f"at port {offer.port} nobody takes tensors ({error or 'no answer in time'})") from None
    except BaseException:
        connection.close()
        raise
    return connection


async def _connect(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    cause: Exception = TimeoutError()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                connection = socket.socket(family, kind, protocol)
                connection.setblocking(False)
                try:
                    await loop.sock_connect(connection, address)
                except OSError as error:
                    connection.close()
                    cause = error
                except BaseException:
                    connection.close()
                    raise
                else:
                    return connection
    except (OSError, TimeoutError) as error:
        cause = error
    raise NoSocketError(f"port {port} of {host} cannot be reached ({str(cause) or 'no answer in time'})")
