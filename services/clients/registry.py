"""Calls the Registry."""

from collections.abc import AsyncGenerator, Sequence

import grpc

from core.cluster import Cluster, Member
from core.profiles import MeasuredLink, ServerState
from partita.v1 import registry_pb2, registry_pb2_grpc
from services.convert import from_link, from_member, from_state, to_cluster
from services.runtime.calls import reading
from services.runtime.errors import typed_errors

CALL_TIMEOUT_SECONDS = 10.0


class RegistryClient:
    """The Registry, wherever it runs; every method raises ServerUnavailableError where it cannot be reached."""

    def __init__(self, channel: grpc.aio.Channel, peer: str = "the Registry") -> None:
        self._stub = registry_pb2_grpc.RegistryStub(channel)
        self._peer = peer

    async def register(self, member: Member) -> float:
        """Take part; returns the seconds within which the lease must be renewed.

        Raises:
            InvalidArgumentError: role or service are unknown.
            FailedPreconditionError: the server takes part with another role.
        """
        with typed_errors(self._peer):
            request = registry_pb2.RegisterRequest(member=from_member(member))
            return (await self._stub.Register(request, timeout=CALL_TIMEOUT_SECONDS)).lease_seconds

    async def renew(self, instance: str, state: ServerState | None = None) -> None:
        """Renew a lease and report the server's state where one is given.

        Raises:
            NotFoundError: there is no such lease; register again.
        """
        with typed_errors(self._peer):
            request = registry_pb2.RenewRequest(instance=instance, state=None if state is None else from_state(state))
            await self._stub.Renew(request, timeout=CALL_TIMEOUT_SECONDS)

    async def deregister(self, instance: str) -> None:
        """Take part no longer."""
        with typed_errors(self._peer):
            request = registry_pb2.DeregisterRequest(instance=instance)
            await self._stub.Deregister(request, timeout=CALL_TIMEOUT_SECONDS)

    async def list_servers(self) -> Cluster:
        """The servers that take part now, and all links."""
        with typed_errors(self._peer):
            request = registry_pb2.ListServersRequest()
            return to_cluster(await self._stub.ListServers(request, timeout=CALL_TIMEOUT_SECONDS))

    async def watch(self) -> AsyncGenerator[Cluster]:
        """The same now and after every change, until the Registry stops; close it to end it sooner."""
        with typed_errors(self._peer), reading(self._stub.Watch(registry_pb2.WatchRequest())) as call:
            async for response in call:
                yield to_cluster(response)

    async def report_links(self, links: Sequence[MeasuredLink]) -> None:
        """Make measured links known.

        Raises:
            InvalidArgumentError: a link's value is unusable; none was taken.
        """
        with typed_errors(self._peer):
            request = registry_pb2.ReportLinksRequest(links=map(from_link, links))
            await self._stub.ReportLinks(request, timeout=CALL_TIMEOUT_SECONDS)
