"""Where senders open sockets for their tensors, each with a token that it was given over gRPC."""

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from core.errors import FailedPreconditionError
from partita.v1 import tensor_transport_pb2
from services.transport.addresses import host_and_port

logger = logging.getLogger(__name__)

SECRET_BYTES = 16
"""Of a token, and of the proof that is the answer to it."""

OFFER_SECONDS = 10.0
"""How long a token opens a socket."""

OPENING_SECONDS = 5.0
"""How long whoever connects may take for its token."""

OPENING_LIMIT = 64
"""How many may be about to show their tokens; who comes then is sent away."""

REST_SECONDS = 1.0
"""Pause where no connection can be accepted, as without free file descriptors."""

ANY_HOST = ("0.0.0.0", "::", "")  # noqa: S104 - it is only asked for

NO_PORT = -1
"""Instead of a port: tensors come by gRPC only."""


@dataclass(frozen=True)
class _Offer:
    """What a token opens: its proof, who takes the socket, and until when, on the loop's clock."""

    proof: bytes
    take: Callable[[socket.socket], None]
    until: float


class TensorPort:
    """Listens for sockets; to be closed.

    Args:
        grpc_address: ``host:port`` that this process is bound to for gRPC; the same host is listened on.
        port: to listen on; 0 takes a free one.
        advertised: the port under which senders reach it at the host that they dialled, where it differs.

    Attributes:
        number: of the port.

    Raises:
        FailedPreconditionError: it cannot be bound.
    """

    def __init__(self, grpc_address: tuple[str, int], port: int, advertised: int) -> None:
        host, self._grpc_port = grpc_address
        try:
            self._listener = _listen(host, port)
        except (OSError, OverflowError) as error:
            raise FailedPreconditionError(
                f"cannot take tensors at port {port} of {host} ({error}); another process may hold it, choose one with "
                f"--tensor-port, or {NO_PORT} for none"
            ) from None
        self._listener.setblocking(False)
        self.number: int = self._listener.getsockname()[1]
        self._advertised = advertised
        self._offers: dict[bytes, _Offer] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept())

    async def close(self) -> None:
        """Stop listening; sockets that were opened stay so."""
        tasks = [self._accepting, *self._opening]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listener.close()

    @contextmanager
    def offer(self, take: Callable[[socket.socket], None]) -> Iterator[tensor_transport_pb2.TensorSocket]:
        """Let one sender, which is to be sent what this yields, open a socket for a while, and inside only.

        Args:
            take: given the socket.
        """
        token, proof = secrets.token_bytes(SECRET_BYTES), secrets.token_bytes(SECRET_BYTES)
        self._offers[token] = _Offer(proof, take, asyncio.get_running_loop().time() + OFFER_SECONDS)
        try:
            yield tensor_transport_pb2.TensorSocket(
                port=self._advertised or self.number,
                grpc_port=0 if self._advertised else self._grpc_port,
                token=token,
                proof=proof,
            )
        finally:
            self._offers.pop(token, None)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                logger.warning("cannot accept a connection for tensors: %s", error)
                await asyncio.sleep(REST_SECONDS)
                continue
            if len(self._opening) >= OPENING_LIMIT:
                connection.close()
                continue
            opening = asyncio.create_task(self._open(connection))
            self._opening.add(opening)
            opening.add_done_callback(partial(self._opened, connection))

    def _opened(self, connection: socket.socket, opening: "asyncio.Task[None]") -> None:
        self._opening.discard(opening)
        if opening.cancelled():
            connection.close()

    async def _open(self, connection: socket.socket) -> None:
        """Hand over a connection whose token is good, and close every other."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(OPENING_SECONDS):
                token = await receive_exactly(connection, SECRET_BYTES)
                offer = self._offers.pop(token, None)
                if offer is None or loop.time() > offer.until:
                    raise ConnectionRefusedError("its token opens nothing")
                await loop.sock_sendall(connection, offer.proof)
        except (OSError, TimeoutError) as error:
            logger.info("a connection for tensors was not opened: %s", error or "no token came in time")
            connection.close()
        else:
            offer.take(connection)


async def receive_exactly(connection: socket.socket, byte_count: int) -> bytes:
    """The next bytes of a connection.

    Raises:
        ConnectionError: it ended before, or broke.
    """
    found = b""
    while len(found) < byte_count:
        piece = await asyncio.get_running_loop().sock_recv(connection, byte_count - len(found))
        if not piece:
            raise ConnectionResetError("it was closed")
        found += piece
    return found


def tensor_port(grpc_address: str, port: int, advertised: int) -> TensorPort | None:
    """The port beside a gRPC address; ``None`` where there is to be none, or where that is no TCP address.

    Raises:
        FailedPreconditionError: a port that was chosen cannot be bound.
    """
    own = host_and_port(grpc_address)
    if own is None or port == NO_PORT:
        return None
    try:
        return TensorPort(own, port, advertised)
    except FailedPreconditionError as error:
        if port:
            raise
        logger.warning("tensors come by gRPC only: %s", error)
        return None


def _listen(host: str, port: int) -> socket.socket:
    if host in ANY_HOST and socket.has_dualstack_ipv6():
        # As gRPC does.
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    families = (socket.AF_INET6,) if ":" in host else (socket.AF_INET, socket.AF_INET6)
    for family in families:
        try:
            return socket.create_server((host, port), family=family)
        except socket.gaierror:
            if family == families[-1]:
                raise
    raise AssertionError("there is a last family")
