"""Embedded clusters for system tests: real processes, small models."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from partita import aio
from partita.cluster import EmbeddedCluster, EmbeddedServer, embedded_cluster
from services.runtime.settings import EmulatedLink

SERVERS = (
    EmbeddedServer(
        "device", "device", compute_watts=3.0, transmit_watts=3.5, links=(EmulatedLink("edge", 2e6, 0.002),)
    ),
    EmbeddedServer("edge", "edge", compute_watts=6.0, transmit_watts=2.0, links=(EmulatedLink("device", 4e6, 0.002),)),
    EmbeddedServer("cloud", "cloud", compute_watts=30.0, transmit_watts=1.0),
)


@asynccontextmanager
async def small_cluster(
    directory: Path, servers: Sequence[EmbeddedServer] = SERVERS
) -> AsyncIterator[tuple[EmbeddedCluster, aio.Client]]:
    """Three servers, or those given, and a client; the link between device and edge is slow."""
    async with embedded_cluster(servers, directory) as cluster, aio.connect(cluster.address) as client:
        yield cluster, client
