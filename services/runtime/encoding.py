"""Protobuf's encoding by hand, for messages that hold tensors: one copy of the data instead of five.

What is written is byte for byte what protobuf writes.
"""

from collections.abc import Iterator, Mapping

from core.tensors import Array
from partita.v1 import types_pb2
from services.runtime.streams import CHUNK_BYTES, from_spec, raw_bytes, spec_of

_OFFSET_TAG, _DATA_TAG, _CHUNK_TAG = b"\x08", b"\x12", b"\x12"
"""Fields 1 and 2 of ``Chunk``, and field 2 of ``TensorPart``."""

_Pieces = tuple[bytes | memoryview, ...]


def tensor_messages(field: int, arrays: Mapping[str, Array], first: bytes = b"", last: bytes = b"") -> Iterator[bytes]:
    """Messages of which each has one part of a tensor, as ``streams.tensor_parts`` cuts it, as its field ``field``.

    Args:
        field: below 16.
        arrays: to be sent; where there are none, one message is written all the same.
        first: what the first message has besides, in fields below ``field``, as protobuf writes it.
        last: what the last message has besides, in fields above ``field``, as protobuf writes it.
    """
    pieces: list[bytes | memoryview] = [first]
    for part in _parts(arrays):
        if len(pieces) > 1:
            yield b"".join(pieces)
            pieces = []
        pieces += (bytes((field << 3 | 2,)), varint(sum(map(len, part))), *part)
    yield b"".join((*pieces, last))


def _parts(arrays: Mapping[str, Array]) -> Iterator[_Pieces]:
    for name, array in arrays.items():
        header = types_pb2.TensorPart(header=from_spec(spec_of(name, array))).SerializeToString()
        data = raw_bytes(array)
        yield (header, *_chunk(data, 0))
        for offset in range(CHUNK_BYTES, len(data), CHUNK_BYTES):
            yield _chunk(data, offset)


def _chunk(data: memoryview, offset: int) -> _Pieces:
    """The chunk at ``offset``, as it stands in a ``TensorPart``; nothing where there is none."""
    data = data[offset : offset + CHUNK_BYTES]
    if not data:
        return ()
    # A number that is zero is left out.
    begin = (_OFFSET_TAG + varint(offset) if offset else b"") + _DATA_TAG + varint(len(data))
    return (_CHUNK_TAG, varint(len(begin) + len(data)), begin, data)


def varint(number: int) -> bytes:
    """A number: seven bits a byte, the lowest first."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def read_varint(message: bytes, position: int) -> tuple[int, int]:
    """The number at ``position`` and the position after it; a length that no message has where it does not end."""
    number = shift = 0
    for index in range(position, min(position + 10, len(message))):
        number |= (message[index] & 0x7F) << shift
        if message[index] < 0x80:
            return number, index + 1
        shift += 7
    return 2**64, position
