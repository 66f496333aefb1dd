"""The ModelDivider over gRPC: cutting runs in a process that dies when the call is cancelled."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from core.deployment import Division
from core.documents import dumps, loads
from core.plan import Plan
from core.profiles import ModelProfile
from core.progress import Progress, part
from model_divider.divide import divide
from partita.v1 import model_divider_pb2, model_divider_pb2_grpc
from services.clients.model_pool import ModelPoolClient
from services.runtime.channels import Channels
from services.runtime.events import responses
from services.runtime.handlers import Context
from services.runtime.server import Binding, Service
from services.runtime.settings import Settings
from services.runtime.worker import run_in_process


class ModelDividerServicer(model_divider_pb2_grpc.ModelDividerServicer):
    """Converts and calls."""

    def __init__(self, pool: ModelPoolClient) -> None:
        self._pool = pool

    def Divide(
        self, request: model_divider_pb2.DivideRequest, context: Context
    ) -> AsyncGenerator[model_divider_pb2.DivideResponse]:
        plan = loads(request.plan, Plan)
        profile = loads(request.model_profile, ModelProfile)

        async def work(progress: Progress) -> Division:
            model = await self._pool.get_blob(profile.model)
            cut = part(progress, 0.0, 0.8)
            division, blobs = await run_in_process(
                divide, model, profile.model, plan, profile.ranges, profile.settings.quantization, progress=cut
            )
            for index, blob in enumerate(blobs.values()):
                progress(0.8 + 0.2 * index / len(blobs), "storing components")
                await self._pool.put_blob(blob)
            return division

        return responses(
            work,
            lambda step: model_divider_pb2.DivideResponse(progress=step),
            lambda division: model_divider_pb2.DivideResponse(division=dumps(division)),
        )


def model_divider_service(settings: Settings) -> Service:
    """The ModelDivider."""

    @asynccontextmanager
    async def service(binding: Binding) -> AsyncIterator[None]:
        async with Channels() as channels:
            pool = ModelPoolClient(channels.to(settings.address_of("model_pool", binding.address)))
            model_divider_pb2_grpc.add_ModelDividerServicer_to_server(ModelDividerServicer(pool), binding.server)
            binding.names.append(model_divider_pb2.DESCRIPTOR.services_by_name["ModelDivider"].full_name)
            yield

    return service
