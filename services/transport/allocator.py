"""Keeps memory that messages were in, instead of giving it back to the system and taking fresh pages for the next."""

import ctypes
import functools

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
"""Parameters of glibc's mallopt."""

KEPT_BYTES = 64 * 2**20
"""Most free memory that is kept at the end of the heap."""

MESSAGE_BYTES = 4 * 2**20
"""Blocks up to this size come from the heap; larger ones, as of weights, go back to the system at once."""


@functools.cache
def keep_message_memory() -> bool:
    """Set the C library's allocator so, for this process; returns whether it could be done.

    A chunk is a block of memory in gRPC and in Python at either end. Taking them anew from the system, page by page,
    was half of the time of a tensor over loopback.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    settings = {_M_MMAP_THRESHOLD: MESSAGE_BYTES, _M_TRIM_THRESHOLD: KEPT_BYTES, _M_TOP_PAD: MESSAGE_BYTES}
    return all(mallopt(name, value) == 1 for name, value in settings.items())
