"""A real link of a given throughput on one machine: two network namespaces, and the kernel's token bucket between."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAMES = ("sender", "receiver")
HOSTS = ("10.77.0.1", "10.77.0.2")


_OWN = re.compile(rf"partita-(\d+)-(?:{'|'.join(NAMES)})")


class NoShapingError(Exception):
    """Links cannot be shaped here; the message says why."""


@contextmanager
def shaped_link(bytes_per_second: float) -> Iterator[tuple[list[str], list[str]]]:
    """Raise a link; yields the command prefixes that run a program at its two ends, which are ``HOSTS``.

    Raises:
        NoShapingError: not root, no ``ip`` or ``tc``, or the kernel refuses.
    """
    if os.geteuid() != 0:
        raise NoShapingError("shaping a link takes root")
    for program in ("ip", "tc"):
        if shutil.which(program) is None:
            raise NoShapingError(f"there is no program {program!r} here; install iproute2")
    spaces = [f"partita-{os.getpid()}-{name}" for name in NAMES]
    devices = [f"pa{os.getpid() % 10**7}{end}" for end in "ab"]
    remove_leftovers()
    bits = int(bytes_per_second * 8)
    # No less than the largest packet that the kernel makes, and what passes while it sleeps.
    burst = int(bytes_per_second * 0.001) + 2**16
    try:
        for space in spaces:
            _run("ip", "netns", "add", space)
        _run("ip", "link", "add", devices[0], "type", "veth", "peer", "name", devices[1])
        for space, device, host in zip(spaces, devices, HOSTS, strict=True):
            _run("ip", "link", "set", device, "netns", space)
            _run("ip", "-n", space, "addr", "add", f"{host}/24", "dev", device)
            _run("ip", "-n", space, "link", "set", device, "up")
            shape = ("tbf", "rate", f"{bits}bit", "burst", str(burst), "latency", "100ms")
            _run("tc", "-n", space, "qdisc", "add", "dev", device, "root", *shape)
        yield tuple(["ip", "netns", "exec", space] for space in spaces)  # type: ignore[misc]
    finally:
        for space in spaces:
            _delete(space)


def remove_leftovers() -> list[str]:
    """Delete the ends of links whose process was killed; returns their names."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout  # noqa: S607
    spaces = [line.split()[0] for line in listed.splitlines() if line.strip()]
    gone = [space for space in spaces if (own := _OWN.fullmatch(space)) and not Path(f"/proc/{own[1]}").exists()]
    for space in gone:
        _delete(space)
    return gone


def _delete(space: str) -> None:
    subprocess.run(["ip", "netns", "delete", space], capture_output=True, check=False)  # noqa: S607


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoShapingError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
