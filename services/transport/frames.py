"""Messages of the stream as bytes, with one copy of the tensor's data instead of four.

What is written is byte for byte what protobuf writes for ``CarryRequest`` around a header; what is read may be any
encoding of it.
"""

from typing import NamedTuple

from partita.v1 import tensor_transport_pb2
from services.runtime.encoding import read_varint, varint

_HEADER_TAG, _DATA_TAG = b"\x0a", b"\x12"
"""Fields 1 and 2 of ``CarryRequest``, both with a length before them."""


class Frame(NamedTuple):
    """One message: a ``CarryHeader``, as protobuf writes it, and a view of the bytes that go with it."""

    header: bytes
    data: memoryview


def to_bytes(frame: Frame) -> bytes:
    """The frame as it goes over the wire."""
    parts: tuple[bytes | memoryview, ...] = (_HEADER_TAG, varint(len(frame.header)), frame.header)
    if frame.data.nbytes:
        parts += (_DATA_TAG, varint(frame.data.nbytes), frame.data)
    return b"".join(parts)


def from_bytes(message: bytes) -> Frame:
    """Read a frame; its data are a view of ``message``, and its header is yet to be parsed.

    Raises:
        google.protobuf.message.DecodeError: this is no ``CarryRequest``.
    """
    view = memoryview(message)
    if message[:1] == _HEADER_TAG:
        size, start = read_varint(message, 1)
        end = start + size
        if end == len(message):
            return Frame(message[start:end], view[end:])
        if message[end : end + 1] == _DATA_TAG:
            size, start_of_data = read_varint(message, end + 1)
            if start_of_data + size == len(message):
                return Frame(message[start:end], view[start_of_data:])
    # Another writer's order, or fields that we do not know.
    parsed = tensor_transport_pb2.CarryRequest.FromString(message)
    return Frame(parsed.header.SerializeToString(), memoryview(parsed.data))
