"""Calls a server's Inferencer."""

import grpc

from core.deployment import DeploymentVersion
from core.documents import dumps
from core.progress import Progress
from partita.v1 import inferencer_pb2, inferencer_pb2_grpc
from services.runtime.calls import reading
from services.runtime.errors import typed_errors

CALL_TIMEOUT_SECONDS = 10.0

PREPARE_TIMEOUT_SECONDS = 600.0


class InferencerClient:
    """One server's Inferencer."""

    def __init__(self, channel: grpc.aio.Channel, server: str) -> None:
        self._stub = inferencer_pb2_grpc.InferencerStub(channel)
        self._peer = f"Inferencer of server {server!r}"

    async def prepare(self, version: DeploymentVersion, progress: Progress) -> None:
        """Have the server fetch, load and warm its components."""
        request = inferencer_pb2.PrepareRequest(version=dumps(version))
        with typed_errors(self._peer), reading(self._stub.Prepare(request, timeout=PREPARE_TIMEOUT_SECONDS)) as call:
            async for response in call:
                if response.HasField("progress"):
                    progress(response.progress.fraction, response.progress.message)

    async def release(self, deployment: str, version: int) -> None:
        """Have the server let go of a version."""
        with typed_errors(self._peer):
            request = inferencer_pb2.ReleaseRequest(deployment=deployment, version=version)
            await self._stub.Release(request, timeout=CALL_TIMEOUT_SECONDS)
