"""Calls on models: bringing, measuring and listing them."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Unpack

from core.documents import loads
from core.profiles import ModelProfile
from core.progress import Progress, no_progress
from partita.aio.calls import CALL_SECONDS, DeployerCalls
from partita.options import ProfileOptions, model_reference, profiler_settings
from partita.results import Model, Profiles, to_model, to_profiles
from partita.uploads import Sample, load_requests, model_bytes
from partita.v1 import deployer_pb2
from services.runtime.errors import typed_errors
from services.runtime.events import result_of


class ModelCalls(DeployerCalls):
    """Loads and profiles models."""

    async def load(
        self,
        model: Path | str | bytes,
        name: str | None = None,
        input_shapes: Mapping[str, Sequence[int]] | None = None,
        samples: Sequence[Sample] = (),
        progress: Progress = no_progress,
    ) -> Model:
        """Bring an ONNX model to the cluster.

        Args:
            model: path of an ONNX file, or its bytes.
            name: default: the file's name without its suffix.
            input_shapes: fixed shapes of inputs that are dynamic in the file.
            samples: inputs to calibrate int8 layers and to measure noise with; without them, random ones.

        Raises:
            OSError: the file cannot be read.
            InvalidModelError: the file is not a model that can be run.
            InvalidTensorError: a sample does not fit the model.
        """
        data, used_name = await asyncio.to_thread(model_bytes, model, name)
        requests = load_requests(data, used_name, input_shapes or {}, samples)
        with typed_errors(self._peer):
            response = await result_of(self._stub.Load(requests), progress)
        return to_model(response.model)

    async def profile(
        self,
        model: str | Model,
        *,
        refresh: bool = False,
        progress: Progress = no_progress,
        **options: Unpack[ProfileOptions],
    ) -> Profiles:
        """Measure what is not yet known of a model on every server.

        Args:
            refresh: measure all of it anew.

        Raises:
            NotFoundError: no such model.
        """
        request = deployer_pb2.ProfileRequest(
            model=model_reference(model), settings=profiler_settings(options), refresh=refresh
        )
        with typed_errors(self._peer):
            response = await result_of(self._stub.Profile(request), progress)
        return to_profiles(response.summary)

    async def models(self) -> tuple[Model, ...]:
        """All models."""
        with typed_errors(self._peer):
            response = await self._stub.ListModels(deployer_pb2.ListModelsRequest(), timeout=CALL_SECONDS)
        return tuple(map(to_model, response.models))

    async def model(self, model: str) -> tuple[Model, ModelProfile | None]:
        """A model, by name or name@hash-prefix, and its profile where it was profiled.

        Raises:
            NotFoundError: no such model.
        """
        with typed_errors(self._peer):
            response = await self._stub.GetModel(deployer_pb2.GetModelRequest(model=model), timeout=CALL_SECONDS)
        profile = loads(response.model_profile, ModelProfile) if response.model_profile else None
        return to_model(response.model), profile
