"""The Inferencer over gRPC."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

from core.deployment import DeploymentVersion
from core.documents import loads
from inferencer.blob_cache import BlobCache
from inferencer.inferencer import Inferencer
from partita.v1 import inferencer_pb2, inferencer_pb2_grpc
from partita.v1.tensor_transport_pb2 import DESTINATION_INFERENCER
from services.clients.model_pool import ModelPoolClient
from services.membership import membership
from services.runtime.channels import Channels
from services.runtime.events import responses
from services.runtime.handlers import Context
from services.runtime.metrics import HELD_BYTES, REQUESTS_UNDER_WAY, watch
from services.runtime.server import Binding, Service
from services.runtime.settings import Settings
from services.transport.arrivals import Sink


class InferencerServicer(inferencer_pb2_grpc.InferencerServicer):
    """Converts and calls."""

    def __init__(self, inferencer: Inferencer) -> None:
        self._inferencer = inferencer

    def Prepare(
        self, request: inferencer_pb2.PrepareRequest, context: Context
    ) -> AsyncGenerator[inferencer_pb2.PrepareResponse]:
        version = loads(request.version, DeploymentVersion)
        return responses(
            lambda progress: self._inferencer.prepare(version, progress),
            lambda step: inferencer_pb2.PrepareResponse(progress=step),
            lambda _: inferencer_pb2.PrepareResponse(),
        )

    async def Release(self, request: inferencer_pb2.ReleaseRequest, context: Context) -> inferencer_pb2.ReleaseResponse:
        self._inferencer.release(request.deployment, request.version)
        return inferencer_pb2.ReleaseResponse()


def inferencer_service(settings: Settings) -> Service:
    """The Inferencer of ``settings.server``."""

    @asynccontextmanager
    async def service(binding: Binding) -> AsyncIterator[None]:
        async with Channels() as channels:
            pool = ModelPoolClient(channels.to(settings.address_of("model_pool", binding.address)))
            # Servers may share a machine, and then this directory's parent.
            directory = settings.data_directory / f"components-{quote(settings.server, safe='')}"
            components = BlobCache(pool, directory, settings.cache_bytes)
            inferencer = Inferencer(settings.server, settings.runtime, components, binding.sender(settings.links))
            watch(REQUESTS_UNDER_WAY, "inferencer", settings.server, lambda: len(inferencer.requests))
            binding.local["inferencer"] = inferencer
            watch(HELD_BYTES, "inferencer", settings.server, lambda: inferencer.requests.held_bytes)
            servicer = InferencerServicer(inferencer)
            inferencer_pb2_grpc.add_InferencerServicer_to_server(servicer, binding.server)
            receiver = binding.receiver(settings.tensor_limit_bytes)
            receiver.sinks[DESTINATION_INFERENCER] = Sink(inferencer.expected, inferencer.receive)
            receiver.run = inferencer.run
            binding.names.append(inferencer_pb2.DESCRIPTOR.services_by_name["Inferencer"].full_name)
            async with membership(settings, "inferencer", binding, channels):
                yield
            inferencer.close()

    return service
