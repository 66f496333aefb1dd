"""Links without ``netem``: a process that carries packets between servers, each when its link has brought it.

Every server has a TUN device, which takes whole bursts of TCP (up to 64 KiB) from the kernel and gives them back to
it, so that Python's speed does for hundreds of megabytes a second. A burst is lost or queued as one.

Run as ``python -m lab.relay LAB`` by ``partita lab up``.
"""

import contextlib
import fcntl
import heapq
import os
import random
import select
import socket
import struct
import sys
import time
from collections.abc import Mapping

from core.documents import loads
from lab.inside import inside
from lab.link_queue import LinkQueue
from lab.network import LINK_DEVICE
from lab.state import Change, Lab, load

_TUNSETIFF, _TUNSETOFFLOAD = 0x400454CA, 0x400454D0
_IFF_TUN, _IFF_NO_PI, _IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
_TUN_F_CSUM, _TUN_F_TSO4, _TUN_F_TSO6, _TUN_F_TSO_ECN = 0x01, 0x02, 0x04, 0x08
_HEADER_BYTES = 10
"""Of the header (virtio_net_hdr) that tells how a burst is to be cut into packets."""
_LARGEST_BYTES = _HEADER_BYTES + 65536

_BATCH = 16
"""Most packets read from one device before those that are due are delivered."""

SPIN_SECONDS = 1e-4
"""Waking up takes about so long; the relay wakes up before a packet is due and looks at the clock until then."""

OWN_SECONDS = 1e-4
"""What a packet spends on its way through both devices and the relay: it is taken off the link's delay."""


def open_device() -> int:
    """Make the device of the namespace this runs in; it is gone once its descriptor is closed."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = _IFF_TUN | _IFF_NO_PI | _IFF_VNET_HDR
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", LINK_DEVICE.encode(), flags))
    fcntl.ioctl(descriptor, _TUNSETOFFLOAD, _TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO6 | _TUN_F_TSO_ECN)
    return descriptor


class Relay:
    """All links of a lab."""

    def __init__(self, lab: Lab, devices: Mapping[str, int]) -> None:
        """Links that are free.

        Args:
            devices: server → descriptor of its device, not blocking.
        """
        self._devices = devices
        self._addresses = {socket.inet_aton(lab.network.address(name)): name for name in devices}
        draw = random.Random(0).random  # noqa: S311 - packets to lose, no secrets
        self._links = {(link.source, link.target): LinkQueue(link.shape, draw) for link in lab.topology.links}
        self._under_way: list[tuple[float, int, int, bytes]] = []
        self._count = 0

    def change(self, change: Change) -> None:
        """Give a link another shape."""
        self._links[change.source, change.target].shape = change.shape

    def run(self, changes: socket.socket) -> None:
        """Carry packets until the process ends."""
        names = {device: name for name, device in self._devices.items()}
        watched = [changes.fileno(), *names]
        while True:
            wait = None
            if self._under_way:
                wait = max(0.0, self._under_way[0][0] - time.monotonic() - SPIN_SECONDS)
            for ready in select.select(watched, (), (), wait)[0]:
                if ready in names:
                    self.take(names[ready])
                else:
                    self.change(loads(changes.recv(65536), Change))
            self.deliver()

    def take(self, source: str) -> None:
        """Read what a server has sent, and let links decide when it arrives."""
        for _ in range(_BATCH):
            try:
                packet = os.read(self._devices[source], _LARGEST_BYTES)
            except BlockingIOError:
                return
            # An IPv4 packet has its target's address at byte 16.
            target = self._addresses.get(packet[_HEADER_BYTES + 16 : _HEADER_BYTES + 20], "")
            link = self._links.get((source, target))
            if link is None:
                continue
            arrival = link.arrival(time.monotonic(), len(packet) - _HEADER_BYTES)
            if arrival is not None:
                self._count += 1
                heapq.heappush(self._under_way, (arrival - OWN_SECONDS, self._count, self._devices[target], packet))

    def deliver(self) -> None:
        """Hand out what has arrived."""
        waiting = self._under_way
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, device, packet = heapq.heappop(waiting)
            # A device that is not up yet, or no longer, takes nothing.
            with contextlib.suppress(OSError):
                os.write(device, packet)


def main() -> None:
    """Make the devices, say so on standard output, and carry packets."""
    lab = load(sys.argv[1])
    namespaces = {server.name: lab.network.namespace(server.name) for server in lab.topology.servers}
    relay = Relay(lab, {name: inside(namespace, open_device) for name, namespace in namespaces.items()})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as changes:
        changes.bind(str(lab.relay_socket))
        # Ahead of what the servers compute: a late relay is a longer link. Some containers do not allow it.
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        relay.run(changes)


if __name__ == "__main__":
    main()
