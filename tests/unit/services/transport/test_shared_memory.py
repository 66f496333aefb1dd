import gc
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from core.buffers import as_tensor
from core.tensors import TensorSpec
from partita.v1.tensor_transport_pb2 import SharedSegment
from services.transport import shared_memory
from services.transport.shared_memory import (
    DIRECTORY,
    MappedSegments,
    SegmentError,
    SegmentPool,
    SharedFile,
    make_probe,
    read_probe,
    remove_leftovers,
)

pytestmark = pytest.mark.skipif(make_probe() is None, reason="no shared memory here")

SPEC = TensorSpec("x", "float32", (3, 1000))


@pytest.fixture
def pool() -> SegmentPool:
    pool = SegmentPool()
    pool.usable = True
    return pool


def values(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(SPEC.shape).astype(np.float32)


def raw(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def test_what_was_put_is_seen_in_place_and_has_no_name_left(pool: SegmentPool) -> None:
    segment = pool.put(raw(values()))
    assert segment is not None
    assert (DIRECTORY / segment.file.name).exists()
    seen = as_tensor(MappedSegments().view(segment.message)[: SPEC.byte_count], SPEC)
    assert np.array_equal(seen, values())
    assert not (DIRECTORY / segment.file.name).exists()
    pool.close()
    assert np.array_equal(seen, values())


def test_a_segment_is_used_again_once_the_receiver_let_the_tensor_go(pool: SegmentPool) -> None:
    mapped = MappedSegments()
    first = pool.put(raw(values(1)))
    assert first is not None
    seen = as_tensor(mapped.view(first.message)[: SPEC.byte_count], SPEC)[1:]
    second = pool.put(raw(values(2)))
    assert second is not None
    assert second.file is not first.file
    assert np.array_equal(seen, values(1)[1:])
    del seen
    gc.collect()
    third = pool.put(raw(values(3)))
    assert third is not None
    assert third.file is first.file
    assert np.array_equal(as_tensor(mapped.view(third.message)[: SPEC.byte_count], SPEC), values(3))
    second.release()
    assert pool.put(raw(values(4))) is not None
    pool.close()


def made_in(pool: SegmentPool, seed: int) -> np.ndarray:
    memory = pool.memory(SPEC.byte_count)
    assert memory is not None
    tensor = as_tensor(memory, SPEC)
    tensor[:] = values(seed)
    return tensor


def test_what_was_made_in_shared_memory_is_seen_there(pool: SegmentPool) -> None:
    tensor = made_in(pool, 1)
    segment = pool.put(raw(tensor))
    assert segment is not None
    seen = as_tensor(MappedSegments().view(segment.message)[: SPEC.byte_count], SPEC)
    assert np.array_equal(seen, values(1))
    tensor[0] = 7
    assert np.array_equal(seen[0], tensor[0])
    pool.close()
    assert np.array_equal(seen, tensor)


def test_memory_is_free_again_when_both_ends_have_let_go(pool: SegmentPool) -> None:
    mapped = MappedSegments()
    tensor: np.ndarray | None = made_in(pool, 1)
    assert tensor is not None
    first = pool.put(raw(tensor))
    assert first is not None
    seen: np.ndarray | None = as_tensor(mapped.view(first.message)[: SPEC.byte_count], SPEC)
    del tensor
    gc.collect()
    assert not first.file.free
    other = pool.put(raw(values(2)))
    assert other is not None
    assert other.file is not first.file
    assert np.array_equal(seen, values(1))
    del seen
    gc.collect()
    assert first.file.free
    rest = made_in(pool, 3)[1:]
    gc.collect()
    # Never told of, and yet a view of it is left here.
    assert not first.file.free
    assert np.array_equal(rest, values(3)[1:])
    del rest
    gc.collect()
    assert first.file.free
    pool.close()


def test_what_the_receiver_still_uses_is_written_elsewhere(pool: SegmentPool) -> None:
    mapped = MappedSegments()
    tensor = made_in(pool, 1)
    segments = [pool.put(raw(tensor)) for _ in range(2)]
    first, second = (segment for segment in segments if segment is not None)
    assert second.file is not first.file
    both = [as_tensor(mapped.view(one.message)[: SPEC.byte_count], SPEC) for one in (first, second)]
    assert all(np.array_equal(seen, values(1)) for seen in both)
    del both[0]
    gc.collect()
    again = pool.put(raw(tensor))
    assert again is not None
    assert again.file is first.file
    pool.close()


def test_a_part_is_seen_as_a_part_and_another_begins_elsewhere(pool: SegmentPool) -> None:
    mapped = MappedSegments()
    tensor = made_in(pool, 1)
    for rows in (tensor[:1], tensor[1:]):
        segment = pool.put(raw(rows))
        assert segment is not None
        assert np.array_equal(mapped.view(segment.message)[: rows.nbytes], np.frombuffer(raw(rows), np.uint8))
    pool.close()


def test_a_closed_pool_lends_nothing_and_what_it_lent_stays(pool: SegmentPool) -> None:
    tensor = made_in(pool, 1)
    pool.close()
    assert pool.memory(SPEC.byte_count) is None
    assert pool.put(raw(tensor)) is None
    assert np.array_equal(tensor, values(1))


def test_what_waits_leaves_room_for_what_goes(pool: SegmentPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "LENT_LIMIT_BYTES", 2**20)
    waiting = [pool.memory(400_000) for _ in range(3)]
    assert [memory is None for memory in waiting] == [False, False, True]
    assert pool.put(memoryview(bytes(400_000))) is not None
    del waiting
    gc.collect()
    assert pool.memory(400_000) is not None
    pool.close()


def test_any_thread_may_ask_for_memory(pool: SegmentPool) -> None:
    def work(seed: int) -> bool:
        for _ in range(50):
            tensor = made_in(pool, seed)
            if not np.array_equal(tensor, values(seed)):
                return False
        return True

    with ThreadPoolExecutor(4) as executor:
        assert all(executor.map(work, range(4)))
    # Each thread has its last tensor until it has the next.
    assert len(pool._files) <= 8
    pool.close()


def test_segments_that_fit_nothing_make_room(pool: SegmentPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "LIMIT_BYTES", 2**20)
    mapped = MappedSegments()
    small = pool.put(memoryview(bytes(100_000)))
    assert small is not None
    assert pool.put(memoryview(bytes(1_000_000))) is None
    mapped.view(small.message)
    large = pool.put(memoryview(bytes(1_000_000)))
    assert large is not None
    assert list(large.message.released) == [small.file.name]
    # The receiver was not told after all: the next one tells it.
    large.release()
    large = pool.put(memoryview(bytes(1_000_000)))
    assert large is not None
    assert list(large.message.released) == [small.file.name]
    mapped.view(large.message)
    assert list(mapped._mapped) == [large.file.name]
    pool.close()


def test_too_little_or_no_shared_memory_is_no_error(
    pool: SegmentPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert pool.put(memoryview(bytes(0))) is not None
    monkeypatch.setattr(shared_memory, "LIMIT_BYTES", 1000)
    assert pool.put(memoryview(bytes(2000))) is None
    pool.close()
    monkeypatch.setattr(shared_memory, "DIRECTORY", tmp_path / "missing")
    pool.usable = True
    assert pool.put(memoryview(bytes(2000))) is None
    assert make_probe() is None
    assert remove_leftovers() == 0


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../../etc/passwd", "partita-" + "0" * 32, "other"])
def test_only_segments_are_opened(name: str) -> None:
    with pytest.raises(SegmentError, match="cannot be mapped"):
        MappedSegments().view(SharedSegment(name=name, byte_count=8192))
    assert read_probe(name) == ""


def test_a_segment_of_another_size_is_refused() -> None:
    file = SharedFile(8192)
    with pytest.raises(SegmentError, match="8192 bytes, but 9000"):
        MappedSegments().view(SharedSegment(name=file.name, byte_count=9000))
    file.unname()


def test_a_probe_is_read_by_whoever_shares_the_machine() -> None:
    probe = make_probe()
    assert probe is not None
    assert read_probe(probe.name) == bytes(probe.memory).decode()
    probe.unname()
    assert read_probe(probe.name) == ""


def test_leftovers_of_a_killed_process_are_removed_and_nobody_elses() -> None:
    program = (
        "import sys, time; from services.transport.shared_memory import SharedFile; "
        "file = SharedFile(10_000); print(file.name, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        mine = SharedFile(10_000)
        remove_leftovers()
        assert (DIRECTORY / name).exists()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        remove_leftovers()
        assert not (DIRECTORY / name).exists()
        assert (DIRECTORY / mine.name).exists()
        mine.unname()
