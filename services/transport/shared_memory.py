"""Tensors between processes of one machine: in memory that both have mapped, made there or written there once.

A sender keeps segments. It uses one again when it has let go of the tensor itself, and the receiver has too, which the
segment's first byte says. A segment has a name in ``/dev/shm`` only until the receiver has mapped it; while it has one,
its owner holds a lock on it, so that others can tell the leftovers of a killed process.
"""

import fcntl
import mmap
import os
import re
import secrets
import shutil
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.buffers import Bytes, watched
from partita.v1 import tensor_transport_pb2

DIRECTORY = Path("/dev/shm")  # noqa: S108 - shared memory is what is meant

LEAST_BYTES = 2**17
"""Smaller tensors are as quick on the stream."""

LIMIT_BYTES = 256 * 2**20
"""Most shared memory that one sender takes for one receiver; half of what is free where that is less."""

LENT_LIMIT_BYTES = LIMIT_BYTES // 2
"""Most of it in which tensors of this process lie: those of requests that wait must not take all from those that go."""

DATA_OFFSET = 4096
"""Where the tensor begins: behind the byte that says whether it is in use, on a page of its own."""

_NAME = re.compile(r"partita-[0-9a-f]{32}")

_FREE, _IN_USE = 0, 1

_PROBE_BYTES = 32


class SegmentError(Exception):
    """A segment of shared memory cannot be mapped."""


