"""Memory for tensors, used again and again: fresh pages cost about 0.45 ms a megabyte."""

import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from core.tensors import Array, TensorSpec

IDLE_LIMIT_BYTES = 128 * 2**20
"""Most memory that is kept for tensors to come."""

PAGE_BYTES = 4096

Bytes = NDArray[np.uint8]

Memory = Callable[[str, int], Bytes | None]
"""Where the tensor of this name and size in bytes is to be made; ``None``: anywhere. Any thread may ask."""

T = TypeVar("T")


class BufferPool:
    """Hands out memory that comes back by itself when nothing refers to it any more.

    Args:
        idle_limit_bytes: most that is kept while unused; what was used longest ago is let go first.
    """

    def __init__(self, idle_limit_bytes: int = IDLE_LIMIT_BYTES) -> None:
        self._idle_limit_bytes = idle_limit_bytes
        self._idle: deque[Bytes] = deque()

    @property
    def idle_bytes(self) -> int:
        """Memory that waits for a tensor."""
        return sum(buffer.nbytes for buffer in tuple(self._idle))

    def take(self, byte_count: int) -> Bytes:
        """Memory of ``byte_count`` bytes with any content; it is free again once no view of it is left."""
        buffer = self._fitting(byte_count)
        if buffer is None:
            buffer = np.empty(-(-byte_count // PAGE_BYTES) * PAGE_BYTES, np.uint8)
        return watched(buffer.data[:byte_count], self._give_back, buffer)

    def _fitting(self, byte_count: int) -> Bytes | None:
        for _ in range(len(self._idle)):
            try:
                buffer = self._idle.popleft()
            except IndexError:
                return None
            if byte_count <= buffer.nbytes <= 2 * byte_count + PAGE_BYTES:
                return buffer
            self._idle.append(buffer)
        return None

    def _give_back(self, buffer: Bytes) -> None:
        # Called in whatever thread: every step is safe by itself.
        self._idle.append(buffer)
        while self.idle_bytes > self._idle_limit_bytes:
            with suppress(IndexError):
                self._idle.popleft()


def watched(memory: memoryview, let_go: Callable[[T], object], argument: T) -> Bytes:
    """``memory`` as an array; ``let_go(argument)`` is called, in any thread, when no view of that array is left.

    Views of an array refer to it as long as it is no view of another array itself; those of a memoryview would not.
    """
    array = np.frombuffer(memory, np.uint8) if memory.nbytes else np.empty(0, np.uint8)
    weakref.finalize(array, let_go, argument).atexit = False
    return array


def as_tensor(memory: Bytes, spec: TensorSpec) -> Array:
    """The tensor that lies in ``memory``, in place."""
    return memory.view(spec.dtype).reshape(spec.shape)
