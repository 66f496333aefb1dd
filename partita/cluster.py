"""The embedded cluster: one process for the control services and one for each server, on loopback.

These are the services that run anywhere else, started by ``python -m services``; only their settings differ.
"""

import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from core.cluster import SERVER_SERVICES
from core.concurrency import run_all
from core.errors import FailedPreconditionError, ServerUnavailableError
from services.clients.registry import RegistryClient
from services.runtime.channels import Channels
from services.runtime.settings import EmulatedLink

START_SECONDS = 60.0
"""How long a process may take until it listens, and the cluster until all servers are registered."""

STOP_SECONDS = 10.0
"""How long a process may take to stop before it is killed."""


@dataclass(frozen=True)
class EmbeddedServer:
    """One server of an embedded cluster; the fields are those of ``services.runtime.settings.Settings``."""

    name: str
    role: str
    slowdown: float = 1.0
    threads: int = 1
    memory_bytes: int = 0
    compute_watts: float = 0.0
    transmit_watts: float = 0.0
    links: tuple[EmulatedLink, ...] = ()
    advertise: str = ""
    metrics_listen: str = ""
    tensor_advertise_port: int = 0

    def flags(self) -> list[str]:
        """As flags of ``python -m services``."""
        links = ";".join(f"{link.target}={link.bytes_per_second},{link.rtt_seconds}" for link in self.links)
        return [
            f"--server={self.name}",
            f"--role={self.role}",
            f"--slowdown={self.slowdown}",
            f"--threads={self.threads}",
            f"--memory-bytes={self.memory_bytes}",
            f"--compute-watts={self.compute_watts}",
            f"--transmit-watts={self.transmit_watts}",
            f"--links={links}",
            f"--advertise={self.advertise}",
            f"--metrics-listen={self.metrics_listen}",
            f"--tensor-advertise-port={self.tensor_advertise_port}",
            # Servers that share a machine stand for others: its meters say nothing of them.
            "--measure-power=false",
        ]


DEFAULT_SERVERS = (
    EmbeddedServer(
        "device",
        "device",
        slowdown=8.0,
        compute_watts=2.9,
        transmit_watts=3.5,
        links=(EmulatedLink("edge", 100e6, 0.002), EmulatedLink("cloud", 25e6, 0.02)),
    ),
    EmbeddedServer(
        "edge",
        "edge",
        slowdown=2.0,
        compute_watts=5.8,
        transmit_watts=2.3,
        links=(EmulatedLink("device", 100e6, 0.002), EmulatedLink("cloud", 100e6, 0.01)),
    ),
    EmbeddedServer(
        "cloud",
        "cloud",
        compute_watts=15.0,
        transmit_watts=2.3,
        links=(EmulatedLink("device", 25e6, 0.02), EmulatedLink("edge", 100e6, 0.01)),
    ),
)
"""A slow device, an edge server near it and a fast cloud server far away, with emulated speeds and links."""


@dataclass
class EmbeddedCluster:
    """A running cluster.

    Attributes:
        address: of the Deployer (and all other control services).
        processes: ``control`` and every server's name → its process.
        addresses: the same names → where each listens.
        directory: state and ``*.log`` of all processes.
    """

    address: str
    directory: Path
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    _commands: dict[str, tuple[str, ...]] = field(default_factory=dict)

    async def start(self, name: str, *arguments: str) -> str:
        """Start ``python -m services`` with ``arguments`` and wait until it listens; returns its address.

        Raises:
            FailedPreconditionError: it ended, or did not listen in time; the message has the end of its log.
        """
        path = self.directory / f"{name}.log"
        with path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "services",
                *arguments,
                "--stop-with-stdin=true",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                # The terminal's Ctrl-C is for the owner, who then stops the cluster in order.
                start_new_session=True,
            )
        self.processes[name] = process
        line = b""
        with contextlib.suppress(TimeoutError):
            assert process.stdout is not None  # noqa: S101 - a pipe was asked for
            line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        if not line:
            last = path.read_text(errors="replace").strip().rpartition("\n")[2][-1000:]
            raise FailedPreconditionError(f"the process {name!r} did not start; its log {path} ends with: {last}")
        address = line.decode().strip()
        self.addresses[name] = address
        # Started again, it listens where it did.
        self._commands[name] = _with(arguments, f"--listen={address}")
        return address

    async def restart(self, name: str, *flags: str) -> None:
        """Start a process that has ended again, with its state and at its address unless ``flags`` say otherwise."""
        await self.start(name, *_with(self._commands[name], *flags))


def _with(arguments: Sequence[str], *flags: str) -> tuple[str, ...]:
    """The arguments with these flags in the place of those of the same name."""
    return tuple({argument.partition("=")[0]: argument for argument in (*arguments, *flags)}.values())


@asynccontextmanager
async def embedded_cluster(
    servers: Sequence[EmbeddedServer] = DEFAULT_SERVERS,
    directory: Path | None = None,
    listen: str = "127.0.0.1:0",
) -> AsyncIterator[EmbeddedCluster]:
    """Start control services and servers, wait until all are registered, and stop them at the end.

    Args:
        directory: where state and logs go; ``None`` takes a temporary one that is removed at the end.
        listen: ``host:port`` of the control services.

    Raises:
        FailedPreconditionError: a process did not start; the message has the end of its log.
        ServerUnavailableError: a server did not register in time.
    """
    async with AsyncExitStack() as stack:
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="partita-")))
        directory.mkdir(parents=True, exist_ok=True)
        cluster = EmbeddedCluster("", directory)
        stack.push_async_callback(_stop_all, cluster)
        cluster.address = await cluster.start(
            "control", "control", f"--listen={listen}", f"--data-directory={directory}"
        )
        control = [f"--registry={cluster.address}", f"--model-pool={cluster.address}", "--listen=127.0.0.1:0"]

        async def start(server: EmbeddedServer) -> None:
            state = f"--data-directory={directory / server.name}"
            await cluster.start(server.name, "node", *control, state, *server.flags())

        await run_all(map(start, servers))
        await all_registered(cluster.address, {server.name for server in servers}, directory)
        yield cluster


async def all_registered(address: str, names: set[str], logs: Path) -> None:
    """Wait until servers take part and can hold components.

    Args:
        address: of the Registry.
        names: of the servers to wait for.
        logs: the directory to point to where some do not come.

    Raises:
        ServerUnavailableError: a server did not register in time.
    """
    missing = set(names)
    async with Channels() as channels:
        registry = RegistryClient(channels.to(address))
        try:
            async with asyncio.timeout(START_SECONDS):
                async for seen in registry.watch():
                    missing -= {
                        server.name
                        for server in seen.servers
                        if server.state is not None and set(SERVER_SERVICES) <= server.services.keys()
                    }
                    if not missing:
                        return
        except TimeoutError:
            raise ServerUnavailableError(
                f"servers {', '.join(sorted(missing))} did not register within {START_SECONDS:.0f} s; "
                f"see the logs in {logs}"
            ) from None


async def _stop_all(cluster: EmbeddedCluster) -> None:
    # Servers first: they deregister at the control services.
    for name in [*(name for name in cluster.processes if name != "control"), "control"]:
        process = cluster.processes.get(name)
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            if name == "control":
                break
    await asyncio.gather(*(_ended(process) for process in cluster.processes.values()))


async def _ended(process: asyncio.subprocess.Process) -> None:
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
