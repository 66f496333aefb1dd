import hashlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from core.errors import CorruptDataError, InvalidArgumentError, InvalidTensorError, TooLargeError
from core.tensors import DTYPES, Array, TensorSpec
from partita.v1 import types_pb2
from services.runtime.streams import (
    CHUNK_BYTES,
    Assembly,
    ChunkSequence,
    TensorAssembly,
    TensorsAssembly,
    chunks,
    from_spec,
    raw_bytes,
    tensor_parts,
    to_spec,
    verify,
)
from tests.unit.tensor_parts import parts_apart

any_array = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda name: arrays.arrays(np.dtype(name), arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
)


def chunk(offset: int, data: bytes) -> types_pb2.TensorPart:
    return types_pb2.TensorPart(chunk=types_pb2.Chunk(offset=offset, data=data))


def header(name: str, dtype: str, *shape: int) -> types_pb2.TensorPart:
    return types_pb2.TensorPart(header=types_pb2.TensorSpec(name=name, dtype=dtype, shape=shape))


@pytest.mark.parametrize("cut", [tensor_parts, parts_apart])
@given(tensors=st.dictionaries(st.text(), any_array, max_size=4))
def test_tensors_arrive_as_they_left(
    cut: Callable[[Mapping[str, Array]], Iterator[types_pb2.TensorPart]], tensors: dict[str, Array]
) -> None:
    assembly = TensorsAssembly(2**20)
    arrived: dict[str, Array] = {}
    for part in cut(tensors):
        wire = types_pb2.TensorPart.FromString(part.SerializeToString())
        done = assembly.add(wire)
        if done is not None:
            arrived[done[0]] = done[1]
    assembly.finish()
    assert list(arrived) == list(tensors)
    for name, array in tensors.items():
        assert (arrived[name].dtype, arrived[name].shape) == (array.dtype, array.shape)
        assert arrived[name].tobytes() == array.tobytes()


@given(any_array.map(lambda array: array.T), st.integers(1, 7))
def test_chunks_may_have_any_size(array: Array, size: int) -> None:
    data = bytes(raw_bytes(array))
    assert data == array.tobytes()
    spec = TensorSpec("t", array.dtype.name, array.shape)
    assembly = TensorAssembly(spec, 2**20)
    for offset in range(0, len(data), size):
        assert not assembly.complete
        assembly.add(types_pb2.Chunk(offset=offset, data=data[offset : offset + size]))
    assert assembly.array().tobytes() == data
    assert assembly.array().shape == array.shape


def test_large_data_is_cut_and_follows_without_gaps() -> None:
    data = bytes(2 * CHUNK_BYTES + 1)
    pieces = list(chunks(data))
    assert [(piece.offset, len(piece.data)) for piece in pieces] == [
        (0, CHUNK_BYTES),
        (CHUNK_BYTES, CHUNK_BYTES),
        (2 * CHUNK_BYTES, 1),
    ]
    assert list(chunks(b"")) == []


@pytest.mark.parametrize("make", [Assembly, ChunkSequence])
@pytest.mark.parametrize(
    ("pieces", "error", "message"),
    [
        ([(0, b"12"), (3, b"4")], InvalidArgumentError, "'t': a chunk at offset 3 came where 2 was due"),
        ([(0, b"12"), (0, b"12")], InvalidArgumentError, "offset 0 came where 2"),
        ([(1, b"12")], InvalidArgumentError, "offset 1 came where 0"),
        ([(0, b"12345")], TooLargeError, "5 bytes came, but 4 were announced"),
        ([(0, b"1234"), (4, b"5")], TooLargeError, "5 bytes came, but 4 were announced"),
    ],
)
def test_chunks_that_do_not_fit_are_refused(
    make: Callable[[str, int, int], ChunkSequence],
    pieces: list[tuple[int, bytes]],
    error: type[Exception],
    message: str,
) -> None:
    assembly = make("tensor 't'", 4, 10)
    *good, (offset, data) = pieces
    for good_offset, good_data in good:
        assembly.add(types_pb2.Chunk(offset=good_offset, data=good_data))
    received = assembly.received
    with pytest.raises(error, match=message):
        assembly.add(types_pb2.Chunk(offset=offset, data=data))
    assert assembly.received == received


def test_an_announcement_above_the_limit_reserves_nothing() -> None:
    with pytest.raises(TooLargeError, match="has 11 bytes; at most 10 are accepted"):
        Assembly("blob", 11, 10)
    with pytest.raises(TooLargeError, match=f"has {2**70} bytes"):
        TensorAssembly(TensorSpec("t", "int8", (2**35, 2**35)), 2**30)
    with pytest.raises(TooLargeError):
        TensorsAssembly(2**30).add(header("t", "float64", 2**40))


def test_an_early_end_is_told() -> None:
    assembly = Assembly("blob", 4, 10)
    assembly.add(types_pb2.Chunk(offset=0, data=b"123"))
    with pytest.raises(InvalidArgumentError, match="ended after 3 of 4"):
        assembly.finish()
    tensors = TensorsAssembly(10)
    tensors.finish()
    tensors.add(header("t", "int8", 4))
    with pytest.raises(InvalidArgumentError, match=r"'t'.*ended after 0 of 4"):
        tensors.finish()


def test_parts_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="before any tensor header"):
        TensorsAssembly(10).add(chunk(0, b"1"))
    with pytest.raises(InvalidArgumentError, match="before any tensor header"):
        TensorsAssembly(10).add(types_pb2.TensorPart())
    with pytest.raises(InvalidArgumentError, match="offset 1 came where 0"):
        TensorsAssembly(10).add(types_pb2.TensorPart(header=header("t", "int8", 4).header, chunk=chunk(1, b"1").chunk))
    with pytest.raises(TooLargeError, match="2 bytes came, but 1 were announced"):
        TensorsAssembly(10).add(types_pb2.TensorPart(header=header("t", "int8", 1).header, chunk=chunk(0, b"12").chunk))
    tensors = TensorsAssembly(10)
    tensors.add(header("t", "int8", 4))
    with pytest.raises(InvalidArgumentError, match="ended after 0 of 4"):
        tensors.add(header("u", "int8", 4))
    tensors = TensorsAssembly(10)
    tensors.add(header("t", "int8", 1))
    assert tensors.add(chunk(0, b"1")) is not None
    with pytest.raises(InvalidArgumentError, match="before any tensor header"):
        tensors.add(chunk(1, b"1"))


@pytest.mark.parametrize(
    ("dtype", "shape"), [("object", (1,)), ("float128", (1,)), ("", (1,)), (">f4", (1,)), ("int8", (2, -1))]
)
def test_unknown_tensors_are_refused(dtype: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidTensorError, match="'t'"):
        TensorsAssembly(10).add(header("t", dtype, *shape))


def test_a_tensor_that_is_not_wanted_is_refused_before_it_is_taken() -> None:
    def check(spec: TensorSpec) -> None:
        raise InvalidTensorError(f"no {spec.name}")

    with pytest.raises(InvalidTensorError, match="no t"):
        TensorsAssembly(10, check).add(header("t", "float64", 2**40))


def test_headers_survive_the_wire() -> None:
    spec = TensorSpec("images/σ", "float16", (1, 3, 640, 640))
    assert to_spec(types_pb2.TensorSpec.FromString(from_spec(spec).SerializeToString())) == spec


def test_verify() -> None:
    verify(b"data", hashlib.sha256(b"data").hexdigest())
    with pytest.raises(CorruptDataError, match="fetch it again"):
        verify(b"date", hashlib.sha256(b"data").hexdigest())
