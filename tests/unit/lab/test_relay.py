import socket
from collections.abc import Iterator

import pytest

from lab.network import Network
from lab.relay import Relay
from lab.state import Change, Lab
from lab.topology import LabServer, Link, Shape, Topology

FAST = Shape(1e12)
TOPOLOGY = Topology(tuple(LabServer(name, "device") for name in "abc"), (Link("a", "b", FAST), Link("b", "a", FAST)))
LAB = Lab("lab", 0, TOPOLOGY, "relay")


@pytest.fixture
def ends() -> Iterator[dict[str, tuple[socket.socket, socket.socket]]]:
    """Server → its own end and the relay's end of what stands for its device."""
    pairs = {name: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for name in "abc"}
    for pair in pairs.values():
        for end in pair:
            end.setblocking(False)
    yield pairs
    for pair in pairs.values():
        for end in pair:
            end.close()


def relay(ends: dict[str, tuple[socket.socket, socket.socket]]) -> Relay:
    return Relay(LAB, {name: pair[1].fileno() for name, pair in ends.items()})


def packet(target: str, body: bytes = b"body") -> bytes:
    address = Network("lab", 0, TOPOLOGY).address(target)
    return bytes(10) + bytes(16) + socket.inet_aton(address) + body


def test_a_packet_comes_out_where_it_is_addressed(ends: dict[str, tuple[socket.socket, socket.socket]]) -> None:
    running = relay(ends)
    for body in (b"one", b"two"):
        ends["a"][0].send(packet("b", body))
    running.take("a")
    running.deliver()
    assert [ends["b"][0].recv(100) for _ in range(2)] == [packet("b", b"one"), packet("b", b"two")]


def test_what_no_link_carries_is_dropped(ends: dict[str, tuple[socket.socket, socket.socket]]) -> None:
    running = relay(ends)
    ends["a"][0].send(packet("c"))
    ends["a"][0].send(bytes(60))
    ends["a"][0].send(b"short")
    running.take("a")
    running.deliver()
    for name in "bc":
        with pytest.raises(BlockingIOError):
            ends[name][0].recv(100)


def test_a_change_holds_for_its_direction_alone(ends: dict[str, tuple[socket.socket, socket.socket]]) -> None:
    running = relay(ends)
    running.change(Change("a", "b", Shape(1e12, delay_seconds=3600)))
    ends["a"][0].send(packet("b"))
    ends["b"][0].send(packet("a"))
    running.take("a")
    running.take("b")
    running.deliver()
    assert ends["a"][0].recv(100) == packet("a")
    with pytest.raises(BlockingIOError):
        ends["b"][0].recv(100)
