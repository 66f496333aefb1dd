"""Tensors to a real receiver: every way, in turns, refused, slowed, and in shared memory."""

import asyncio
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest
from prometheus_client import REGISTRY

from core.deployment import ComponentRun, RequestKey
from core.errors import DeadlineExceededError, InternalError, InvalidTensorError, ServerUnavailableError, TooLargeError
from services.runtime.settings import EmulatedLink
from services.transport import connection, shared_memory
from services.transport.sender import Way
from services.transport.wires import CallWire, SocketWire
from tests.integration.transport import WIRES, Far, outlet, send, until


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    far = Far()
    await far.start()
    yield far
    await far.stop()


ARRAYS = {
    "scalar": np.array(2.5, np.float32),
    "empty": np.zeros((0, 4), np.int64),
    "flags": np.array([[True, False], [False, True]]),
    "half": np.arange(1000, dtype=np.float16),
    "across": np.arange(300_000, dtype=np.int32).reshape(300, 1000).T,
    "several chunks": np.random.default_rng(0).standard_normal((3, 700, 500)),
}


@pytest.mark.parametrize("way", Way)
async def test_arrays_arrive_as_they_are(far: Far, way: Way) -> None:
    async with outlet(way) as sender:
        for _ in range(2):
            await asyncio.gather(*(send(sender, far, name, array) for name, array in ARRAYS.items()))
            for name, array in ARRAYS.items():
                found = far.taken.pop(name)
                assert (found.dtype, found.shape) == (array.dtype, array.shape)
                assert np.array_equal(found, array)
                assert (found is array) == (way is Way.SAME_PROCESS)


@pytest.mark.parametrize("way", Way)
async def test_compressed_arrays_arrive_as_they_are(far: Far, way: Way) -> None:
    arrays = ARRAYS | {"sparse": np.maximum(0, ARRAYS["several chunks"]).astype(np.float32)}
    key = RequestKey("app", 1, "r")
    async with outlet(way) as sender:
        await asyncio.gather(
            *(sender.to_inferencer("far", far.address, key, name, array, True) for name, array in arrays.items())
        )
    for name, array in arrays.items():
        assert far.taken[name].dtype == array.dtype
        np.testing.assert_array_equal(far.taken[name], array)


@WIRES
async def test_a_link_is_kept_busy_only_for_what_is_left(far: Far, way: Way) -> None:
    # Two hundred seconds' worth of zeros, of which next to nothing is left.
    async with outlet(way, EmulatedLink("far", 2e4, 0.0)) as sender, asyncio.timeout(60):
        await sender.to_inferencer(
            "far", far.address, RequestKey("app", 1, "r"), "zeros", np.zeros(10**6, np.float32), True
        )
    assert far.taken["zeros"].nbytes == 4 * 10**6


@WIRES
async def test_bytes_that_another_process_took_are_counted(far: Far, way: Way) -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("partita_sent_bytes_total", {"target": "far"}) or 0.0

    before = counted()
    async with outlet(way) as sender:
        await send(sender, far, "flags", ARRAYS["flags"])
    assert counted() == before + ARRAYS["flags"].nbytes


@pytest.mark.parametrize("way", Way)
async def test_a_refused_tensor_refuses_only_itself(far: Far, way: Way) -> None:
    async with outlet(way) as sender:
        large = np.zeros(3_000_000, np.uint8)
        good = [send(sender, far, f"good {index}", large) for index in range(3)]
        with pytest.raises(InvalidTensorError, match="not wanted"):
            await send(sender, far, "bad", large)
        with pytest.raises((ZeroDivisionError, InternalError), match="a bug"):
            await send(sender, far, "broken", large)
        await asyncio.gather(*good)
        assert len(far.taken) == 3


@WIRES
async def test_a_small_tensor_does_not_wait_for_another_requests_large_one(far: Far, way: Way) -> None:
    # At 8 MB/s the large one takes two seconds.
    async with outlet(way, EmulatedLink("far", 8e6, 0.0)) as sender:
        large = send(sender, far, "large", np.zeros(16_000_000, np.uint8))
        await asyncio.sleep(0.05)
        await send(sender, far, "small", np.zeros(1000, np.uint8), "another")
        assert not large.done()
        await large
    assert far.order == ["small", "large"]


