"""Bytes and tensors as chunks: cut on one side, checked and put together on the other."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from core.buffers import Bytes, Memory, as_tensor
from core.errors import CorruptDataError, InvalidArgumentError, InvalidTensorError, TooLargeError
from core.tensors import DTYPES, Array, TensorSpec
from partita.v1 import types_pb2

CHUNK_BYTES = 2**20
"""Bytes of one chunk."""

_NAMES = {np.dtype(name): name for name in DTYPES}
"""numpy makes the name of a dtype anew each time, which takes as long as half of all else that a small tensor needs."""

BLOB_LIMIT_BYTES = 2**32
"""Largest blob; models and tensors have lower limits where they come in."""


def chunks(data: bytes | memoryview) -> Iterator[types_pb2.Chunk]:
    """Cut ``data`` into chunks that follow each other."""
    view = memoryview(data)
    for offset in range(0, len(view), CHUNK_BYTES):
        yield types_pb2.Chunk(offset=offset, data=bytes(view[offset : offset + CHUNK_BYTES]))


def raw_bytes(array: Array) -> memoryview:
    """The array's bytes, row-major, without a copy where it is contiguous."""
    if array.size and array.flags.c_contiguous:
        return array.data.cast("B")
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def to_spec(header: types_pb2.TensorSpec) -> TensorSpec:
    """Read a tensor header.

    Raises:
        InvalidTensorError: unknown dtype or negative dimension.
    """
    spec = TensorSpec(header.name, header.dtype, tuple(header.shape))
    if spec.dtype not in DTYPES or min(spec.shape, default=0) < 0:
        raise InvalidTensorError(
            f"tensor {spec.name!r} has dtype {spec.dtype!r} and shape {list(spec.shape)}; "
            f"dtype must be one of {', '.join(sorted(DTYPES))} and dimensions ≥ 0"
        )
    return spec


def from_spec(spec: TensorSpec) -> types_pb2.TensorSpec:
    """Write a tensor header."""
    return types_pb2.TensorSpec(name=spec.name, dtype=spec.dtype, shape=spec.shape)


def spec_of(name: str, array: Array) -> TensorSpec:
    """Name, dtype and shape of an array."""
    return TensorSpec(name, dtype_name(array), array.shape)


def dtype_name(array: Array) -> str:
    """Name of an array's dtype."""
    return _NAMES.get(array.dtype) or array.dtype.name


def tensor_parts(arrays: Mapping[str, Array]) -> Iterator[types_pb2.TensorPart]:
    """Arrays as a stream of headers, each with its first chunk, and further chunks."""
    for name, array in arrays.items():
        following = chunks(raw_bytes(array))
        yield types_pb2.TensorPart(header=from_spec(spec_of(name, array)), chunk=next(following, None))
        for chunk in following:
            yield types_pb2.TensorPart(chunk=chunk)


class ChunkSequence:
    """Checks that chunks follow each other and keep to the announced size."""

    def __init__(self, what: str, byte_count: int, limit_bytes: int) -> None:
        """Expect ``byte_count`` bytes; ``what`` names the thing in errors.

        Raises:
            TooLargeError: more than ``limit_bytes`` are announced.
        """
        if byte_count > limit_bytes:
            raise TooLargeError(f"{what} has {byte_count} bytes; at most {limit_bytes} are accepted")
        self._what = what
        self._announced = byte_count
        self.received = 0

    def add(self, chunk: types_pb2.Chunk) -> None:
        """Take the next chunk; raises as ``advance`` does."""
        self.advance(chunk.offset, len(chunk.data))

    def advance(self, offset: int, byte_count: int) -> None:
        """Note that ``byte_count`` bytes came, from ``offset`` on.

        Raises:
            InvalidArgumentError: they are not the next ones.
            TooLargeError: they reach past the announced size.
        """
        if offset != self.received:
            raise InvalidArgumentError(
                f"{self._what}: a chunk at offset {offset} came where {self.received} was due; keep the order"
            )
        end = self.received + byte_count
        if end > self._announced:
            raise TooLargeError(f"{self._what}: {end} bytes came, but {self._announced} were announced")
        self.received = end

    @property
    def complete(self) -> bool:
        """Whether all announced bytes are there."""
        return self.received == self._announced

    def check_complete(self) -> None:
        """Check that nothing is missing at the end of the stream.

        Raises:
            InvalidArgumentError: the stream ended early.
        """
        if not self.complete:
            raise InvalidArgumentError(
                f"{self._what}: the stream ended after {self.received} of {self._announced} announced bytes"
            )


