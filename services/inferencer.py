"""The Inferencer over gRPC."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import grpc

from core.deployment import ComponentRun, DeploymentVersion, RequestKey
from core.documents import dumps, loads
from core.progress import Progress
from inferencer.inferencer import Inferencer
from partita.v1 import inferencer_pb2, inferencer_pb2_grpc
from services.convert import from_component_run, to_component_run
from services.membership import membership
from services.model_pool import ModelPoolClient
from services.runtime.channels import Channels
from services.runtime.errors import Context, typed_errors
from services.runtime.events import responses
from services.runtime.server import Binding, Service
from services.runtime.settings import Settings
from services.runtime.shaping import LinkShaper
from services.transfers import TensorSender, receive_tensor

CALL_TIMEOUT_SECONDS = 10.0
PREPARE_TIMEOUT_SECONDS = 600.0


class InferencerServicer(inferencer_pb2_grpc.InferencerServicer):
    """Converts and calls."""

    def __init__(self, inferencer: Inferencer, tensor_limit_bytes: int) -> None:
        self._inferencer = inferencer
        self._tensor_limit_bytes = tensor_limit_bytes

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

    async def Run(
        self, request: inferencer_pb2.RunRequest, context: Context
    ) -> AsyncGenerator[inferencer_pb2.RunResponse]:
        key = RequestKey(request.deployment, request.version, request.request_id)
        async with aclosing(self._inferencer.run(key)) as runs:
            async for run in runs:
                yield inferencer_pb2.RunResponse(run=from_component_run(run))

    async def Transfer(
        self, request_iterator: AsyncIterator[inferencer_pb2.TransferRequest], context: Context
    ) -> inferencer_pb2.TransferResponse:
        key, name, array = await receive_tensor(request_iterator, self._inferencer.expected, self._tensor_limit_bytes)
        await self._inferencer.receive(key, name, array)
        return inferencer_pb2.TransferResponse()


class InferencerClient:
    """One server's Inferencer."""

    def __init__(self, channel: grpc.aio.Channel, server: str) -> None:
        self._stub = inferencer_pb2_grpc.InferencerStub(channel)
        self._peer = f"Inferencer of server {server!r}"

    async def prepare(self, version: DeploymentVersion, progress: Progress) -> None:
        """Have the server fetch, load and warm its components."""
        with typed_errors(self._peer):
            call = self._stub.Prepare(
                inferencer_pb2.PrepareRequest(version=dumps(version)), timeout=PREPARE_TIMEOUT_SECONDS
            )
            async for response in call:
                if response.HasField("progress"):
                    progress(response.progress.fraction, response.progress.message)

    async def release(self, deployment: str, version: int) -> None:
        """Have the server let go of a version."""
        with typed_errors(self._peer):
            request = inferencer_pb2.ReleaseRequest(deployment=deployment, version=version)
            await self._stub.Release(request, timeout=CALL_TIMEOUT_SECONDS)

    async def run(self, key: RequestKey) -> AsyncGenerator[ComponentRun]:
        """Have the server do its part in a request; the caller's timeout bounds it."""
        request = inferencer_pb2.RunRequest(deployment=key.deployment, version=key.version, request_id=key.request_id)
        with typed_errors(self._peer):
            call = self._stub.Run(request)
            try:
                async for response in call:
                    yield to_component_run(response.run)
            finally:
                call.cancel()


def inferencer_service(settings: Settings) -> Service:
    """The Inferencer of ``settings.server``."""

    @asynccontextmanager
    async def service(binding: Binding) -> AsyncIterator[None]:
        async with Channels() as channels:
            pool = ModelPoolClient(channels.to(settings.address_of("model_pool", binding.address)))
            outlet = TensorSender(channels, LinkShaper(settings.links))
            inferencer = Inferencer(settings.server, settings.runtime, pool, outlet)
            servicer = InferencerServicer(inferencer, settings.tensor_limit_bytes)
            inferencer_pb2_grpc.add_InferencerServicer_to_server(servicer, binding.server)
            binding.names.append(inferencer_pb2.DESCRIPTOR.services_by_name["Inferencer"].full_name)
            async with membership(settings, "inferencer", binding, channels):
                yield
            inferencer.close()

    return service
