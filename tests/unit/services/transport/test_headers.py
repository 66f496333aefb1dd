import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.deployment import RequestKey
from core.tensors import DTYPES
from partita.v1.tensor_transport_pb2 import CarryHeader, Destination, SharedSegment, TensorAnnouncement
from partita.v1.types_pb2 import TensorSpec
from services.transport.headers import announcement, compressed_from, lies_in, numbered

KEYS = st.builds(RequestKey, st.text(), st.integers(0, 2**32 - 1), st.text())
NUMBERS = st.integers(0, 2**64 - 1)


@given(
    st.sampled_from(Destination.values()),
    KEYS,
    st.text(),
    st.sampled_from(sorted(DTYPES)),
    st.lists(st.integers(0, 5), max_size=5),
)
def test_pieces_are_the_header_that_has_all_of_their_fields(
    destination: Destination.ValueType, key: RequestKey, name: str, dtype: str, shape: list[int]
) -> None:
    array = np.zeros(shape, dtype)
    segment = SharedSegment(name="partita-1", byte_count=4097, released=["partita-2", "partita-3"])
    written = announcement(destination, key, name, array) + lies_in(segment) + numbered(7)
    assert CarryHeader.FromString(written) == CarryHeader(
        tensor=7,
        announcement=TensorAnnouncement(
            destination=destination,
            deployment=key.deployment,
            version=key.version,
            request_id=key.request_id,
            tensor=TensorSpec(name=name, dtype=dtype, shape=array.shape),
            segment=segment,
        ),
    )


@given(NUMBERS, NUMBERS, st.booleans(), st.integers(0, 2**32 - 1))
def test_later_chunks_say_where_their_data_belong(number: int, offset: int, cancelled: bool, byte_count: int) -> None:
    written = numbered(number, offset, cancelled) + compressed_from(byte_count)
    assert CarryHeader.FromString(written) == CarryHeader(
        tensor=number, offset=offset, cancelled=cancelled, decompressed_bytes=byte_count
    )


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_announcements_of_different_tensors_differ(dtype: str) -> None:
    key = RequestKey("one", 1, "r")
    arrays = [np.zeros(shape, dtype) for shape in ((2, 3), (3, 2), (6,), ())]
    read = [CarryHeader.FromString(announcement(1, key, "x", array)).announcement for array in arrays]
    assert [tuple(one.tensor.shape) for one in read] == [array.shape for array in arrays]
