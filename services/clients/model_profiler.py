"""Calls the ModelProfiler."""

import grpc

from core.documents import loads
from core.profiles import ModelProfile, ModelProfilerSettings
from core.progress import Progress
from partita.v1 import model_profiler_pb2, model_profiler_pb2_grpc
from services.convert import from_profiler_settings
from services.runtime.errors import typed_errors
from services.runtime.events import result_of


class ModelProfilerClient:
    """The ModelProfiler, wherever it runs."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = model_profiler_pb2_grpc.ModelProfilerStub(channel)

    async def profile_model(
        self, model_hash: str, name: str, samples_hash: str, settings: ModelProfilerSettings, progress: Progress
    ) -> ModelProfile:
        """Measure a model that is in the pool."""
        request = model_profiler_pb2.ProfileModelRequest(
            model_hash=model_hash, name=name, samples_hash=samples_hash, settings=from_profiler_settings(settings)
        )
        with typed_errors("the ModelProfiler"):
            return loads((await result_of(self._stub.ProfileModel(request), progress)).profile, ModelProfile)
