import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.cluster import Cluster, Member
from core.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    ServerUnavailableError,
)
from core.profiles import MeasuredLink, Power, ServerState
from partita.v1 import registry_pb2, registry_pb2_grpc, types_pb2
from services.clients.registry import RegistryClient
from services.registry import registry_service
from services.runtime.channels import Channels
from services.runtime.errors import typed_errors
from services.runtime.server import serving
from services.runtime.settings import Settings

EDGE = Member("edge", "edge", "server_monitor", "10.0.0.2:1", "example.org:1", "m1")
STATE = ServerState("edge", "f1", "a machine", "kernel", 10, 5, 0.5, Power(1.0, 2.0, 0.5, "measured"), 41.5, 7.25, 0.5)

LINK = MeasuredLink("edge", "cloud", 2e7, 0.05, ((65536.0, 0.06), (1e6, 0.1)), 1.7e9, 0.125)


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Registry keeps links in a directory below the current one."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async with serving("127.0.0.1:0", [registry_service(Settings(lease_seconds=600))]) as address:
        yield address


@pytest.fixture
async def registry(address: str) -> AsyncIterator[RegistryClient]:
    async with Channels() as channels:
        yield RegistryClient(channels.to(address))


async def test_members_states_and_links_come_back_as_they_went_in(registry: RegistryClient) -> None:
    assert await registry.register(EDGE) == 600
    await registry.register(replace(EDGE, service="front_end", instance="f1"))
    await registry.renew("m1", STATE)
    await registry.renew("f1")
    await registry.report_links([LINK])
    cluster = await registry.list_servers()
    (server,) = cluster.servers
    assert (server.name, server.role, server.state) == ("edge", "edge", STATE)
    assert server.services == {"server_monitor": "10.0.0.2:1", "front_end": "10.0.0.2:1"}
    assert server.public_front_end_address == "example.org:1"
    assert cluster.links == (LINK,)
    await registry.deregister("m1")
    await registry.deregister("f1")
    assert (await registry.list_servers()).servers == ()


async def test_errors_keep_their_types(registry: RegistryClient) -> None:
    await registry.register(EDGE)
    with pytest.raises(NotFoundError, match="register again"):
        await registry.renew("unknown")
    with pytest.raises(InvalidArgumentError, match="role 'fog'"):
        await registry.register(replace(EDGE, role="fog"))
    with pytest.raises(FailedPreconditionError, match="says it is edge"):
        await registry.register(replace(EDGE, role="cloud", service="inferencer", instance="i1"))


async def test_hostile_messages_change_nothing(address: str, registry: RegistryClient) -> None:
    async with Channels() as channels:
        stub = registry_pb2_grpc.RegistryStub(channels.to(address))
        with pytest.raises(InvalidArgumentError), typed_errors("the Registry"):
            await stub.Register(registry_pb2.RegisterRequest(), timeout=60)
        good = types_pb2.Link(source="a", target="b", bytes_per_second=1, rtt_seconds=1)
        for value in (0.0, -1.0, float("nan"), float("inf")):
            bad = types_pb2.Link(source="a", target="c", bytes_per_second=value)
            with pytest.raises(InvalidArgumentError), typed_errors("the Registry"):
                await stub.ReportLinks(registry_pb2.ReportLinksRequest(links=[good, bad]), timeout=60)
        await registry.register(EDGE)
        state = types_pb2.ServerState(name="edge", power=types_pb2.Power(source="guessed"))
        with pytest.raises(InvalidArgumentError, match="power"), typed_errors("the Registry"):
            await stub.Renew(registry_pb2.RenewRequest(instance="m1", state=state), timeout=60)
    cluster = await registry.list_servers()
    assert cluster.links == ()
    assert [server.state for server in cluster.servers] == [None]


async def test_watching_shows_now_and_every_change(registry: RegistryClient) -> None:
    watch = registry.watch()
    assert await anext(watch) == Cluster()
    await registry.register(EDGE)
    assert [server.state for server in (await anext(watch)).servers] == [None]
    await registry.renew("m1", STATE)
    assert [server.state for server in (await anext(watch)).servers] == [STATE]
    await registry.report_links([LINK])
    assert (await anext(watch)).links == (LINK,)
    await registry.deregister("m1")
    assert (await anext(watch)).servers == ()
    await watch.aclose()


async def test_a_cancelled_watch_ends(registry: RegistryClient) -> None:
    watching = asyncio.Event()

    async def watch() -> None:
        async for _ in registry.watch():
            watching.set()

    task = asyncio.create_task(watch())
    await watching.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await registry.register(EDGE)
    assert len((await registry.list_servers()).servers) == 1


async def test_a_silent_member_leaves_and_watchers_see_it() -> None:
    async with serving("127.0.0.1:0", [registry_service(Settings(lease_seconds=0.2))]) as address, Channels() as to:
        registry = RegistryClient(to.to(address))
        await registry.register(EDGE)
        watch = registry.watch()
        async with asyncio.timeout(30):
            async for cluster in watch:
                if not cluster.servers:
                    break
        await watch.aclose()
        with pytest.raises(NotFoundError):
            await registry.renew("m1")


async def test_stopping_ends_watches_in_order() -> None:
    async with Channels() as channels:
        async with serving("127.0.0.1:0", [registry_service(Settings())]) as address:
            watch = RegistryClient(channels.to(address)).watch()
            await anext(watch)
        # It ended by itself: one that is waited for and then broken off ends in an error.
        with pytest.raises(StopAsyncIteration):
            await anext(watch)


async def test_links_outlive_the_registry_and_members_do_not() -> None:
    async with Channels() as channels:
        async with serving("127.0.0.1:0", [registry_service(Settings())]) as address:
            registry = RegistryClient(channels.to(address))
            await registry.register(EDGE)
            await registry.report_links([LINK])
        async with serving("127.0.0.1:0", [registry_service(Settings())]) as address:
            cluster = await RegistryClient(channels.to(address)).list_servers()
    assert cluster == Cluster((), (LINK,))


async def test_a_registry_that_is_not_there_is_named() -> None:
    async with Channels() as channels:
        registry = RegistryClient(channels.to("127.0.0.1:1"))
        with pytest.raises(ServerUnavailableError, match="the Registry cannot be reached"):
            await registry.list_servers()
        with pytest.raises(ServerUnavailableError, match="the Registry cannot be reached"):
            await anext(registry.watch())
