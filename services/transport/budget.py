"""A bound on what is under way, in bytes."""

import asyncio


class ByteBudget:
    """Lets through so many bytes at once; others wait in the order in which they came.

    Args:
        limit_bytes: most that is held at once; something larger is let through alone.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._free_bytes = limit_bytes
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    async def take(self, byte_count: int) -> None:
        """Wait for ``byte_count`` bytes; to be given back."""
        amount = min(byte_count, self._limit_bytes)
        if self._free_bytes >= amount and not self._waiting:
            self._free_bytes -= amount
            return
        self._waiting += 1
        try:
            async with self._turn:
                while self._free_bytes < amount:
                    self._freed.clear()
                    await self._freed.wait()
                self._free_bytes -= amount
        finally:
            self._waiting -= 1

    def give_back(self, byte_count: int) -> None:
        """Let others have what was taken."""
        self._free_bytes += min(byte_count, self._limit_bytes)
        self._freed.set()
