"""Tensors on both wires when something goes wrong: hostile bytes, cancellation, cut links and stopped receivers."""

import asyncio
import gc
from collections.abc import AsyncIterator

import numpy as np
import pytest
import zstandard

from core.errors import CorruptDataError, ServerUnavailableError, TooLargeError
from services.runtime.settings import EmulatedLink
from services.transport.sender import Way
from services.transport.wires import CallWire, SocketWire
from tests.integration.transport import WIRES, Cable, Far, announced, by_hand, outlet, send, until


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    far = Far()
    await far.start()
    yield far
    await far.stop()


@WIRES
@pytest.mark.parametrize(
    ("decompressed_bytes", "data", "error"),
    [
        pytest.param(4000, b"nothing of the kind", CorruptDataError, id="corrupt"),
        pytest.param(4000, zstandard.compress(bytes(2**30)), CorruptDataError, id="a bomb"),
        pytest.param(2**30, zstandard.compress(bytes(2**30)), TooLargeError, id="more than announced"),
    ],
)
async def test_compressed_data_that_are_not_as_announced_refuse_only_their_tensor(
    far: Far, way: Way, decompressed_bytes: int, data: bytes, error: type[Exception]
) -> None:
    async with by_hand(far, way) as wire:
        header = announced(1, "one", "float32", 1000)
        header.decompressed_bytes = decompressed_bytes
        await wire.write(header, data)
        answer = await wire.read()
        assert (answer.tensor, answer.error) == (1, error.__name__)
        await wire.write(announced(2, "two", "float32", 1000), bytes(4000))
        answer = await wire.read()
        assert (answer.tensor, answer.error) == (2, "")
    assert list(far.taken) == ["two"]


@WIRES
async def test_what_no_sender_of_ours_would_say_refuses_only_its_tensor(far: Far, way: Way) -> None:
    async with by_hand(far, way) as wire:
        # More than announced, not where it belongs, the same number twice, too large, and of no dtype.
        await wire.write(announced(1, "one", "uint8", 10), bytes(20))
        await wire.write(announced(2, "two", "uint8", 10), bytes(5))
        gap = announced(2, "", "", 0)
        gap.ClearField("announcement")
        gap.offset = 7
        await wire.write(gap, bytes(3))
        far.gates["three"] = asyncio.Event()
        await wire.write(announced(3, "three", "uint8", 10), bytes(10))
        await wire.write(announced(3, "three again", "uint8", 10), bytes(10))
        await wire.write(announced(4, "four", "uint8", 2**40), bytes(10))
        await wire.write(announced(5, "five", "strange", 10), bytes(10))
        await wire.write(announced(6, "six", "uint8", 10), bytes(10))
        answers = [await wire.read() for _ in range(6)]
        assert {answer.tensor: answer.error for answer in answers} == {
            1: "TooLargeError",
            2: "InvalidArgumentError",
            3: "InvalidArgumentError",
            4: "TooLargeError",
            5: "InvalidTensorError",
            6: "",
        }
    assert list(far.taken) == ["six"]


@WIRES
async def test_a_cancelled_tensor_is_forgotten_at_both_ends(far: Far, way: Way) -> None:
    async with outlet(way, EmulatedLink("far", 2e6, 0.0)) as sender:
        sending = send(sender, far, "half sent", np.zeros(40_000_000, np.uint8))
        await asyncio.sleep(0.2)
        far.gates["waiting"] = asyncio.Event()
        waiting = send(sender, far, "waiting", np.zeros(1000, np.uint8), "another")
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
        await until(lambda: gc.collect() >= 0 and far.idle_bytes >= 40_000_000)


@WIRES
async def test_when_a_sender_ends_all_that_came_is_forgotten(far: Far, way: Way) -> None:
    far.gates["whole"] = asyncio.Event()
    async with by_hand(far, way) as wire:
        await wire.write(announced(1, "whole", "uint8", 1000), bytes(1000))
        await wire.write(announced(2, "half", "uint8", 2_000_000), bytes(1000))
        await until(lambda: far.waiting)
        wire.end()
        await until(lambda: not far.waiting)
        await until(lambda: gc.collect() >= 0 and far.idle_bytes >= 2_000_000)
    assert not far.taken


@pytest.mark.parametrize("what", ["call", "socket", "the call beside a socket"])
async def test_a_link_cut_in_mid_tensor_fails_what_is_under_way_and_the_next_use_connects_again(what: str) -> None:
    far, cable = Far(), Cable()
    async with cable.laid() as address, outlet(Way.SOCKET, EmulatedLink("far", 20e6, 0.0)) as sender:
        if what == "socket":
            far.tensor_advertise_port = int(address.rpartition(":")[2])
        await far.start()
        real = far.address
        if what == "socket":
            cable.target = f"127.0.0.1:{far.port.number}"
        else:
            far.port._grpc_port = 0 if what != "call" else far.port._grpc_port
            cable.target, far.address = real, address
        far.gates["waiting"] = asyncio.Event()
        under_way = [
            send(sender, far, "waiting", np.zeros(1000, np.uint8)),
            send(sender, far, "half sent", np.zeros(40_000_000, np.uint8)),
        ]
        await until(lambda: far.waiting)
        [peer] = sender._peers.values()
        assert isinstance(peer.connection.wire, CallWire if what == "call" else SocketWire)
        if what != "the call beside a socket":
            await until(lambda: cable.passed_bytes > 1_000_000)
        cable.cut()
        for task in under_way:
            with pytest.raises(ServerUnavailableError, match="far"):
                await task
        await until(lambda: not far.waiting)
        assert not sender._peers
        await send(sender, far, "next", np.zeros(1000, np.uint8))
        assert list(far.taken) == ["next"]
        far.address = real
        await far.stop()


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
