from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.v1 import front_end_pb2
from services.runtime.encoding import read_varint, tensor_messages, varint
from services.runtime.streams import CHUNK_BYTES, tensor_parts

REQUEST = front_end_pb2.InferRequest
ANSWER = front_end_pb2.InferResponse


@pytest.mark.parametrize(
    ("counts", "messages"),
    [
        ([], 1),
        ([0], 1),
        ([1], 1),
        ([100, 0, 7], 3),
        ([CHUNK_BYTES - 1], 1),
        ([CHUNK_BYTES], 1),
        ([CHUNK_BYTES + 1, 5], 3),
        ([2 * CHUNK_BYTES + 3], 3),
    ],
)
def test_tensors_are_written_as_protobuf_writes_them(counts: Sequence[int], messages: int) -> None:
    arrays = {f"x{index}": np.arange(count, dtype=np.uint8) for index, count in enumerate(counts)}
    parts = list(tensor_parts(arrays))

    header = front_end_pb2.InferHeader(deployment="app", request_id="frame-17")
    requests = [REQUEST(tensor=part) for part in parts] or [REQUEST()]
    requests[0].header.CopyFrom(header)
    first = REQUEST(header=header).SerializeToString()
    written = list(tensor_messages(REQUEST.TENSOR_FIELD_NUMBER, arrays, first=first))
    assert written == [request.SerializeToString() for request in requests]
    assert len(written) == messages

    report = front_end_pb2.InferReport(deployment="app", seconds=0.5)
    answers = [ANSWER(tensor=part) for part in parts] or [ANSWER()]
    answers[-1].report.CopyFrom(report)
    last = ANSWER(report=report).SerializeToString()
    written = list(tensor_messages(ANSWER.TENSOR_FIELD_NUMBER, arrays, last=last))
    assert written == [answer.SerializeToString() for answer in answers]


@given(st.integers(0, 2**63 - 1), st.binary(max_size=3))
def test_numbers_come_back(number: int, rest: bytes) -> None:
    written = varint(number)
    assert read_varint(b"." + written + rest, 1) == (number, 1 + len(written))
