import gc
from collections.abc import Callable

import numpy as np
import pytest

from core.buffers import BufferPool, as_tensor
from core.tensors import Array, TensorSpec


@pytest.mark.parametrize("shape", [(), (0, 3), (5, 7), (1, 3, 64, 64)])
def test_a_tensor_lies_in_the_memory_taken_for_it(shape: tuple[int, ...]) -> None:
    pool = BufferPool()
    spec = TensorSpec("x", "float32", shape)
    memory = pool.take(spec.byte_count)
    tensor = as_tensor(memory, spec)
    tensor[...] = 2.5
    assert (tensor.shape, tensor.dtype) == (shape, np.float32)
    assert memory.nbytes == spec.byte_count
    assert not spec.byte_count or np.shares_memory(memory, tensor)


@pytest.mark.parametrize("keep", [lambda array: array[10:20].reshape(2, 5), lambda array: memoryview(array)[3:]])
def test_memory_is_used_again_only_when_no_view_is_left(keep: Callable[[Array], object]) -> None:
    pool = BufferPool()
    kept = keep(as_tensor(pool.take(8000), TensorSpec("x", "float32", (2000,))))
    gc.collect()
    assert pool.idle_bytes == 0
    del kept
    gc.collect()
    assert pool.idle_bytes >= 8000


def test_memory_comes_back_and_serves_a_tensor_of_about_its_size() -> None:
    pool = BufferPool()
    address = pool.take(100_000).__array_interface__["data"][0]
    assert pool.idle_bytes >= 100_000
    assert pool.take(1000).__array_interface__["data"][0] != address
    assert pool.take(90_000).__array_interface__["data"][0] == address


def test_no_more_than_the_limit_is_kept() -> None:
    pool = BufferPool(idle_limit_bytes=3 * 4096)
    held = [pool.take(4096) for _ in range(5)]
    held.clear()
    assert pool.idle_bytes == 3 * 4096
