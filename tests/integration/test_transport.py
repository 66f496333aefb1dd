"""Tensors over real streams: every way, in turns, refused, cancelled, slowed, broken and resumed."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import numpy as np
import pytest
import zstandard
from prometheus_client import REGISTRY

from core.deployment import RequestKey
from core.errors import CorruptDataError, InternalError, InvalidTensorError, ServerUnavailableError, TooLargeError
from core.tensors import Array, TensorSpec
from partita.v1.tensor_transport_pb2 import (
    DESTINATION_INFERENCER,
    CarryGreeting,
    CarryHeader,
    CarryRequest,
    TensorAnnouncement,
)
from partita.v1.tensor_transport_pb2_grpc import TensorTransportStub
from partita.v1.types_pb2 import TensorSpec as Spec
from services.runtime.channels import Channels
from services.runtime.server import Binding, serving
from services.runtime.settings import EmulatedLink
from services.runtime.shaping import LinkShaper
from services.transport import connection, shared_memory
from services.transport.arrivals import Sink
from services.transport.receiver import TensorReceiver
from services.transport.sender import TensorSender, Way

LIMIT_BYTES = 2**26


class Far:
    """A process that takes tensors, and a test's hand on it."""

    def __init__(self) -> None:
        self.taken: dict[str, Array] = {}
        self.order: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.waiting: set[str] = set()
        self.address = "127.0.0.1:0"
        self.receiver: TensorReceiver | None = None
        self.binding: Binding | None = None
        self._running = AsyncExitStack()

    def expected(self, key: RequestKey, spec: TensorSpec) -> None:
        if spec.name == "bad":
            raise InvalidTensorError("tensor 'bad' is not wanted; send a good one")
        if spec.name == "broken":
            raise ZeroDivisionError("a bug")

    async def receive(self, key: RequestKey, name: str, array: Array) -> None:
        if name in self.gates:
            self.waiting.add(name)
            try:
                await self.gates[name].wait()
            finally:
                self.waiting.discard(name)
        self.order.append(name)
        self.taken[name] = array

    async def start(self) -> None:
        @asynccontextmanager
        async def service(binding: Binding) -> AsyncIterator[None]:
            self.binding = binding
            self.receiver = binding.receiver(LIMIT_BYTES)
            self.receiver.sinks[DESTINATION_INFERENCER] = Sink(self.expected, self.receive)
            yield

        self.address = await self._running.enter_async_context(serving(self.address, [service]))

    async def stop(self) -> None:
        await self._running.aclose()


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    far = Far()
    await far.start()
    yield far
    await far.stop()


@asynccontextmanager
async def outlet(way: Way = Way.STREAM, *links: EmulatedLink) -> AsyncIterator[TensorSender]:
    async with TensorSender(LinkShaper(links), way) as sender:
        yield sender


def send(sender: TensorSender, far: Far, name: str, array: Array) -> asyncio.Task[None]:
    return asyncio.create_task(sender.to_inferencer("far", far.address, RequestKey("app", 1, "r"), name, array))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


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


async def test_a_link_is_kept_busy_only_for_what_is_left(far: Far) -> None:
    # Two hundred seconds' worth of zeros, of which next to nothing is left.
    async with outlet(Way.SAME_PROCESS, EmulatedLink("far", 2e4, 0.0)) as sender, asyncio.timeout(60):
        await sender.to_inferencer(
            "far", far.address, RequestKey("app", 1, "r"), "zeros", np.zeros(10**6, np.float32), True
        )
    assert far.taken["zeros"].nbytes == 4 * 10**6


@pytest.mark.parametrize(
    ("decompressed_bytes", "data", "error"),
    [
        pytest.param(4000, b"nothing of the kind", CorruptDataError, id="corrupt"),
        pytest.param(4000, zstandard.compress(bytes(2**30)), CorruptDataError, id="a bomb"),
        pytest.param(2**30, zstandard.compress(bytes(2**30)), TooLargeError, id="more than announced"),
    ],
)
async def test_compressed_data_that_are_not_as_announced_refuse_only_their_tensor(
    far: Far, decompressed_bytes: int, data: bytes, error: type[Exception]
) -> None:
    announcement = TensorAnnouncement(
        destination=DESTINATION_INFERENCER, tensor=Spec(name="one", dtype="float32", shape=[1000])
    )
    first = CarryHeader(tensor=1, announcement=announcement, decompressed_bytes=decompressed_bytes)
    announcement.tensor.name = "two"
    second = CarryHeader(tensor=2, announcement=announcement)
    async with Channels() as channels:
        call = TensorTransportStub(channels.to(far.address)).Carry(timeout=30)
        await call.write(CarryRequest(header=CarryHeader(greeting=CarryGreeting())))
        await call.read()
        await call.write(CarryRequest(header=first, data=data))
        answer = await call.read()
        assert (answer.tensor, answer.error) == (1, error.__name__)
        await call.write(CarryRequest(header=second, data=bytes(4000)))
        answer = await call.read()
        assert (answer.tensor, answer.error) == (2, "")
        call.cancel()
    assert list(far.taken) == ["two"]


async def test_bytes_that_another_process_took_are_counted(far: Far) -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("partita_sent_bytes_total", {"target": "far"}) or 0.0

    before = counted()
    async with outlet(Way.STREAM) as sender:
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


