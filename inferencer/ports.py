"""What an Inferencer needs from the outside."""

from typing import Protocol

from core.buffers import Bytes
from core.deployment import RequestKey
from core.tensors import Array


class BlobSource(Protocol):
    """Where components come from."""

    async def get_blob(self, sha256: str) -> bytes:
        """The verified content of a blob."""


class Outlet(Protocol):
    """Where tensors go."""

    def memory_for(self, server: str, address: str, byte_count: int) -> Bytes | None:
        """Memory from which sending there takes no copy, where there is such; any thread may ask."""

    async def to_inferencer(
        self, server: str, address: str, key: RequestKey, name: str, array: Array, compress: bool
    ) -> None:
        """Send a tensor to another server's Inferencer; returns when it has arrived."""

    async def to_front_end(
        self, server: str, address: str, key: RequestKey, name: str, array: Array, compress: bool
    ) -> None:
        """Send a model output to the device's FrontEnd; returns when it has arrived."""
