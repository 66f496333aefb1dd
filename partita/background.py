"""An event loop in a thread of its own, through which synchronous code drives asyncio code."""

import asyncio
import atexit
import concurrent.futures
import contextlib
import threading
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")

CANCEL_SECONDS = 2.0
"""How long an interrupted call may take to clean up before its caller goes on."""


class BackgroundLoop:
    """An event loop that runs until the interpreter ends."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="partita", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for it; an interrupt (Ctrl-C) cancels it.

        Raises:
            RuntimeError: called on the loop's own thread, from a progress callback for example.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a synchronous call from within a progress callback would wait for itself")
        tasks: list[asyncio.Task[Any] | None] = []

        async def tracked() -> T:
            tasks.append(asyncio.current_task())
            return await work

        try:
            return asyncio.run_coroutine_threadsafe(tracked(), self._loop).result()
        except BaseException:
            # An interrupt may come before there is a future to cancel.
            self._cancel(tasks)
            raise

    def _cancel(self, tasks: "list[asyncio.Task[Any] | None]") -> None:
        async def cancel() -> None:
            for task in filter(None, tasks):
                task.cancel()

        # The coroutine gets a moment to end its call.
        settled = asyncio.run_coroutine_threadsafe(cancel(), self._loop)
        with contextlib.suppress(concurrent.futures.TimeoutError):
            settled.result(CANCEL_SECONDS)

    def stop(self) -> None:
        """Cancel what still runs, and end the loop and its thread."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        self._thread.join(CANCEL_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._loop.stop()


@cache
def shared_loop() -> BackgroundLoop:
    """The process's one background loop: gRPC's asyncio objects do not mix well across several."""
    loop = BackgroundLoop()
    atexit.register(loop.stop)
    return loop
