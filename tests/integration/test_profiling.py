"""Profiles of a real cluster: what is measured when, and what a cancelled call leaves behind."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from partita import aio
from partita.cluster import EmbeddedCluster, EmbeddedServer, embedded_cluster
from services.runtime.settings import EmulatedLink
from tests.unit.models import chain_model

SERVERS = (
    EmbeddedServer("device", "device", slowdown=3.0, compute_watts=2.0, links=(EmulatedLink("edge", 50e6, 0.002),)),
    EmbeddedServer("edge", "edge", compute_watts=5.0),
)
LATE = EmbeddedServer("late", "cloud", threads=2)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[EmbeddedCluster]:
    async with embedded_cluster(SERVERS, tmp_path) as running:
        yield running


async def join(cluster: EmbeddedCluster, client: aio.Client, server: EmbeddedServer) -> None:
    control = (f"--registry={cluster.address}", f"--model-pool={cluster.address}", "--listen=127.0.0.1:0")
    await cluster.start(server.name, "node", *control, *server.flags())
    async with asyncio.timeout(60):
        while server.name not in {one.name for one in (await client.cluster()).servers if one.state}:
            await asyncio.sleep(0.1)


def workers(cluster: EmbeddedCluster) -> list[psutil.Process]:
    """Processes in which something is measured."""
    found = []
    for process in cluster.processes.values():
        for child in psutil.Process(process.pid).children(recursive=True):
            try:
                if "spawn_main" in " ".join(child.cmdline()):
                    found.append(child)
            except psutil.NoSuchProcess:
                pass
    return found


async def test_profiles_are_measured_where_they_are_missing_and_a_cancel_ends_all(cluster: EmbeddedCluster) -> None:
    async with aio.connect(cluster.address) as client:
        await client.load(chain_model().SerializeToString(), "chain")
        first = await client.profile("chain", quantizable_count=1, noise_samples=2)
        # The servers differ in their slow-down alone.
        assert first.measured == 1 + 1 + 2
        assert first.execution["device"] == first.execution["edge"].slowed(3.0)
        assert first.seconds > 0
        assert {phase.subject for phase in first.phases} == {"model", "device", "links"}
        assert all(phase.now and phase.seconds >= 0 for phase in first.phases)
        assert {name: (energy.source, energy.watts) for name, energy in first.energies.items()} == {
            "device": ("declared", 2.0),
            "edge": ("declared", 5.0),
        }
        link = next(link for link in first.links if link.source == "device")
        assert link.seconds_by_bytes
        assert link.seconds(2**20) >= 2**20 / 50e6

        await join(cluster, client, LATE)
        joined = await client.profile("chain")
        assert joined.measured == 1 + 4
        assert joined.execution["edge"] == first.execution["edge"]
        assert {phase.subject for phase in joined.phases if phase.now} == {"late", "links"}
        assert (await client.profile("chain", refresh=True)).measured == 1 + 2 + 6

        working = asyncio.Event()
        endless = asyncio.create_task(
            client.profile("chain", quantizable_count=4, noise_samples=100_000, progress=lambda *_: working.set())
        )
        await working.wait()
        endless.cancel()
        with pytest.raises(asyncio.CancelledError):
            await endless
        async with asyncio.timeout(60):
            while workers(cluster):
                await asyncio.sleep(0.1)
        assert (await client.profile("chain")).measured == 0

        plan = await client.plan("chain")
        problem = await client.problem(plan.id or "")
        assert {link.seconds_by_bytes is not None for link in problem.links} == {True}
