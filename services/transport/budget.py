"""A bound on what is under way, in bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ByteBudget:
    """Lets through so many bytes at once; others wait in the order in which they came.

    Args:
        limit_bytes: most that is held at once; something larger is let through alone.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._free_bytes = limit_bytes
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def hold(self, byte_count: int) -> AsyncIterator[None]:
        """Wait for ``byte_count`` bytes and hold them during what is inside."""
        amount = min(byte_count, self._limit_bytes)
        async with self._turn:
            while self._free_bytes < amount:
                self._freed.clear()
                await self._freed.wait()
            self._free_bytes -= amount
        try:
            yield
        finally:
            self._free_bytes += amount
            self._freed.set()
