"""Calls a device's FrontEnd, as the Deployer uses it."""

import grpc

from core.deployment import DeploymentVersion
from core.documents import dumps
from partita.v1 import front_end_pb2, front_end_pb2_grpc
from services.runtime.errors import typed_errors

CALL_TIMEOUT_SECONDS = 10.0

DRAIN_TIMEOUT_SECONDS = 600.0


class FrontEndClient:
    """One device's FrontEnd, as the Deployer uses it."""

    def __init__(self, channel: grpc.aio.Channel, server: str) -> None:
        self._stub = front_end_pb2_grpc.FrontEndStub(channel)
        self._peer = f"FrontEnd of server {server!r}"

    async def activate(self, version: DeploymentVersion) -> None:
        """Make a version the current one."""
        with typed_errors(self._peer):
            request = front_end_pb2.ActivateRequest(version=dumps(version))
            await self._stub.Activate(request, timeout=CALL_TIMEOUT_SECONDS)

    async def deactivate(self, deployment: str) -> None:
        """Take no more requests for a deployment."""
        with typed_errors(self._peer):
            request = front_end_pb2.DeactivateRequest(deployment=deployment)
            await self._stub.Deactivate(request, timeout=CALL_TIMEOUT_SECONDS)

    async def drain(self, deployment: str, version: int) -> None:
        """Wait until no request of a version is under way."""
        with typed_errors(self._peer):
            request = front_end_pb2.DrainRequest(deployment=deployment, version=version)
            await self._stub.Drain(request, timeout=DRAIN_TIMEOUT_SECONDS)
