"""What a lab's links really are: their bandwidth, one-way delay and loss, measured between namespaces.

Bandwidth is what one TCP connection's receiver gets, past its slow start. All namespaces share a clock, so a delay is
that of one direction: from a datagram's sending to when the kernel at the other end has it.
"""

import contextlib
import os
import socket
import statistics
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from core.progress import Progress
from lab.inside import inside
from lab.state import Lab
from lab.topology import Link

TOLERANCE = 0.1
"""Largest relative error of a link that is as asked."""

DELAY_FLOOR_SECONDS = 2.5e-3
"""Errors of shorter delays are relative to this: links are accurate to a quarter of a millisecond, not to less."""

TRIES = 3
"""A link that seems wrong is measured anew: whatever else runs on the machine disturbs measuring."""

TOGETHER_BYTES_PER_SECOND = 100e6
"""Links are measured at the same time as long as they carry no more than this together."""

PROBES, LOSS_PROBES = 40, 2000
BIN_SECONDS, BINS = 0.1, 12
WARM_SECONDS, WARM_ROUND_TRIPS = 0.5, 12
WAIT_SECONDS = 5.0

_TIMESTAMPS = 35  # SO_TIMESTAMPNS: when the kernel got a datagram, whoever has the processor then
_BUFFER_BYTES = 2**18


@dataclass(frozen=True)
class Measured:
    """A link as it was found to be.

    Attributes:
        bytes_per_second: median of ``BINS`` short intervals.
        delay_seconds: one way, median.
        loss: part of datagrams lost; ``None`` where none was asked for, and so none measured.
    """

    bytes_per_second: float
    delay_seconds: float
    loss: float | None


@dataclass(frozen=True)
class Comparison:
    """A link as it was asked for and as it is."""

    link: Link
    measured: Measured

    @property
    def bandwidth_error(self) -> float:
        """Relative."""
        return abs(self.measured.bytes_per_second / self.link.shape.bytes_per_second - 1)

    @property
    def delay_error(self) -> float:
        """Relative to the delay asked for, or to ``DELAY_FLOOR_SECONDS`` where that is longer."""
        asked = self.link.shape.delay_seconds
        return abs(self.measured.delay_seconds - asked) / max(asked, DELAY_FLOOR_SECONDS)

    @property
    def agrees(self) -> bool:
        """Whether both errors are within the tolerance."""
        return max(self.bandwidth_error, self.delay_error) <= TOLERANCE


def measure_links(lab: Lab, links: tuple[Link, ...], progress: Progress) -> list[Comparison]:
    """Measure links, some at a time, in the order given."""
    found: dict[str, Comparison] = {}
    # Slow links first: many of them go together.
    waiting = sorted(links, key=lambda link: link.shape.bytes_per_second)
    while waiting:
        together = _next_group(waiting)
        names = ", ".join(link.name for link in together)
        progress(len(found) / len(links), names if len(together) < 4 else f"{len(together)} links at once")
        with ThreadPoolExecutor(len(together), initializer=_hurry) as pool:
            for one in pool.map(lambda link: _compare(lab, link), together):
                found[one.link.name] = one
        waiting = waiting[len(together) :]
    return [found[link.name] for link in links]


def _next_group(links: list[Link]) -> list[Link]:
    total = 0.0
    for count, link in enumerate(links):
        total += link.shape.bytes_per_second
        if count and total > TOGETHER_BYTES_PER_SECOND:
            return links[:count]
    return links


def _compare(lab: Lab, link: Link) -> Comparison:
    tries: list[Comparison] = []
    while not tries or (not tries[-1].agrees and len(tries) < TRIES):
        tries.append(Comparison(link, _measure(lab, link)))
    return min(tries, key=lambda one: max(one.bandwidth_error, one.delay_error))


