"""What all calls to the Deployer share: its address and the connections."""

from types import TracebackType
from typing import Self

from core.errors import InvalidArgumentError
from partita.v1 import deployer_pb2_grpc
from services.runtime.channels import Channels

CALL_SECONDS = 30.0
"""Timeout of short calls."""


class DeployerCalls:
    """Connects to a Deployer on first use. Every call may raise ``ServerUnavailableError``."""

    def __init__(self, address: str) -> None:
        if not address.rpartition(":")[0]:
            raise InvalidArgumentError(f"address {address!r} is not host:port, for example 127.0.0.1:50051")
        self.address = address
        self._channels = Channels()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; calls under way are cancelled."""
        await self._channels.__aexit__(None, None, None)

    @property
    def _stub(self) -> deployer_pb2_grpc.DeployerStub:
        return deployer_pb2_grpc.DeployerStub(self._channels.to(self.address))

    @property
    def _peer(self) -> str:
        return f"the Deployer at {self.address}"