class Assembly(ChunkSequence):
    """Puts chunks together in a buffer of announced size."""

    def __init__(
        self, what: str, byte_count: int, limit_bytes: int, memory: Callable[[int], Bytes | None] | None = None
    ) -> None:
        """Reserve ``byte_count`` bytes, of ``memory`` if it gives them; raises as ``ChunkSequence`` does."""
        super().__init__(what, byte_count, limit_bytes)
        buffer = memory(byte_count) if memory is not None else None
        self.buffer = np.empty(byte_count, np.uint8) if buffer is None else buffer

    def add(self, chunk: types_pb2.Chunk) -> None:
        """Take the next chunk; raises as ``ChunkSequence`` does."""
        # Each look at a field of bytes copies it.
        start, data = self.received, chunk.data
        self.advance(chunk.offset, len(data))
        self.buffer[start : self.received] = np.frombuffer(data, np.uint8)

    def finish(self) -> Array:
        """The bytes, as an array of uint8.

        Raises:
            InvalidArgumentError: the stream ended early.
        """
        self.check_complete()
        return self.buffer


class TensorAssembly(Assembly):
    """Puts one tensor's chunks together in place."""

    def __init__(self, spec: TensorSpec, limit_bytes: int, memory: Memory | None = None) -> None:
        """Reserve the tensor that ``spec`` announces."""
        named = partial(memory, spec.name) if memory is not None else None
        super().__init__(f"tensor {spec.name!r}", spec.byte_count, limit_bytes, named)
        self.spec = spec

    def array(self) -> Array:
        """The tensor, without a copy; see ``finish``."""
        self.check_complete()
        return as_tensor(self.buffer, self.spec)


class TensorsAssembly:
    """Puts a stream of several tensors together.

    Args:
        limit_bytes: largest size of one tensor.
        check: refuses, by raising, a tensor that is not wanted, before any of it is taken.
        memory: where tensors are put together, where that matters.
    """

    def __init__(
        self, limit_bytes: int, check: Callable[[TensorSpec], None] | None = None, memory: Memory | None = None
    ) -> None:
        self._limit_bytes = limit_bytes
        self._check = check
        self._memory = memory
        self._open: TensorAssembly | None = None

    def add(self, part: types_pb2.TensorPart) -> tuple[str, Array] | None:
        """Take the next part; returns name and array when it completes a tensor.

        Raises:
            InvalidArgumentError: a chunk without a header, or a header before the last tensor was complete.
            TooLargeError: see ``Assembly``.
        """
        if part.HasField("header"):
            self.finish()
            spec = to_spec(part.header)
            if self._check is not None:
                self._check(spec)
            self._open = TensorAssembly(spec, self._limit_bytes, self._memory)
        elif self._open is None:
            raise InvalidArgumentError("a chunk came before any tensor header; send the header first")
        if part.HasField("chunk"):
            self._open.add(part.chunk)
        if not self._open.complete:
            return None
        done, self._open = self._open, None
        return done.spec.name, done.array()

    def finish(self) -> None:
        """Check that no tensor is left incomplete."""
        if self._open is not None:
            self._open.finish()


def verify(data: bytes | memoryview, sha256: str) -> None:
    """Check that ``data`` has the given hash.

    Raises:
        CorruptDataError: it has not.
    """
    actual = hashlib.sha256(data).hexdigest()
    if actual != sha256:
        raise CorruptDataError(f"blob {sha256[:12]} arrived with hash {actual[:12]}; fetch it again")
