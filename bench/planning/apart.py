"""Running a measurement in a process of its own, so that it has its own memory peak and can be ended at any time."""

import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, TypeVar

from core.errors import InternalError, PartitaError

T = TypeVar("T")

Begin = Callable[[], None]
"""What a measured function calls when its preparations are done and the time limit starts to count."""

MOST_MEMORY_BYTES = 8 * 2**30
"""Address space of a measured process, so that one that grows without end fails before it takes the machine's."""

_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Stopped:
    """A function that did not end within its limit; both count from its ``begin`` on."""

    seconds: float
    processor_seconds: float


@dataclass(frozen=True)
class Ended(Generic[T]):
    """What a function returned, and the largest resident memory of its process."""

    value: T
    peak_memory_bytes: int


def run_apart(function: Callable[..., T], *arguments: Any, limit_seconds: float | None = None) -> Ended[T] | Stopped:
    """Call ``function(*arguments, begin=…)`` in a fresh process with one thread for numpy's routines.

    The process ends with this call, however it ends, and with this process.

    Args:
        function: module-level; arguments and result must be picklable. It calls ``begin`` once.
        limit_seconds: time from ``begin`` on after which the process is killed.

    Raises:
        PartitaError: as the function raised it.
        InternalError: the function failed otherwise, or its process died.
    """
    receiver, sender = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=_main, args=(sender, function, arguments), daemon=True)
    before = _children_processor_seconds()
    with _one_thread(), _deaf_to_interrupts():
        process.start()
    sender.close()
    begun, prepared = time.perf_counter(), 0.0
    end = None
    try:
        while True:
            if not receiver.poll(None if end is None else max(0.0, end - time.perf_counter())):
                seconds = time.perf_counter() - begun
                process.kill()
                process.join()
                return Stopped(seconds, max(0.0, _children_processor_seconds() - before - prepared))
            try:
                kind, value = receiver.recv()
            except EOFError:
                process.join(1)
                raise InternalError(
                    f"the process for {function.__name__} ended with exit code {process.exitcode} before its result; "
                    "it may have run out of memory"
                ) from None
            if kind == "begin":
                begun, prepared = time.perf_counter(), value
                end = None if limit_seconds is None else begun + limit_seconds
            elif kind == "ended":
                return Ended(*value)
            else:
                raise value
    finally:
        process.kill()
        process.join()
        receiver.close()


def _main(sender: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MOST_MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(hard, MOST_MEMORY_BYTES)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))

    def begin() -> None:
        sender.send(("begin", time.process_time()))

    try:
        answer: tuple[str, Any] = ("ended", (function(*arguments, begin=begin), _peak_memory_bytes()))
    except PartitaError as error:
        answer = ("error", type(error)(str(error)))
    except Exception as error:  # noqa: BLE001 - the border: nothing may pass untyped
        answer = ("error", InternalError(f"{function.__name__} failed: {type(error).__name__}: {error}"))
    sender.send(answer)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _peak_memory_bytes() -> int:
    if sys.platform == "linux":
        # The kernel carries ru_maxrss over from the parent through fork and exec; VmHWM is the process's own.
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _children_processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """What starts here does not get the terminal's Ctrl-C; it is for the parent to end it, without a traceback."""
    # Starting the tracker would unblock the signal.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def _one_thread() -> Iterator[None]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
