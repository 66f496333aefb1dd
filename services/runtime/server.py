"""A gRPC server's life: bound, healthy, reflecting, and stopped without breaking calls."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from core.errors import FailedPreconditionError
from services.runtime.channels import MESSAGE_LIMIT_BYTES, WINDOW_OPTIONS
from services.runtime.errors import ErrorInterceptor
from services.runtime.metrics import MetricsInterceptor
from services.runtime.settings import EmulatedLink
from services.runtime.shaping import LinkShaper
from services.transport.allocator import keep_message_memory
from services.transport.shared_memory import remove_leftovers

# Control services carry no tensors, and their images not what compresses them.
if TYPE_CHECKING:
    from services.transport.receiver import TensorReceiver
    from services.transport.sender import TensorSender

logger = logging.getLogger(__name__)

GRACE_SECONDS = 5.0
"""How long calls under way may go on after the server was asked to stop."""

SERVER_OPTIONS = (
    *WINDOW_OPTIONS,
    # Without this two daemons on one port share it silently.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
)


@dataclass
class Binding:
    """A server that is bound to its port but does not serve yet: services attach themselves to it.

    Attributes:
        server: where servicers are added.
        address: ``host:port`` it is bound to.
        names: full names of the attached services, for health and reflection.
        local: services of this process that its other services may call without gRPC, by name.
        stopping: set when the server is asked to stop; streams without an end must then end themselves,
            as calls under way are waited for.
        closing: what is closed after all services.
        tensor_port: where tensors come in over sockets; see the setting of this name.
        tensor_advertise_port: the same.
    """

    server: grpc.aio.Server
    address: str
    names: list[str] = field(default_factory=list)
    local: dict[str, Any] = field(default_factory=dict)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    closing: AsyncExitStack = field(default_factory=AsyncExitStack)
    tensor_port: int = 0
    tensor_advertise_port: int = 0
    _senders: dict[tuple[EmulatedLink, ...], "TensorSender"] = field(default_factory=dict)
    _receiver: "TensorReceiver | None" = None

    def sender(self, links: tuple[EmulatedLink, ...]) -> "TensorSender":
        """The one sender over these links in this process: all its services share their streams and throughput."""
        from services.transport.sender import TensorSender

        if links not in self._senders:
            keep_message_memory()
            remove_leftovers()
            self._senders[links] = TensorSender(LinkShaper(links))
            self.closing.push_async_callback(self._senders[links].close)
        return self._senders[links]

    def receiver(self, limit_bytes: int) -> "TensorReceiver":
        """The one receiver in this process; ``limit_bytes``: the largest tensor that it accepts."""
        from services.transport.receiver import SERVICE, TensorReceiver
        from services.transport.tensor_port import tensor_port

        if self._receiver is None:
            keep_message_memory()
            port = tensor_port(self.address, self.tensor_port, self.tensor_advertise_port)
            if port is not None:
                logger.info("taking tensors at port %d", port.number)
                self.closing.push_async_callback(port.close)
            self._receiver = TensorReceiver(limit_bytes, self.stopping, port)
            self._receiver.attach_to(self.server)
            self.names.append(SERVICE)
        return self._receiver


class Service(Protocol):
    """Attaches a service and keeps what it needs (files, tasks, processes) open until the server has stopped."""

    def __call__(self, binding: Binding) -> AbstractAsyncContextManager[None]:
        """Open the service."""


@asynccontextmanager
async def serving(
    listen: str, services: Sequence[Service], tensor_port: int = 0, tensor_advertise_port: int = 0
) -> AsyncIterator[str]:
    """Serve ``services`` on one port and yield its address; port 0 takes a free one.

    At the end the health turns NOT_SERVING, calls under way get ``GRACE_SECONDS``, then all is closed.

    Args:
        listen: ``host:port``.
        services: what to serve.
        tensor_port: where those that take tensors do so; see the setting of this name.
        tensor_advertise_port: the same.

    Raises:
        FailedPreconditionError: the address cannot be bound.
    """
    server = grpc.aio.server(interceptors=[ErrorInterceptor(), MetricsInterceptor()], options=SERVER_OPTIONS)
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError as error:
        cause = str(error).partition(";")[0]
        raise FailedPreconditionError(
            f"cannot listen on {listen} ({cause}); another process may hold the port, choose one with --listen"
        ) from None
    binding = Binding(
        server,
        # A Unix socket has no port.
        listen if listen.startswith("unix") else f"{listen.rpartition(':')[0]}:{port}",
        tensor_port=tensor_port,
        tensor_advertise_port=tensor_advertise_port,
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(binding.closing)
        for service in services:
            await stack.enter_async_context(service(binding))
        status = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(status, server)
        reflection.enable_server_reflection((*binding.names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        for name in ("", *binding.names):
            await status.set(name, health_pb2.HealthCheckResponse.SERVING)
        await server.start()
        try:
            yield binding.address
        finally:
            binding.stopping.set()
            await status.enter_graceful_shutdown()
            await server.stop(GRACE_SECONDS)
