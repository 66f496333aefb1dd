"""The Registry over gRPC."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc

from core.cluster import Cluster, Member
from core.document_store import DocumentStore
from core.problem import Link
from core.profiles import ServerState
from partita.v1 import registry_pb2, registry_pb2_grpc
from registry.changes import Changes
from registry.membership import Membership
from registry.network import Network
from services.convert import from_link, from_member, from_server, from_state, to_cluster, to_link, to_member, to_state
from services.runtime.errors import Context, typed_errors
from services.runtime.server import Binding, Service
from services.runtime.settings import Settings

CALL_TIMEOUT_SECONDS = 10.0


class RegistryServicer(registry_pb2_grpc.RegistryServicer):
    """Converts and calls."""

    def __init__(self, membership: Membership, network: Network, changes: Changes) -> None:
        self._membership = membership
        self._network = network
        self._changes = changes

    async def Register(self, request: registry_pb2.RegisterRequest, context: Context) -> registry_pb2.RegisterResponse:
        return registry_pb2.RegisterResponse(lease_seconds=self._membership.register(to_member(request.member)))

    async def Renew(self, request: registry_pb2.RenewRequest, context: Context) -> registry_pb2.RenewResponse:
        self._membership.renew(request.instance, to_state(request.state) if request.HasField("state") else None)
        return registry_pb2.RenewResponse()

    async def Deregister(
        self, request: registry_pb2.DeregisterRequest, context: Context
    ) -> registry_pb2.DeregisterResponse:
        self._membership.deregister(request.instance)
        return registry_pb2.DeregisterResponse()

    async def ListServers(
        self, request: registry_pb2.ListServersRequest, context: Context
    ) -> registry_pb2.ListServersResponse:
        return registry_pb2.ListServersResponse(
            servers=map(from_server, self._membership.servers()), links=map(from_link, self._network.links())
        )

    async def Watch(
        self, request: registry_pb2.WatchRequest, context: Context
    ) -> AsyncGenerator[registry_pb2.WatchResponse]:
        async for _ in self._changes.watch():
            yield registry_pb2.WatchResponse(
                servers=map(from_server, self._membership.servers()), links=map(from_link, self._network.links())
            )

    async def ReportLinks(
        self, request: registry_pb2.ReportLinksRequest, context: Context
    ) -> registry_pb2.ReportLinksResponse:
        self._network.report([to_link(link) for link in request.links])
        return registry_pb2.ReportLinksResponse()


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
        with typed_errors(self._peer):
            call = self._stub.Watch(registry_pb2.WatchRequest())
            try:
                async for response in call:
                    yield to_cluster(response)
            finally:
                call.cancel()

    async def report_links(self, links: Sequence[Link]) -> None:
        """Make measured links known.

        Raises:
            InvalidArgumentError: a link's value is unusable; none was taken.
        """
        with typed_errors(self._peer):
            request = registry_pb2.ReportLinksRequest(links=map(from_link, links))
            await self._stub.ReportLinks(request, timeout=CALL_TIMEOUT_SECONDS)


def registry_service(settings: Settings) -> Service:
    """The Registry."""

    @asynccontextmanager
    async def service(binding: Binding) -> AsyncIterator[None]:
        changes = Changes()
        membership = Membership(settings.lease_seconds, changes.notify)
        store = DocumentStore(settings.data_directory / "registry.sqlite")
        servicer = RegistryServicer(membership, Network(changes.notify, store), changes)
        registry_pb2_grpc.add_RegistryServicer_to_server(servicer, binding.server)
        binding.names.append(registry_pb2.DESCRIPTOR.services_by_name["Registry"].full_name)

        async def expire() -> None:
            while True:
                await asyncio.sleep(membership.lease_seconds / 4)
                membership.expire()

        async def end_watches() -> None:
            await binding.stopping.wait()
            changes.close()

        tasks = [asyncio.create_task(expire()), asyncio.create_task(end_watches())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            store.close()

    return service
