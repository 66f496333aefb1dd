"""Blocks made smaller, given back bit for bit, and refused where they are not what was announced."""

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from core.errors import CorruptDataError
from core.tensors import Array
from inferencer.compression import compress, decompress

DTYPES = st.sampled_from(["float32", "float16", "float64", "uint8", "int64"]).map(np.dtype)


def block_of(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def smooth(count: int = 20_000) -> Array:
    return np.maximum(0, np.sin(np.linspace(0, 30, count))).astype(np.float32)


@given(arrays.arrays(DTYPES, st.integers(1, 3000), fill=st.just(0)))
def test_what_was_compressed_comes_back_bit_for_bit(array: Array) -> None:
    block = block_of(array)
    made = compress(block, array.itemsize)
    if made is not None:
        assert len(made) < block.nbytes
        found = np.empty(block.nbytes, np.uint8)
        decompress(memoryview(made), found, array.itemsize)
        assert found.tobytes() == block.tobytes()


def test_activations_become_smaller_and_noise_is_left_alone() -> None:
    made = compress(block_of(smooth()), 4)
    assert made is not None
    assert len(made) < 0.7 * smooth().nbytes
    assert compress(memoryview(np.random.default_rng(0).bytes(100_000)), 4) is None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"no frame at all", id="no frame"),
        pytest.param(zstandard.compress(bytes(2**30)), id="a bomb"),
        pytest.param(zstandard.compress(bytes(79_999)), id="too small"),
        pytest.param(zstandard.ZstdCompressor(write_content_size=False).compress(bytes(80_000)), id="size not told"),
        pytest.param(zstandard.compress(bytes(80_000)) + b"more", id="something behind it"),
    ],
)
def test_what_is_not_as_announced_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptDataError, match="send the tensor again"):
        decompress(memoryview(data), np.empty(80_000, np.uint8), 4)


def test_values_of_another_size_are_refused() -> None:
    with pytest.raises(CorruptDataError, match="of 8 bytes each"):
        decompress(memoryview(zstandard.compress(bytes(12))), np.empty(12, np.uint8), 8)


@given(position=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_bit_that_turned_over_is_noticed(position: int, bit: int) -> None:
    made = bytearray(compress(block_of(smooth(2000)), 4) or b"")
    position %= len(made)
    made[position] ^= 1 << bit
    found = np.zeros(8000, np.uint8)
    try:
        decompress(memoryview(made), found, 4)
    except CorruptDataError:
        return
    # A few bits of the header mean nothing.
    assert found.tobytes() == smooth(2000).tobytes()
