"""Protobuf's encoding by hand, for messages that hold tensors: one copy of the data instead of five.

What is written is byte for byte what protobuf writes.
"""

from collections.abc import Iterator

from core.tensors import Array
from services.runtime.streams import CHUNK_BYTES, raw_bytes

_OFFSET_TAG, _DATA_TAG, _CHUNK_TAG = b"\x08", b"\x12", b"\x12"
"""Fields 1 and 2 of ``Chunk``, and field 2 of ``TensorPart``."""


def chunk_messages(field: int, array: Array) -> Iterator[bytes]:
    """The chunks of ``array``, each in a ``TensorPart`` that is field ``field``, below 16, of a message."""
    view = raw_bytes(array)
    for offset in range(0, view.nbytes, CHUNK_BYTES):
        data = view[offset : offset + CHUNK_BYTES]
        # A number that is zero is left out.
        begin = (_OFFSET_TAG + varint(offset) if offset else b"") + _DATA_TAG + varint(data.nbytes)
        chunk_bytes = len(begin) + data.nbytes
        part = _CHUNK_TAG + varint(chunk_bytes)
        message = bytes((field << 3 | 2,)) + varint(len(part) + chunk_bytes)
        yield b"".join((message, part, begin, data))


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
