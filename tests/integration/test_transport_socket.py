"""Sockets for tensors: who may open one, what goes over them whatever comes, and when gRPC must do."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import FailedPreconditionError
from services.transport import tensor_port, wires
from services.transport.message_socket import DATA_LIMIT_BYTES, HEADER_LIMIT_BYTES, MessageSocket
from services.transport.sender import Way
from services.transport.tensor_port import ANY_HOST
from services.transport.wires import CallWire, NoSocketError, SocketWire, open_socket
from tests.integration.transport import (
    LENGTHS,
    Cable,
    Far,
    SocketByHand,
    announced,
    by_hand,
    offered,
    outlet,
    send,
    until,
)


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    far = Far()
    await far.start()
    yield far
    await far.stop()


class End:
    """One end of a connection, and what came there."""

    def __init__(self, connection: socket.socket) -> None:
        self.came: list[tuple[bytes, bytes | None]] = []
        self.place = np.empty(0, np.uint8)
        self.socket = MessageSocket(connection, self.begin, self.finish)

    def begin(self, header: bytes, data_bytes: int) -> np.ndarray | None:
        if header[:1] == b"x":
            self.came.append((header, None))
            return None
        self.header, self.place = header, np.empty(data_bytes, np.uint8)
        return self.place

    def finish(self) -> None:
        self.came.append((self.header, self.place.tobytes()))


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        there, _ = listener.accept()
    near.setblocking(False)
    with near, there:
        yield near, there


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.binary(max_size=40) | st.just(b"long" * 3000), st.integers(0, 9000)), max_size=12),
    st.lists(st.integers(1, 6000), max_size=20),
)
def test_messages_arrive_whole_in_whatever_pieces_they_come(messages: list[tuple[bytes, int]], cuts: list[int]) -> None:
    async def run() -> None:
        sent = [(header, bytes(np.arange(size) % 251)) for header, size in messages]
        stream = b"".join(LENGTHS.pack(len(header), len(data)) + header + data for header, data in sent)
        async with connected() as (near, there):
            end = End(there)
            for cut in [*cuts, len(stream)]:
                piece, stream = stream[:cut], stream[cut:]
                await asyncio.get_running_loop().sock_sendall(near, piece)
                await asyncio.sleep(0)
            await until(lambda: len(end.came) == len(sent))
            assert end.came == [(header, None if header[:1] == b"x" else data) for header, data in sent]
            near.close()
            assert await end.socket.closed is None

    asyncio.run(run())


async def test_what_the_kernel_does_not_take_waits_and_nothing_is_lost_or_mixed_up() -> None:
    async with connected() as (near, there):
        sending, end = End(near), End(there)
        end.socket.pause()
        messages = [(b"%d" % number, bytes([number]) * 3_000_000) for number in range(12)]
        waiting = [sending.socket.write(header, memoryview(data)) for header, data in messages]
        assert waiting[-1] is not None
        await asyncio.sleep(0.05)
        assert not waiting[-1].done()
        assert not end.came
        end.socket.resume()
        await waiting[-1]
        await until(lambda: len(end.came) == len(messages))
        assert end.came == messages
        end.socket.close()
        await sending.socket.closed
        assert sending.socket.write(b"late") is None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: far\r\n\r\n", id="another protocol"),
        pytest.param(LENGTHS.pack(HEADER_LIMIT_BYTES + 1, 0), id="a header too long"),
        pytest.param(LENGTHS.pack(1, DATA_LIMIT_BYTES + 1), id="too much data"),
        pytest.param(LENGTHS.pack(2**32 - 1, 2**32 - 1), id="much too long"),
        pytest.param(LENGTHS.pack(4, 0) + b"\xff\xff\xff\xff", id="no header"),
    ],
)
async def test_hostile_bytes_end_only_their_own_connection(far: Far, data: bytes) -> None:
    async with by_hand(far, Way.SOCKET) as hostile, outlet(Way.SOCKET) as sender:
        assert isinstance(hostile, SocketByHand)
        await send(sender, far, "before", np.arange(10))
        far.gates["waiting"] = asyncio.Event()
        await hostile.write(announced(1, "waiting", "uint8", 10), bytes(10))
        await until(lambda: far.waiting)
        await hostile.write_bytes(data)
        with pytest.raises((EOFError, OSError)):
            await hostile.read_bytes(1)
        # What it had sent before is forgotten.
        await until(lambda: not far.waiting)
        await send(sender, far, "after", np.arange(10))
    assert list(far.taken) == ["before", "after"]


async def test_a_sender_that_reads_no_answers_is_not_read_either(far: Far) -> None:
    async with by_hand(far, Way.SOCKET) as sender:
        assert isinstance(sender, SocketByHand)
        header = announced(1, "bad" + 40_000 * "x", "uint8", 0).SerializeToString()
        message = LENGTHS.pack(len(header), 0) + header
        sent, silent, limit = 0, 0, 400 * 2**20
        while silent < 20 and sent < limit:
            try:
                sent += sender.connection.send(message[sent % len(message) :])
                silent = 0
            except BlockingIOError:
                silent += 1
                await asyncio.sleep(0.02)
            await asyncio.sleep(0)
        assert sent < limit
        for _ in range(sent // len(message)):
            assert (await sender.read()).error == "InvalidTensorError"


async def test_a_token_opens_one_socket_and_only_as_long_as_its_call_lasts(far: Far) -> None:
    async with offered(far) as (_, offer):
        (await open_socket(far.address, offer)).close()
        with pytest.raises(NoSocketError):
            await open_socket(far.address, offer)
    async with offered(far) as (_, offer):
        pass
    await until(lambda: not far.port._offers)
    with pytest.raises(NoSocketError):
        await open_socket(far.address, offer)


async def test_a_token_is_forgotten_after_a_while(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_port, "OFFER_SECONDS", -1.0)
    async with offered(far) as (_, offer):
        with pytest.raises(NoSocketError):
            await open_socket(far.address, offer)


async def test_strangers_at_the_port_are_bounded_in_number_and_time(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_port, "OPENING_LIMIT", 3)
    monkeypatch.setattr(tensor_port, "OPENING_SECONDS", 0.3)
    address = ("127.0.0.1", far.port.number)
    async with outlet(Way.SOCKET) as sender:
        await send(sender, far, "before", np.arange(10))
        strangers = [await asyncio.open_connection(*address) for _ in range(6)]
        strangers[0][1].write(b"\x00" * 100)
        for reader, writer in strangers:
            # Wrong, silent or one too many: all are sent away.
            with pytest.raises((EOFError, OSError)):
                await reader.readexactly(1)
            writer.close()
        await until(lambda: not far.port._opening)
        monkeypatch.setattr(tensor_port, "OPENING_SECONDS", 60.0)
        await send(sender, far, "after", np.arange(10))
    async with outlet(Way.SOCKET) as sender:
        await send(sender, far, "again", np.arange(10))
        [peer] = sender._peers.values()
        assert isinstance(peer.connection.wire, SocketWire)
    assert list(far.taken) == ["before", "after", "again"]


@asynccontextmanager
async def somebody_else(answer: bytes | None) -> AsyncIterator[int]:
    """The port of a stranger, who answers so or not at all."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer:
            writer.write(answer)
        if answer != b"":
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("why", ["none", "a proxy", "refused", "somebody else", "nobody answers", "hangs up"])
async def test_where_no_socket_can_be_had_tensors_go_by_grpc(
    why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    far, cable = Far(), Cable()
    if why == "none":
        far.tensor_port = -1
    elif why == "nobody answers":
        monkeypatch.setattr(wires, "PROOF_SECONDS", 0.1)
    answer = {"somebody else": b"220 mail.example.org ready, who are you?\r\n", "hangs up": b""}.get(why)
    async with cable.laid() as address, somebody_else(answer) as stranger:
        if why in ("somebody else", "nobody answers", "hangs up"):
            far.tensor_advertise_port = stranger
        elif why == "refused":
            with socket.create_server(("127.0.0.1", 0)) as gone:
                far.tensor_advertise_port = gone.getsockname()[1]
        await far.start()
        real, cable.target = far.address, far.address
        if why == "a proxy":
            far.address = address
        async with outlet(Way.SOCKET) as sender:
            for name in ("one", "two"):
                await send(sender, far, name, np.arange(300_000))
            [peer] = sender._peers.values()
            assert isinstance(peer.connection.wire, CallWire)
        far.address = real
        await far.stop()
    assert np.array_equal(far.taken["two"], np.arange(300_000))
    assert caplog.text.count("go by gRPC") == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", ANY_HOST[0], "[::1]", f"[{ANY_HOST[1]}]"])
async def test_sockets_are_had_at_whatever_address_grpc_listens(host: str) -> None:
    far = Far()
    far.address = f"{host}:0"
    try:
        await far.start()
    except FailedPreconditionError:
        pytest.skip(f"gRPC cannot listen on {host} here")
    far.address = far.address.replace(ANY_HOST[0], "127.0.0.1").replace("[::]", "[::1]")
    async with outlet(Way.SOCKET) as sender:
        await send(sender, far, "x", np.arange(10))
        [peer] = sender._peers.values()
        assert isinstance(peer.connection.wire, SocketWire)
    await far.stop()
    assert list(far.taken) == ["x"]


async def test_a_unix_socket_takes_tensors_too(tmp_path) -> None:
    far = Far()
    far.address = f"unix:{tmp_path}/far"
    await far.start()
    async with outlet(Way.SOCKET) as sender:
        await send(sender, far, "x", np.arange(10))
    await far.stop()
    assert list(far.taken) == ["x"]


async def test_a_fixed_port_is_used_and_one_that_is_taken_is_told(far: Far) -> None:
    other = Far()
    other.tensor_port = far.port.number
    with pytest.raises(FailedPreconditionError, match="--tensor-port"):
        await other.start()
    await other.stop()
    number = far.port.number
    await far.stop()
    far.tensor_port = number
    await far.start()
    assert far.port.number == number
    async with outlet(Way.SOCKET) as sender:
        await send(sender, far, "x", np.arange(10))
        [peer] = sender._peers.values()
        assert isinstance(peer.connection.wire, SocketWire)
