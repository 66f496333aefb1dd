"""Do something inside a network namespace: a socket or device made there stays there, wherever it is used from."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_NETWORK = 0x40000000  # CLONE_NEWNET
_libc = ctypes.CDLL(None, use_errno=True)


def inside(namespace: str, make: Callable[[], T]) -> T:
    """Call ``make`` with this thread in a named network namespace, and come back.

    Raises:
        OSError: there is no such namespace, or it may not be entered.
    """
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(Path("/run/netns", namespace), os.O_RDONLY)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            return make()
        finally:
            _enter(here)
    finally:
        os.close(here)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _NETWORK) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
