"""Calls a server's ExecProfiler."""

import grpc

from core.documents import dumps, loads
from core.profiles import ExecutionProfile, ModelProfile
from core.progress import Progress
from partita.v1 import exec_profiler_pb2, exec_profiler_pb2_grpc
from services.runtime.errors import typed_errors
from services.runtime.events import result_of


class ExecProfilerClient:
    """One server's ExecProfiler."""

    def __init__(self, channel: grpc.aio.Channel, server: str) -> None:
        self._stub = exec_profiler_pb2_grpc.ExecProfilerStub(channel)
        self._peer = f"ExecProfiler of server {server!r}"

    async def profile_execution(self, profile: ModelProfile, progress: Progress) -> ExecutionProfile:
        """Measure a model that is in the pool."""
        request = exec_profiler_pb2.ProfileExecutionRequest(model_profile=dumps(profile))
        with typed_errors(self._peer):
            return loads((await result_of(self._stub.ProfileExecution(request), progress)).profile, ExecutionProfile)