class SharedFile:
    """A new file in shared memory with a random name that no other process guesses.

    Attributes:
        memory: its content.
        address: where that begins in this process.
        lent: whether a tensor of this process lies there.
    """

    def __init__(self, byte_count: int) -> None:
        """Make a file of ``byte_count`` bytes, all of which are really there.

        Raises:
            OSError: there is no shared memory, or not enough.
        """
        self.name = f"partita-{secrets.token_hex(16)}"
        # Locked before it has a name: whoever finds it unlocked may take it for a leftover.
        self._descriptor = os.open(DIRECTORY, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(self._descriptor, 0, byte_count)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            self.memory = mmap.mmap(self._descriptor, byte_count)
            directory = os.open(DIRECTORY, os.O_RDONLY | os.O_CLOEXEC)
            try:
                # Only with a directory given is the link followed to the file without a name.
                os.link(f"/proc/self/fd/{self._descriptor}", self.name, dst_dir_fd=directory, follow_symlinks=True)
            finally:
                os.close(directory)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._unnamed = threading.Lock()
        self.address = _address(memoryview(self.memory))
        self.lent = False

    @property
    def free(self) -> bool:
        """Whether neither end uses it."""
        return not self.lent and self.memory[0] == _FREE

    def unname(self) -> None:
        """Remove the name, where the receiver has not done so. Any thread may ask, and again."""
        if self._unnamed.acquire(blocking=False):
            with suppress(OSError):
                (DIRECTORY / self.name).unlink()
            os.close(self._descriptor)


@dataclass(frozen=True)
class Segment:
    """A tensor in shared memory.

    Attributes:
        file: where it lies.
        message: what the receiver needs to find it.
        given_up: those whose names are still to be told.
    """

    file: SharedFile
    message: tensor_transport_pb2.SharedSegment
    given_up: list[str]

    def release(self) -> None:
        """Take the memory back where the receiver was never told of it."""
        self.file.memory[0] = _FREE
        self.given_up.extend(self.message.released)


class SegmentPool:
    """A sender's segments for one receiver. Any thread may ask for memory.

    Attributes:
        usable: whether the receiver is known to share this machine's memory.
    """

    def __init__(self) -> None:
        self._files: list[SharedFile] = []
        self._given_up: list[str] = []
        self._lock = threading.Lock()
        self.usable = False

    def memory(self, byte_count: int) -> Bytes | None:
        """Shared memory to make a tensor in, which ``put`` then need not write; ``None`` where there is no room.

        It is free again once no view of it is left here, and the receiver has let go of what was put from it.
        """
        with self._lock:
            lent_bytes = sum(len(file.memory) for file in self._files if file.lent)
            file = self._free(byte_count) if lent_bytes + byte_count <= LENT_LIMIT_BYTES else None
            if file is None:
                return None
            file.lent = True
        return watched(memoryview(file.memory)[DATA_OFFSET : DATA_OFFSET + byte_count], _take_back, file)

    def put(self, data: memoryview) -> Segment | None:
        """Have ``data`` in shared memory, written there if need be; ``None`` where there is no room."""
        with self._lock:
            made_in = self._made_in(data)
            file = made_in or self._free(data.nbytes)
            if file is None:
                return None
            file.memory[0] = _IN_USE
            message = tensor_transport_pb2.SharedSegment(
                name=file.name, byte_count=len(file.memory), released=self._given_up
            )
            self._given_up.clear()
        if made_in is None:
            memoryview(file.memory)[DATA_OFFSET : DATA_OFFSET + data.nbytes] = data
        return Segment(file, message, self._given_up)

    def close(self) -> None:
        """Let go of all segments; the receiver keeps those whose tensors it still uses."""
        with self._lock:
            self.usable = False
            for file in self._files:
                file.unname()
            self._files = []

    def _made_in(self, data: memoryview) -> SharedFile | None:
        """The segment in which ``data`` lie, unless the receiver uses it: one byte tells of one tensor only."""
        address = _address(data) - DATA_OFFSET
        return next((file for file in self._files if file.address == address and file.memory[0] == _FREE), None)

    def _free(self, byte_count: int) -> SharedFile | None:
        if not self.usable:
            return None
        size = _rounded(DATA_OFFSET + byte_count)
        for file in self._files:
            if file.free and size <= len(file.memory) <= 2 * size:
                return file
        try:
            limit = min(LIMIT_BYTES, shutil.disk_usage(DIRECTORY).free // 2)
            self._make_room(limit - size)
            if sum(len(file.memory) for file in self._files) + size > limit:
                return None
            file = SharedFile(size)
        except OSError:
            return None
        self._files.append(file)
        return file

    def _make_room(self, rest_bytes: int) -> None:
        """Give up free segments, which fitted none, until the others take no more than ``rest_bytes``."""
        for file in list(self._files):
            if sum(len(one.memory) for one in self._files) <= rest_bytes:
                return
            if file.free:
                self._files.remove(file)
                self._given_up.append(file.name)
                file.unname()


def _take_back(file: SharedFile) -> None:
    file.lent = False


def _address(memory: memoryview) -> int:
    return np.frombuffer(memory, np.uint8).ctypes.data if memory.nbytes else 0


class MappedSegments:
    """A receiver's view of one sender's segments."""

    def __init__(self) -> None:
        self._mapped: dict[str, mmap.mmap] = {}

    def view(self, segment: tensor_transport_pb2.SharedSegment) -> Bytes:
        """The tensor's bytes in ``segment``; the sender may write anew once no view of them is left.

        Raises:
            SegmentError: it cannot be mapped.
        """
        for name in segment.released:
            self._mapped.pop(name, None)
        memory = self._mapped.get(segment.name)
        if memory is None:
            memory = self._mapped[segment.name] = _map(segment.name, segment.byte_count)
        return watched(memoryview(memory)[DATA_OFFSET:], _release, memory)


def _release(memory: mmap.mmap) -> None:
    memory[0] = _FREE


def _map(name: str, byte_count: int) -> mmap.mmap:
    """Map another process's file and remove its name."""
    try:
        descriptor = _open(name, os.O_RDWR)
        try:
            size = os.fstat(descriptor).st_size
            if size != byte_count or size <= DATA_OFFSET:
                raise SegmentError(f"segment {name} has {size} bytes, but {byte_count} were announced")
            memory = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        with suppress(FileNotFoundError):
            (DIRECTORY / name).unlink()
    except (OSError, ValueError) as error:
        raise SegmentError(f"segment {name} cannot be mapped: {error}") from error
    return memory


def _open(name: str, flags: int) -> int:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a segment")
    return os.open(DIRECTORY / name, flags | os.O_NOFOLLOW | os.O_CLOEXEC)


def _rounded(byte_count: int) -> int:
    """Whole pages, at least an eighth larger than a smaller tensor's: tensors of about one size share segments."""
    step = max(DATA_OFFSET, 1 << max(0, byte_count.bit_length() - 4))
    return -(-byte_count // step) * step


def make_probe() -> SharedFile | None:
    """A file by which a receiver shows that it shares this machine's memory; ``None`` where there is none."""
    try:
        file = SharedFile(_PROBE_BYTES)
    except OSError:
        return None
    file.memory[:] = secrets.token_hex(_PROBE_BYTES // 2).encode()
    return file


def read_probe(name: str) -> str:
    """Content of another process's probe; empty where it cannot be read, as on another machine."""
    try:
        descriptor = _open(name, os.O_RDONLY)
    except (OSError, ValueError):
        return ""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_PROBE_BYTES).decode(errors="replace")


def remove_leftovers() -> int:
    """Remove files of processes that were killed before the receiver had mapped them; returns how many."""
    removed = 0
    for path in DIRECTORY.glob("partita-*") if DIRECTORY.is_dir() else ():
        with suppress(OSError, ValueError):
            descriptor = _open(path.name, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                removed += 1
            finally:
                os.close(descriptor)
    return removed
