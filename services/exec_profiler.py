"""The ExecProfiler over gRPC: measuring runs in a process that dies when the call is cancelled."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from core.documents import dumps, loads
from core.profiles import ExecutionProfile, ModelProfile, RuntimeSettings
from core.progress import Progress, part
from partita.v1 import exec_profiler_pb2, exec_profiler_pb2_grpc
from profilers.compression import reference_seconds
from profilers.energy_counters import find_meter
from profilers.execution import profile_execution
from profilers.run_energy import measure_run_energy
from profilers.server_monitor import fingerprint
from services.clients.model_pool import ModelPoolClient
from services.membership import membership
from services.runtime.channels import Channels
from services.runtime.events import responses
from services.runtime.handlers import Context
from services.runtime.server import Binding, Service
from services.runtime.settings import Settings
from services.runtime.worker import run_in_process


class ExecProfilerServicer(exec_profiler_pb2_grpc.ExecProfilerServicer):
    """Converts and calls; one measurement at a time, as two would disturb each other."""

    def __init__(self, pool: ModelPoolClient, runtime: RuntimeSettings, measure_power: bool) -> None:
        self._pool = pool
        self._runtime = runtime
        self._measure_power = measure_power and runtime.slowdown == 1 and find_meter(runtime.provider) is not None
        self._turn = asyncio.Lock()

    def ProfileExecution(
        self, request: exec_profiler_pb2.ProfileExecutionRequest, context: Context
    ) -> AsyncGenerator[exec_profiler_pb2.ProfileExecutionResponse]:
        profile = loads(request.model_profile, ModelProfile)

        async def work(progress: Progress) -> ExecutionProfile:
            model = await self._pool.get_blob(profile.model)
            name, _ = fingerprint(self._runtime)
            async with self._turn:
                timed = await run_in_process(profile_execution, model, profile, name, self._runtime, progress=progress)
                compressing = await asyncio.to_thread(reference_seconds)
                timed = replace(timed, compression_seconds=compressing)
                if not self._measure_power:
                    return timed
                energy = await run_in_process(
                    measure_run_energy, model, profile.inputs, self._runtime, progress=part(progress, 0.9, 0.1)
                )
                return replace(timed, energy=energy)

        return responses(
            work,
            lambda step: exec_profiler_pb2.ProfileExecutionResponse(progress=step),
            lambda result: exec_profiler_pb2.ProfileExecutionResponse(profile=dumps(result)),
        )


def exec_profiler_service(settings: Settings) -> Service:
    """The ExecProfiler of ``settings.server``."""

    @asynccontextmanager
    async def service(binding: Binding) -> AsyncIterator[None]:
        async with Channels() as channels:
            pool = ModelPoolClient(channels.to(settings.address_of("model_pool", binding.address)))
            servicer = ExecProfilerServicer(pool, settings.runtime, settings.measure_power)
            exec_profiler_pb2_grpc.add_ExecProfilerServicer_to_server(servicer, binding.server)
            binding.names.append(exec_profiler_pb2.DESCRIPTOR.services_by_name["ExecProfiler"].full_name)
            async with membership(settings, "exec_profiler", binding, channels):
                yield

    return service
