"""Tensors from server to server: sent in chunks over emulated or real links, and taken in."""

from collections.abc import AsyncIterable, Callable, Iterator
from typing import TypeVar

from core.deployment import RequestKey
from core.errors import InvalidArgumentError
from core.tensors import Array, TensorSpec
from partita.v1 import (
    front_end_pb2,
    front_end_pb2_grpc,
    inferencer_pb2,
    inferencer_pb2_grpc,
    server_monitor_pb2,
    server_monitor_pb2_grpc,
)
from services.runtime.channels import Channels
from services.runtime.errors import typed_errors
from services.runtime.shaping import LinkShaper
from services.runtime.streams import TensorAssembly, chunks, from_spec, raw_bytes, spec_of, to_spec

TRANSFER_TIMEOUT_SECONDS = 600.0
"""Upper bound on one tensor's transfer; the request's own deadline ends it sooner."""

PROBE_TIMEOUT_SECONDS = 10.0
"""Upper bound on the transfer of a tensor that only measures the link."""

Part = TypeVar("Part", inferencer_pb2.TransferRequest, front_end_pb2.DeliverRequest, server_monitor_pb2.ProbeRequest)


def _parts(kind: type[Part], key: RequestKey, name: str, array: Array) -> Iterator[Part]:
    yield kind(
        header=inferencer_pb2.TransferHeader(
            deployment=key.deployment,
            version=key.version,
            request_id=key.request_id,
            tensor=from_spec(spec_of(name, array)),
        )
    )
    for chunk in chunks(raw_bytes(array)):
        yield kind(chunk=chunk)


def _size(part: inferencer_pb2.TransferRequest | front_end_pb2.DeliverRequest | server_monitor_pb2.ProbeRequest) -> int:
    return len(part.chunk.data)


class TensorSender:
    """Sends tensors to the other servers: the outlet of Inferencers and FrontEnds."""

    def __init__(self, channels: Channels, shaper: LinkShaper) -> None:
        self._channels = channels
        self._shaper = shaper

    async def to_inferencer(self, server: str, address: str, key: RequestKey, name: str, array: Array) -> None:
        """Send a tensor to a server's Inferencer; returns when it has arrived.

        Raises:
            ServerUnavailableError: the server cannot be reached.
        """
        stub = inferencer_pb2_grpc.InferencerStub(self._channels.to(address))
        parts = _parts(inferencer_pb2.TransferRequest, key, name, array)
        with typed_errors(f"server {server!r} ({address})"):
            async with self._shaper.round_trip(server):
                await stub.Transfer(self._shaper.paced(server, parts, _size), timeout=TRANSFER_TIMEOUT_SECONDS)

    async def to_front_end(self, server: str, address: str, key: RequestKey, name: str, array: Array) -> None:
        """Send a model output to the device's FrontEnd; returns when it has arrived.

        Raises:
            ServerUnavailableError: the device cannot be reached.
        """
        stub = front_end_pb2_grpc.FrontEndStub(self._channels.to(address))
        parts = _parts(front_end_pb2.DeliverRequest, key, name, array)
        with typed_errors(f"FrontEnd of server {server!r} ({address})"):
            async with self._shaper.round_trip(server):
                await stub.Deliver(self._shaper.paced(server, parts, _size), timeout=TRANSFER_TIMEOUT_SECONDS)

    async def to_monitor(self, server: str, address: str, array: Array) -> None:
        """Send a tensor to a server's ServerMonitor, as it would go to its Inferencer; returns when it has arrived.

        Raises:
            ServerUnavailableError: the server cannot be reached.
            DeadlineExceededError: it took longer than ``PROBE_TIMEOUT_SECONDS``.
        """
        stub = server_monitor_pb2_grpc.ServerMonitorStub(self._channels.to(address))
        parts = _parts(server_monitor_pb2.ProbeRequest, RequestKey("", 0, ""), "probe", array)
        with typed_errors(f"server {server!r} ({address})"):
            async with self._shaper.round_trip(server):
                await stub.Probe(self._shaper.paced(server, parts, _size), timeout=PROBE_TIMEOUT_SECONDS)


async def receive_tensor(
    parts: AsyncIterable[Part], expected: Callable[[RequestKey, TensorSpec], None], limit_bytes: int
) -> tuple[RequestKey, str, Array]:
    """Take in one tensor.

    Args:
        expected: refuses, by raising, a tensor that is not wanted, before any of it is taken.

    Raises:
        InvalidArgumentError: no header, two headers, or chunks that do not follow each other.
        TooLargeError: more bytes than announced or allowed.
    """
    key: RequestKey | None = None
    assembly: TensorAssembly | None = None
    async for part in parts:
        if part.HasField("header") == (assembly is not None):
            raise InvalidArgumentError("a tensor is one header and then its chunks; send each tensor in its own call")
        if assembly is None:
            key = RequestKey(part.header.deployment, part.header.version, part.header.request_id)
            spec = to_spec(part.header.tensor)
            expected(key, spec)
            assembly = TensorAssembly(spec, limit_bytes)
        else:
            assembly.add(part.chunk)
    if key is None or assembly is None:
        raise InvalidArgumentError("the stream ended before a tensor header")
    return key, assembly.spec.name, assembly.array()