@pytest.mark.parametrize("way", Way)
async def test_a_requests_tensors_arrive_as_they_were_sent(far: Far, way: Way) -> None:
    # Of which the first has most chunks: in turns it would be the last.
    names = ["large", "smaller", "small"]
    async with outlet(way, EmulatedLink("far", 2e7, 0.0)) as sender:
        await send(sender, far, "opens", np.zeros(1, np.uint8))
        far.order.clear()
        sizes = (2_000_000, 1_000_000, 300_000)
        await asyncio.gather(
            *(send(sender, far, name, np.zeros(size, np.uint8)) for name, size in zip(names, sizes, strict=True))
        )
    assert far.order == names


@pytest.mark.parametrize("way", Way)
async def test_emulated_links_are_bypassed_by_no_way(far: Far, way: Way) -> None:
    async with outlet(way, EmulatedLink("far", 10e6, 0.1)) as sender:
        await send(sender, far, "first", np.zeros(10, np.uint8))
        clock = asyncio.get_running_loop().time
        start = clock()
        sending = send(sender, far, "x", np.zeros(2_000_000, np.uint8))
        await until(lambda: "x" in far.taken)
        assert clock() - start >= 0.249
        await sending
        assert clock() - start >= 0.299


@pytest.mark.parametrize("way", [Way.GRPC, Way.SOCKET, Way.SHARED_MEMORY])
async def test_a_slow_consumer_slows_its_producers(far: Far, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.transport.sender.WINDOW_BYTES", 5_000_000)
    names = [f"tensor {index}" for index in range(6)]
    far.gates = {name: asyncio.Event() for name in names}
    async with outlet(way) as sender:
        tasks = [send(sender, far, name, np.zeros(2_000_000, np.uint8)) for name in names]
        await until(lambda: len(far.waiting) == 2)
        done, _ = await asyncio.wait(tasks, timeout=0.2)
        assert not done
        assert far.waiting == {"tensor 0", "tensor 1"}
        for name in names:
            far.gates[name].set()
        await asyncio.gather(*tasks)
    assert far.order == names


@WIRES
async def test_a_part_does_not_wait_for_tensors(far: Far, way: Way) -> None:
    async def run(key: RequestKey, alone: bool, ran: Callable[[ComponentRun], None]) -> list[ComponentRun]:
        far.order.append(f"part of {key.request_id}")
        return []

    assert far.receiver is not None
    far.receiver.run = run
    async with outlet(way) as sender:
        await send(sender, far, "first", np.zeros(1000, np.uint8))
        tensors = [send(sender, far, f"large {number}", np.zeros(2**24, np.uint8)) for number in range(2)]
        await asyncio.sleep(0)
        assert await sender.run("far", far.address, RequestKey("app", 1, "other"), 30.0, False) == ()
        await asyncio.gather(*tensors)
    assert far.order[1] == "part of other"


async def test_what_a_server_says_of_another_is_not_said_of_itself(far: Far) -> None:
    async def run(key: RequestKey, alone: bool, ran: Callable[[ComponentRun], None]) -> list[ComponentRun]:
        raise ServerUnavailableError("server 'other' cannot be reached")

    assert far.receiver is not None
    far.receiver.run = run
    async with outlet() as sender:
        with pytest.raises(ServerUnavailableError, match=r"^server 'other' cannot be reached$"):
            await sender.run("far", far.address, RequestKey("app", 1, "r"), 30.0, False)
        await far.stop()
        with pytest.raises(ServerUnavailableError, match="'far'"):
            await sender.run("far", far.address, RequestKey("app", 1, "r"), 30.0, False)


async def test_a_request_without_time_left_is_late_and_not_wrong(far: Far) -> None:
    async def run(key: RequestKey, alone: bool, ran: Callable[[ComponentRun], None]) -> list[ComponentRun]:
        await asyncio.Event().wait()
        return []

    assert far.receiver is not None
    far.receiver.run = run
    async with outlet() as sender:
        with pytest.raises(DeadlineExceededError):
            await sender.run("far", far.address, RequestKey("app", 1, "r"), -3.0, False)


async def test_shared_memory_needs_no_socket(far: Far) -> None:
    await far.stop()
    far.tensor_port = -1
    await far.start()
    async with outlet(Way.SHARED_MEMORY) as sender:
        await send(sender, far, "x", np.arange(300_000))
        [peer] = sender._peers.values()
        assert isinstance(peer.connection.wire, CallWire)
        assert peer.segments._files or not peer.segments.usable
    assert np.array_equal(far.taken["x"], np.arange(300_000))


async def test_what_is_made_in_the_receivers_sight_is_not_copied(far: Far) -> None:
    async with outlet(Way.SHARED_MEMORY) as sender:
        assert sender.memory_for("far", far.address, 2**20) is None
        await send(sender, far, "first", np.zeros(1000, np.uint8))
        [peer] = sender._peers.values()
        memory = sender.memory_for("far", far.address, 2**20)
        if memory is None:
            assert not peer.segments.usable
            return
        memory[:] = 5
        await send(sender, far, "x", memory)
        memory[7] = 6
        assert far.taken["x"][7] == 6
        # The receiver has one still: a second must not be taken for it.
        await send(sender, far, "y", memory)
        memory[7] = 8
        assert (far.taken["x"][7], far.taken["y"][7]) == (8, 6)
        assert sender.memory_for("far", far.address, shared_memory.LEAST_BYTES - 1) is None
        assert sender.memory_for("other", far.address, 2**20) is None


@pytest.mark.parametrize("way", [Way.GRPC, Way.SOCKET, Way.SAME_PROCESS])
async def test_other_ways_share_no_memory(far: Far, way: Way) -> None:
    async with outlet(way) as sender:
        await send(sender, far, "x", np.zeros(1000, np.uint8))
        assert sender.memory_for("far", far.address, 2**20) is None


async def test_a_segment_that_cannot_be_mapped_goes_in_chunks(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, byte_count: int) -> None:
        raise shared_memory.SegmentError("no such segment")

    async with outlet(Way.SHARED_MEMORY) as sender:
        await send(sender, far, "first", np.zeros(1000, np.uint8))
        monkeypatch.setattr(shared_memory, "_map", refuse)
        array = np.arange(300_000)
        for name in ("second", "third"):
            await send(sender, far, name, array)
            assert np.array_equal(far.taken[name], array)
        [peer] = sender._peers.values()
        assert not peer.segments.usable


async def test_without_shared_memory_tensors_go_in_chunks(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "DIRECTORY", shared_memory.DIRECTORY / "missing")
    async with outlet() as sender:
        await send(sender, far, "x", np.arange(300_000))
    assert np.array_equal(far.taken["x"], np.arange(300_000))


async def test_nothing_is_left_in_shared_memory(far: Far) -> None:
    before = set(shared_memory.DIRECTORY.glob("partita-*")) if shared_memory.DIRECTORY.is_dir() else set()
    async with outlet(Way.SHARED_MEMORY) as sender:
        await send(sender, far, "x", np.arange(300_000))
        [peer] = sender._peers.values()
        files = [shared_memory.DIRECTORY / file.name for file in peer.segments._files]
        assert not any(file.exists() for file in files)
        far.gates["waiting"] = asyncio.Event()
        waiting = send(sender, far, "waiting", np.arange(300_000))
        await until(lambda: far.waiting)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        files += [shared_memory.DIRECTORY / file.name for file in peer.segments._files]
    assert not any(file.exists() for file in files if file not in before)


@WIRES
async def test_chunks_are_bounded(far: Far, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    for wire in (CallWire, SocketWire):
        write = wire.write
        monkeypatch.setattr(
            wire, "write", lambda *given, write=write: sizes.append(given[1].data.nbytes) or write(*given)
        )
    async with outlet(way) as sender:
        await send(sender, far, "x", np.zeros(3_000_001, np.uint8))
    assert max(sizes) <= connection.MOST_CHUNK_BYTES
    assert sum(sizes) == 3_000_001


@WIRES
async def test_a_tensor_whose_announcement_is_too_long_is_refused_before_it_is_sent(far: Far, way: Way) -> None:
    async with outlet(way) as sender:
        with pytest.raises(TooLargeError, match="shorter name"):
            await send(sender, far, "x" * connection.ANNOUNCEMENT_LIMIT_BYTES, np.zeros(1, np.uint8))
        name = "x" * (connection.ANNOUNCEMENT_LIMIT_BYTES - 100)
        await send(sender, far, name, np.zeros(1, np.uint8))
    assert list(far.taken) == [name]
