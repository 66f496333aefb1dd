import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.deployment import RequestKey
from core.errors import FailedPreconditionError, InvalidArgumentError
from core.profiles import MeasuredLink
from core.progress import no_progress
from core.version import partita_version
from services.clients.registry import RegistryClient
from services.clients.server_monitor import ServerMonitorClient
from services.registry import registry_service
from services.runtime.channels import Channels
from services.runtime.server import serving
from services.runtime.settings import EmulatedLink, Settings
from services.runtime.shaping import LinkShaper
from services.server_monitor import server_monitor_service
from services.transport.sender import TensorSender, Way

NOWHERE = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Registry keeps links in a directory below the current one."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def registry() -> AsyncIterator[str]:
    async with serving("127.0.0.1:0", [registry_service(Settings(lease_seconds=600))]) as address:
        yield address


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def monitor(
    stack: AsyncExitStack, registry: str, name: str, links: tuple[EmulatedLink, ...] = (), link_budget: float = 0.01
) -> tuple[str, ServerMonitorClient]:
    settings = Settings(
        server=name,
        role="edge",
        registry=registry,
        links=links,
        compute_watts=2.5,
        memory_bytes=10**6,
        link_budget=link_budget,
    )
    address = await stack.enter_async_context(serving("127.0.0.1:0", [server_monitor_service(settings)]))
    channels = await stack.enter_async_context(Channels())
    return address, ServerMonitorClient(channels.to(address), name)


async def test_the_state_is_answered_and_reported_to_the_registry(registry: str, stack: AsyncExitStack) -> None:
    address, client = await monitor(stack, registry, "edge")
    seen = await client.get_state()
    assert seen.version == partita_version()
    assert abs(seen.skew_seconds) <= seen.seconds
    state = seen.state
    assert (state.name, state.memory_bytes, state.power.compute_watts) == ("edge", 10**6, 2.5)
    assert state.fingerprint
    assert state.machine
    channels = await stack.enter_async_context(Channels())
    async with asyncio.timeout(30):
        async for cluster in RegistryClient(channels.to(registry)).watch():
            if cluster.servers and cluster.servers[0].state is not None:
                break
    assert cluster.servers[0].services == {"server_monitor": address}
    reported = cluster.servers[0].state
    assert reported is not None
    passing: dict[str, Any] = {"load": 0, "available_memory_bytes": 0, "temperature_celsius": None, "drawn_watts": None}
    assert replace(reported, **passing) == replace(state, **passing)


async def test_emulated_links_are_measured_as_what_they_emulate(registry: str, stack: AsyncExitStack) -> None:
    fast, slow = EmulatedLink("cloud", 40e6, 0.01), EmulatedLink("far", 4e6, 0.05)
    _, client = await monitor(stack, registry, "edge", (fast, slow))
    cloud, _ = await monitor(stack, registry, "cloud")
    far, _ = await monitor(stack, registry, "far")
    steps: list[str] = []
    links = await client.measure_links({"cloud": cloud, "far": far}, lambda _, message: steps.append(message))
    assert [(link.source, link.target) for link in links] == [("edge", "cloud"), ("edge", "far")]
    for link, emulated in zip(links, (fast, slow), strict=True):
        # A busy machine makes links seem slower; faster than what the sender lets pass only within the noise.
        assert link.rtt_seconds >= emulated.rtt_seconds
        assert link.bytes_per_second < emulated.bytes_per_second * 2
    assert links[0].bytes_per_second > links[1].bytes_per_second
    assert any("cloud" in step for step in steps)


async def test_a_target_that_cannot_be_reached_is_left_out(registry: str, stack: AsyncExitStack) -> None:
    _, client = await monitor(stack, registry, "edge")
    cloud, _ = await monitor(stack, registry, "cloud")
    steps: list[str] = []
    links = await client.measure_links({"gone": NOWHERE, "cloud": cloud}, lambda _, message: steps.append(message))
    assert [link.target for link in links] == ["cloud"]
    assert any("gone" in step for step in steps)


async def test_without_any_target_that_can_be_reached_there_are_no_links(registry: str, stack: AsyncExitStack) -> None:
    _, client = await monitor(stack, registry, "edge")
    assert await client.measure_links({}, no_progress) == []
    assert await client.measure_links({"gone": NOWHERE, "lost": NOWHERE}, no_progress) == []


async def test_a_cancelled_measurement_makes_room_for_the_next(registry: str, stack: AsyncExitStack) -> None:
    # 1 kB/s: the first transfer alone takes a minute.
    _, client = await monitor(stack, registry, "edge", (EmulatedLink("far", 1e3, 0.0),))
    far, _ = await monitor(stack, registry, "far")
    cloud, _ = await monitor(stack, registry, "cloud")
    begun = asyncio.Event()
    task = asyncio.create_task(client.measure_links({"far": far}, lambda *_: begun.set()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # Were it still under way, this would wait for it.
    async with asyncio.timeout(8):
        assert len(await client.measure_links({"cloud": cloud}, no_progress)) == 1


async def test_a_link_that_is_far_too_slow_is_unreachable(
    registry: str, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.transport.sender.PROBE_TIMEOUT_SECONDS", 1.0)
    _, client = await monitor(stack, registry, "edge", (EmulatedLink("far", 1e3, 0.0),))
    far, _ = await monitor(stack, registry, "far")
    assert await client.measure_links({"far": far}, no_progress) == []


async def test_a_probe_is_taken_as_a_tensor_is(registry: str, stack: AsyncExitStack) -> None:
    address, _ = await monitor(stack, registry, "edge")
    for way in Way:
        sender = await stack.enter_async_context(TensorSender(LinkShaper(()), way))
        await sender.to_monitor("edge", address, np.zeros(3_000_000, np.uint8))
        with pytest.raises(FailedPreconditionError, match="no service"):
            await sender.to_inferencer("edge", address, RequestKey("app", 1, "r"), "tensor", np.zeros(3, np.uint8))


async def test_links_are_measured_again_and_again_without_being_asked(
    registry: str, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.link_watch.LEAST_REST_SECONDS", 0.02)
    await monitor(stack, registry, "edge", (EmulatedLink("cloud", 40e6, 0.01),), link_budget=0.9)
    await monitor(stack, registry, "cloud", link_budget=0.0)
    channels = await stack.enter_async_context(Channels())
    client = RegistryClient(channels.to(registry))
    found: list[MeasuredLink] = []
    async with asyncio.timeout(30):
        while len(found) < 2:
            links = (await client.list_servers()).links
            found += [link for link in links if link not in found]
            await asyncio.sleep(0.05)
    for link in found:
        assert (link.source, link.target) == ("edge", "cloud")
        assert link.rtt_seconds >= 0.01
        assert link.seconds(2**22) >= 2**22 / 40e6
    assert found[1].measured_at > found[0].measured_at > time.time() - 60


def test_a_budget_that_is_no_share_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="link_budget 2"):
        server_monitor_service(Settings(link_budget=2.0))
