"""Tells watchers that something has changed."""

import asyncio
from collections.abc import AsyncIterator


class Changes:
    """A number that counts changes, and a way to wait for the next. Belongs to one event loop."""

    def __init__(self) -> None:
        self._version = 0
        self._changed = asyncio.Event()
        self._closed = False

    def notify(self) -> None:
        """Something has changed: wake every watcher."""
        self._version += 1
        self._wake()

    def close(self) -> None:
        """No watcher shall wait any longer."""
        self._closed = True
        self._wake()

    async def watch(self) -> AsyncIterator[int]:
        """Yield the version now and after changes, until closed; a slow watcher sees several changes as one."""
        seen = None
        while not self._closed:
            if seen == self._version:
                await self._changed.wait()
            else:
                seen = self._version
                yield seen

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
