import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.v1 import front_end_pb2
from services.runtime.encoding import chunk_messages, read_varint, varint
from services.runtime.streams import CHUNK_BYTES, tensor_parts


@pytest.mark.parametrize("count", [0, 1, 100, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 3])
def test_chunks_are_written_as_protobuf_writes_them(count: int) -> None:
    array = np.arange(count, dtype=np.uint8)
    request, answer = front_end_pb2.InferRequest, front_end_pb2.InferResponse
    _, *parts = tensor_parts({"x": array})
    assert list(chunk_messages(request.TENSOR_FIELD_NUMBER, array)) == [
        request(tensor=part).SerializeToString() for part in parts
    ]
    assert list(chunk_messages(answer.TENSOR_FIELD_NUMBER, array)) == [
        answer(tensor=part).SerializeToString() for part in parts
    ]


@given(st.integers(0, 2**63 - 1), st.binary(max_size=3))
def test_numbers_come_back(number: int, rest: bytes) -> None:
    written = varint(number)
    assert read_varint(b"." + written + rest, 1) == (number, 1 + len(written))