async def test_a_small_tensor_does_not_wait_for_a_large_one_before_it(far: Far) -> None:
    # At 8 MB/s the large one takes two seconds.
    async with outlet(Way.STREAM, EmulatedLink("far", 8e6, 0.0)) as sender:
        large = send(sender, far, "large", np.zeros(16_000_000, np.uint8))
        await asyncio.sleep(0.05)
        await send(sender, far, "small", np.zeros(1000, np.uint8))
        assert not large.done()
        await large
    assert far.order == ["small", "large"]


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


async def test_a_cancelled_tensor_is_forgotten_at_both_ends(far: Far) -> None:
    async with outlet(Way.STREAM, EmulatedLink("far", 2e6, 0.0)) as sender:
        sending = send(sender, far, "half sent", np.zeros(40_000_000, np.uint8))
        await asyncio.sleep(0.2)
        far.gates["waiting"] = asyncio.Event()
        waiting = send(sender, far, "waiting", np.zeros(1000, np.uint8))
        await until(lambda: far.waiting)
        for task in (sending, waiting):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await until(lambda: not far.waiting)
        # The rest of the large one, twenty seconds' worth, takes up none of the link.
        async with asyncio.timeout(12):
            await send(sender, far, "next", np.zeros(100_000, np.uint8))
        assert list(far.taken) == ["next"]
        assert far.receiver is not None
        await until(lambda: gc.collect() >= 0 and far.receiver._intake.buffers.idle_bytes >= 40_000_000)


@pytest.mark.parametrize("way", [Way.STREAM, Way.SHARED_MEMORY])
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


class Cable:
    """A way to another address that can be cut."""

    def __init__(self, address: str) -> None:
        self._target = address.rpartition(":")
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.passed_bytes = 0

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(2**16):
                self.passed_bytes += len(data)
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(self._target[0], int(self._target[2]))
        self._writers += [writer, there[1]]
        for one, other in ((reader, there[1]), (there[0], writer)):
            self._tasks.append(asyncio.create_task(self._pass(one, other)))

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()
        self.cut()
        await asyncio.gather(*self._tasks)

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


async def test_a_link_cut_in_mid_tensor_fails_what_is_under_way_and_the_next_use_connects_again(far: Far) -> None:
    cable = Cable(far.address)
    async with cable.laid() as address, outlet(Way.STREAM, EmulatedLink("far", 20e6, 0.0)) as sender:
        real, far.address = far.address, address
        far.gates["waiting"] = asyncio.Event()
        under_way = [
            send(sender, far, "waiting", np.zeros(1000, np.uint8)),
            send(sender, far, "half sent", np.zeros(40_000_000, np.uint8)),
        ]
        await until(lambda: far.waiting and cable.passed_bytes > 1_000_000)
        cable.cut()
        for task in under_way:
            with pytest.raises(ServerUnavailableError, match="far"):
                await task
        await until(lambda: not far.waiting)
        assert not sender._peers
        await send(sender, far, "next", np.zeros(1000, np.uint8))
        assert list(far.taken) == ["next"]
        far.address = real


@pytest.mark.parametrize("way", Way)
async def test_a_stopped_receiver_finishes_what_it_has_begun_and_is_found_again(far: Far, way: Way) -> None:
    async with outlet(way) as sender:
        far.gates["begun"] = asyncio.Event()
        begun = send(sender, far, "begun", np.zeros(1000, np.uint8))
        await until(lambda: far.waiting)
        stopping = asyncio.create_task(far.stop())
        assert far.binding is not None
        await far.binding.stopping.wait()
        with pytest.raises(ServerUnavailableError):
            await send(sender, far, "late", np.zeros(1000, np.uint8))
        far.gates["begun"].set()
        await begun
        await stopping
        with pytest.raises(ServerUnavailableError, match="far"):
            await send(sender, far, "late", np.zeros(1000, np.uint8))
        # Until its stream has ended, the receiver that was in this process is still known.
        await until(lambda: not sender._peers)
        await far.start()
        await send(sender, far, "next", np.zeros(1000, np.uint8))
    assert list(far.taken) == ["begun", "next"]


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


async def test_cancelling_the_stream_forgets_all_that_came(far: Far) -> None:
    far.gates["whole"] = asyncio.Event()
    async with Channels() as channels:
        call = TensorTransportStub(channels.to(far.address)).Carry()
        await call.write(CarryRequest(header=CarryHeader(greeting=CarryGreeting())))
        await call.read()
        for number, (name, size) in enumerate({"whole": 1000, "half": 2_000_000}.items(), 1):
            announcement = TensorAnnouncement(
                destination=DESTINATION_INFERENCER, tensor=Spec(name=name, dtype="uint8", shape=[size])
            )
            header = CarryHeader(tensor=number, announcement=announcement)
            await call.write(CarryRequest(header=header, data=bytes(1000)))
        await until(lambda: far.waiting)
        call.cancel()
        await until(lambda: not far.waiting)
        assert far.receiver is not None
        await until(lambda: gc.collect() >= 0 and far.receiver._intake.buffers.idle_bytes >= 2_000_000)
    assert not far.taken


async def test_chunks_are_bounded(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    to_bytes = connection.to_bytes
    monkeypatch.setattr(connection, "to_bytes", lambda frame: sizes.append(frame.data.nbytes) or to_bytes(frame))
    async with outlet() as sender:
        await send(sender, far, "x", np.zeros(3_000_001, np.uint8))
    assert max(sizes) <= connection.MOST_CHUNK_BYTES
    assert sum(sizes) == 3_000_001
