import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from partita.v1.tensor_transport_pb2 import CarryGreeting, CarryHeader, CarryRequest, TensorAnnouncement
from partita.v1.types_pb2 import TensorSpec
from services.transport.frames import Frame, from_bytes, to_bytes

NUMBERS = st.integers(0, 2**64 - 1)
SPECS = st.builds(
    TensorSpec, name=st.text(), dtype=st.text(max_size=8), shape=st.lists(st.integers(-1, 2**40), max_size=5)
)
ANNOUNCEMENTS = st.builds(TensorAnnouncement, deployment=st.text(), request_id=st.text(max_size=300), tensor=SPECS)
HEADERS = st.builds(
    CarryHeader,
    tensor=NUMBERS,
    offset=NUMBERS,
    announcement=st.none() | ANNOUNCEMENTS,
    cancelled=st.booleans(),
    greeting=st.none() | st.builds(CarryGreeting, shared_memory_probe=st.text()),
)
DATA = st.binary() | st.integers(120, 70_000).map(bytes)


@given(HEADERS, DATA)
def test_frames_are_byte_for_byte_what_protobuf_writes(header: CarryHeader, data: bytes) -> None:
    written = to_bytes(Frame(header.SerializeToString(), memoryview(data)))
    assert written == CarryRequest(header=header, data=data).SerializeToString()
    read = from_bytes(written)
    assert CarryHeader.FromString(read.header) == header
    assert bytes(read.data) == data


@given(HEADERS, DATA)
def test_any_encoding_is_read(header: CarryHeader, data: bytes) -> None:
    only_header = CarryRequest(header=header).SerializeToString()
    only_data = CarryRequest(data=data).SerializeToString()
    unknown = b"\x7a\x03abc"
    for message in (only_data + only_header, unknown + only_header + only_data, only_header + only_data + unknown):
        read = from_bytes(message)
        assert CarryHeader.FromString(read.header) == header
        assert bytes(read.data) == data
    assert from_bytes(only_data).header == b""


@given(st.binary())
def test_what_is_no_frame_is_refused_as_protobuf_does(message: bytes) -> None:
    try:
        expected = CarryRequest.FromString(message)
    except DecodeError:
        with pytest.raises(DecodeError):
            CarryHeader.FromString(from_bytes(message).header)
    else:
        read = from_bytes(message)
        assert (CarryHeader.FromString(read.header), bytes(read.data)) == (expected.header, expected.data)


def test_data_are_not_copied_on_arrival() -> None:
    message = to_bytes(Frame(CarryHeader(tensor=1).SerializeToString(), memoryview(b"x" * 1000)))
    assert from_bytes(message).data.obj is message
