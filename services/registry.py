"""The Registry over gRPC."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from core.document_store import DocumentStore
from partita.v1 import registry_pb2, registry_pb2_grpc
from registry.changes import Changes
from registry.membership import Membership
from registry.network import Network
from services.convert import from_link, from_server, to_link, to_member, to_state
from services.runtime.handlers import Context
from services.runtime.server import Binding, Service
from services.runtime.settings import Settings


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
