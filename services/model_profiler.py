"""The ModelProfiler over gRPC: measuring runs in a process that dies when the call is cancelled."""

from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import asynccontextmanager

from core.documents import dumps
from core.errors import InvalidArgumentError
from core.profiles import ModelProfile
from core.progress import Progress
from core.samples import unpack_samples
from partita.v1 import model_profiler_pb2, model_profiler_pb2_grpc
from profilers.model_profiler import profile_model
from services.clients.model_pool import ModelPoolClient
from services.convert import to_profiler_settings
from services.runtime.channels import Channels
from services.runtime.events import responses
from services.runtime.handlers import Context
from services.runtime.server import Binding, Service
from services.runtime.settings import Settings
from services.runtime.worker import run_in_process


class ModelProfilerServicer(model_profiler_pb2_grpc.ModelProfilerServicer):
    """Converts and calls."""

    def __init__(self, pool: ModelPoolClient, noise_modules: Collection[str] = ()) -> None:
        self._pool = pool
        self._noise_modules = noise_modules

    def ProfileModel(
        self, request: model_profiler_pb2.ProfileModelRequest, context: Context
    ) -> AsyncGenerator[model_profiler_pb2.ProfileModelResponse]:
        settings = to_profiler_settings(request.settings)

        async def work(progress: Progress) -> ModelProfile:
            check_noise_measure(settings.noise_measure, self._noise_modules)
            model = await self._pool.get_blob(request.model_hash)
            samples = unpack_samples(await self._pool.get_blob(request.samples_hash)) if request.samples_hash else []
            return await run_in_process(
                profile_model, model, request.model_hash, request.name, samples, settings, progress=progress
            )

        return responses(
            work,
            lambda step: model_profiler_pb2.ProfileModelResponse(progress=step),
            lambda profile: model_profiler_pb2.ProfileModelResponse(profile=dumps(profile)),
        )


def check_noise_measure(measure: str, modules: Collection[str]) -> None:
    """Refuse functions of other modules: importing one runs it, which is for this process's owner to allow.

    Raises:
        InvalidArgumentError: ``measure`` is ``module:function`` of a module that is not among ``modules``.
    """
    module, colon, _ = measure.partition(":")
    if colon and module not in modules:
        raise InvalidArgumentError(
            f"noise measure {measure!r}: the ModelProfiler does not allow the module {module!r}; "
            "name it in its setting PARTITA_NOISE_MODULES"
        )


def model_profiler_service(settings: Settings) -> Service:
    """The ModelProfiler."""

    @asynccontextmanager
    async def service(binding: Binding) -> AsyncIterator[None]:
        async with Channels() as channels:
            pool = ModelPoolClient(channels.to(settings.address_of("model_pool", binding.address)))
            modules = settings.noise_modules.replace(" ", "").split(",")
            servicer = ModelProfilerServicer(pool, modules)
            model_profiler_pb2_grpc.add_ModelProfilerServicer_to_server(servicer, binding.server)
            binding.names.append(model_profiler_pb2.DESCRIPTOR.services_by_name["ModelProfiler"].full_name)
            yield

    return service
