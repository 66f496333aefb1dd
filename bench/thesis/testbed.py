"""Where experiments run: the lab's namespaces where this machine can make them, else emulated links on loopback."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from core.errors import FailedPreconditionError, InvalidArgumentError
from core.progress import Progress, part
from partita.cluster import EmbeddedServer, all_registered, embedded_cluster
from services.runtime.settings import EmulatedLink

if TYPE_CHECKING:
    from lab.topology import Topology

PRESET = "thesis"

Kind = Literal["lab", "emulated"]


@dataclass(frozen=True)
class LinkCheck:
    """A link as asked for and, where it was measured, as it is; one way."""

    source: str
    target: str
    bytes_per_second: float
    delay_seconds: float
    measured_bytes_per_second: float | None = None
    measured_delay_seconds: float | None = None


@dataclass(frozen=True)
class ServerWords:
    """A server as the topology has it."""

    name: str
    slowdown: float
    cores: tuple[int, ...]
    compute_watts: float
    transmit_watts: float


@dataclass(frozen=True)
class Described:
    """A testbed as it was.

    Attributes:
        kind: ``lab`` or ``emulated``.
        shaping: by what links are made.
        why: why it is not the lab, where it is not.
    """

    kind: Kind
    shaping: str
    why: str
    servers: tuple[ServerWords, ...]
    links: tuple[LinkCheck, ...]


@dataclass(frozen=True)
class Testbed:
    """A running testbed: where the Deployer is, and what it consists of."""

    address: str
    described: Described


def choose(wanted: Kind | None) -> tuple[Kind, str]:
    """The kind of testbed that this machine can make, and why it is not the lab.

    Raises:
        FailedPreconditionError: the lab is wanted, and the machine cannot make it.
    """
    if find_spec("yaml") is None:
        raise InvalidArgumentError("topologies are YAML files; install their reader with `pip install 'partita[lab]'`")
    if wanted == "emulated":
        return "emulated", "emulated links were asked for"
    why = _obstacle()
    if why and wanted == "lab":
        raise FailedPreconditionError(f"the lab cannot be made here: {why}")
    return ("emulated", why) if why else ("lab", "")


def _obstacle() -> str:
    """Why this machine cannot make the lab; empty if it can."""
    from lab.commands import require_machine, run
    from lab.topology_file import load_topology

    name = f"plab-try-{os.getpid()}"
    try:
        require_machine(load_topology(PRESET))
        run(["ip", "netns", "add", name])
        run(["ip", "netns", "delete", name])
    except FailedPreconditionError as error:
        return str(error)
    return "" if os.access("/dev/net/tun", os.R_OK | os.W_OK) else "there is no /dev/net/tun, over which links go"


@asynccontextmanager
async def testbed(kind: Kind, why: str, state: Path, progress: Progress) -> AsyncIterator[Testbed]:
    """Bring the thesis's testbed up, and take it down at the end.

    Args:
        kind: which.
        why: why it is not the lab, for the report.
        state: an absolute directory, in which models, profiles and plans outlive the testbed.

    Raises:
        FailedPreconditionError: a process did not start, or the machine cannot make the lab.
    """
    from lab.topology_file import load_topology

    topology = load_topology(PRESET)
    if kind == "lab":
        async with _lab(topology, state, progress) as running:
            yield running
        return
    progress(0.0, "starting three servers")
    async with embedded_cluster(emulated(topology), state) as cluster:
        links = tuple(
            LinkCheck(link.source, link.target, link.shape.bytes_per_second, link.shape.delay_seconds)
            for link in topology.links
        )
        yield Testbed(cluster.address, Described("emulated", "waiting in the sender", why, _words(topology), links))


def emulated(topology: "Topology") -> list[EmbeddedServer]:
    """A topology's servers with links that senders emulate; a link's round trip is its delay both ways."""
    return [
        EmbeddedServer(
            server.name,
            server.role,
            slowdown=server.slowdown,
            threads=server.threads,
            memory_bytes=server.memory_bytes,
            compute_watts=server.compute_watts,
            transmit_watts=server.transmit_watts,
            links=tuple(
                EmulatedLink(
                    link.target,
                    link.shape.bytes_per_second,
                    link.shape.delay_seconds + topology.link(f"{link.target}:{link.source}").shape.delay_seconds,
                )
                for link in topology.links
                if link.source == server.name
            ),
        )
        for server in topology.servers
    ]


@asynccontextmanager
async def _lab(topology: "Topology", state: Path, progress: Progress) -> AsyncIterator[Testbed]:
    from lab.lifecycle import raise_links, start_services, take_down
    from lab.measure import measure_links
    from lab.network import CONTROL
    from lab.service_commands import control_address

    # Named after its directory: what a killed run left is taken down by the one that resumes it.
    name = "t" + hashlib.sha256(str(state).encode()).hexdigest()[:9]
    progress(0.0, "bringing the lab up")
    await asyncio.to_thread(take_down, name)
    try:
        lab = await asyncio.to_thread(raise_links, topology, name)
        progress(0.2, "measuring the lab's links")
        compared = await asyncio.to_thread(measure_links, lab, topology.links, part(progress, 0.2, 0.6))
        # Profiles and plans stay with the report's raw data when the lab is gone.
        await asyncio.to_thread((lab.directory / "data").symlink_to, state, target_is_directory=True)
        progress(0.8, "starting the lab's services")
        started = await asyncio.to_thread(start_services, lab)
        await all_registered(control_address(lab), set(started) - {CONTROL}, lab.directory)
        links = tuple(
            LinkCheck(
                one.link.source,
                one.link.target,
                one.link.shape.bytes_per_second,
                one.link.shape.delay_seconds,
                one.measured.bytes_per_second,
                one.measured.delay_seconds,
            )
            for one in compared
        )
        yield Testbed(control_address(lab), Described("lab", str(lab.shaping), "", _words(topology), links))
    finally:
        await asyncio.to_thread(take_down, name)


def _words(topology: "Topology") -> tuple[ServerWords, ...]:
    return tuple(
        ServerWords(one.name, one.slowdown, one.cores, one.compute_watts, one.transmit_watts)
        for one in topology.servers
    )
