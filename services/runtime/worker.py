"""Runs long work in a process of its own that dies when its caller is cancelled."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from core.errors import InternalError, PartitaError
from core.progress import Progress

T = TypeVar("T")

_SPAWN = multiprocessing.get_context("spawn")


async def run_in_process(
    function: Callable[..., T], *arguments: Any, progress: Progress, inherited: tuple[Any, ...] = ()
) -> T:
    """Call ``function(*arguments, progress=…)`` in a fresh process and wait for its result.

    Cancelling ends the process and everything it started (solvers, for example) at once.

    Args:
        function: a module-level function; arguments, result and errors must be picklable.
        inherited: further arguments, small ones, that a process can be given only as it starts: events and locks.

    Raises:
        PartitaError: as the function raised it.
        InternalError: the function failed otherwise, or the process died.
    """
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_main, args=(theirs, inherited), daemon=True)
    loop = asyncio.get_running_loop()
    # A thread of its own: long waits in the loop's shared few would leave none for others.
    thread = ThreadPoolExecutor(1, "worker")
    starting = loop.run_in_executor(thread, process.start)
    try:
        await asyncio.shield(starting)
        theirs.close()
        # Only now: what is given to a process as it starts waits for ever to be read where it died meanwhile.
        await loop.run_in_executor(thread, _send, ours, (function, arguments))
        while True:
            try:
                kind, value = await loop.run_in_executor(thread, ours.recv)
            except (EOFError, ConnectionResetError):
                await loop.run_in_executor(thread, process.join, 1)
                raise InternalError(
                    f"the process for {function.__name__} ended with exit code {process.exitcode} before its result; "
                    "it may have run out of memory"
                ) from None
            if kind == "progress":
                progress(*value)
            elif kind == "result":
                return value  # type: ignore[no-any-return]
            else:
                raise value
    finally:
        # Only what has started can be killed.
        await asyncio.wait([starting])
        if process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            await loop.run_in_executor(thread, process.join)
        thread.shutdown(wait=False)


def _send(connection: Connection, work: tuple[Callable[..., Any], tuple[Any, ...]]) -> None:
    # Whoever does not read any more is dead, which shows when its answer is read.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.send(work)


def _main(connection: Connection, inherited: tuple[Any, ...]) -> None:
    # A group of its own: ended as a whole, and not reached by the terminal's Ctrl-C.
    os.setsid()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    function, arguments = connection.recv()

    def progress(fraction: float, message: str) -> None:
        connection.send(("progress", (fraction, message)))

    try:
        answer: tuple[str, Any] = ("result", function(*arguments, *inherited, progress=progress))
    except PartitaError as error:
        answer = ("error", type(error)(str(error)))
    except Exception as error:  # noqa: BLE001 - the border: nothing may pass untyped
        answer = ("error", InternalError(f"{function.__name__} failed: {type(error).__name__}: {error}"))
    connection.send(answer)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.killpg(0, signal.SIGKILL)