def _measure(lab: Lab, link: Link) -> Measured:
    source, target = lab.network.namespace(link.source), lab.network.namespace(link.target)
    address = lab.network.address(link.target)
    shape = link.shape
    with _datagrams(source, target, address) as (sender, receiver):
        # Packets that come in a row wait for late ones before them; these are far enough apart.
        pause = max(5e-3, 3 * shape.jitter_seconds)
        delays = _one_way(sender, receiver, PROBES, pause, shape.delay_seconds)
        loss = None
        if shape.loss:
            # A link that is slow must not drop them for want of room.
            pause = max(5e-4, 400 / shape.bytes_per_second)
            loss = 1 - len(_one_way(sender, receiver, LOSS_PROBES, pause, shape.delay_seconds)) / LOSS_PROBES
    return Measured(_throughput(source, target, address, shape.delay_seconds), _median(delays), loss)


@contextmanager
def _datagrams(source: str, target: str, address: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    with ExitStack() as stack:
        receiver = stack.enter_context(inside(target, _datagram_socket))
        receiver.setsockopt(socket.SOL_SOCKET, _TIMESTAMPS, 1)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**22)
        receiver.bind((address, 0))
        sender = stack.enter_context(inside(source, _datagram_socket))
        sender.connect(receiver.getsockname())
        yield sender, receiver


def _one_way(
    sender: socket.socket, receiver: socket.socket, count: int, pause_seconds: float, delay_seconds: float
) -> list[float]:
    """Send datagrams with the time; the seconds each took that arrived."""
    for _ in range(count):
        sender.send(struct.pack("q", time.time_ns()))
        time.sleep(pause_seconds)
    receiver.settimeout(2 * delay_seconds + 0.5)
    taken = []
    with contextlib.suppress(TimeoutError):
        for _ in range(count):
            sent, ancillary, _, _ = receiver.recvmsg(64, 128)
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
            taken.append((seconds * 1_000_000_000 + nanoseconds - struct.unpack("q", sent)[0]) / 1e9)
    return taken


def _throughput(source: str, target: str, address: str, delay_seconds: float) -> float:
    """Bytes a second that arrive over one TCP connection; 0 where none can be made."""
    with ExitStack() as stack:
        listener = stack.enter_context(inside(target, _stream_socket))
        listener.bind((address, 0))
        listener.listen(1)
        listener.settimeout(WAIT_SECONDS)
        sender = stack.enter_context(inside(source, _stream_socket))
        sender.settimeout(WAIT_SECONDS)
        # Loss slows other congestion controls far below what the link carries.
        with contextlib.suppress(OSError):
            sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"bbr")
        try:
            sender.connect(listener.getsockname())
            receiver = stack.enter_context(listener.accept()[0])
        except TimeoutError:
            return 0.0
        receiver.settimeout(WAIT_SECONDS)
        stopped = threading.Event()
        sending = threading.Thread(target=_send_until, args=(sender, stopped), daemon=True)
        sending.start()
        try:
            _received(receiver, WARM_SECONDS + WARM_ROUND_TRIPS * 2 * delay_seconds)
            rates = [_received(receiver, BIN_SECONDS) for _ in range(BINS)]
        except TimeoutError:
            return 0.0
        finally:
            stopped.set()
            # What is still under way is of no use and would disturb the next link.
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            receiver.close()
            sending.join()
        return statistics.median(rates)


def _send_until(sender: socket.socket, stopped: threading.Event) -> None:
    piece = bytes(_BUFFER_BYTES)
    with contextlib.suppress(OSError):
        while not stopped.is_set():
            sender.send(piece)


def _received(receiver: socket.socket, seconds: float) -> float:
    """Bytes a second that come within some time."""
    buffer = bytearray(2**20)
    begin, count = time.monotonic(), 0
    while (now := time.monotonic()) - begin < seconds:
        count += receiver.recv_into(buffer)
    return count / (now - begin)


def _median(values: list[float]) -> float:
    """The median; of nothing, a minute: more than any link's delay that one would ask for."""
    return statistics.median(values) if values else 60.0


def _hurry() -> None:
    # What is measured is the link, not how busy the machine is. Some containers do not allow it.
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def _datagram_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def _stream_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM)
