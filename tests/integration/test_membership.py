import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from core.cluster import Cluster, Member
from core.errors import InvalidArgumentError, ServerUnavailableError
from core.profiles import Power, ServerState
from services.clients.registry import RegistryClient
from services.membership import membership
from services.registry import registry_service
from services.runtime.channels import Channels
from services.runtime.server import Binding, Service, serving
from services.runtime.settings import Settings

STATE = ServerState("edge", "f1", "a machine", "kernel", 10, 5, 0.5, Power(1.0, 2.0))
LEASE = Settings(lease_seconds=2.0)


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Registry keeps links in a directory below the current one."""
    monkeypatch.chdir(tmp_path)


def node(registry: str, **changes: str) -> Settings:
    return replace(Settings(server="edge", role="edge", registry=registry), **changes)  # type: ignore[arg-type]


async def read() -> ServerState:
    return STATE


def member(settings: Settings, service: str = "server_monitor") -> Service:
    @asynccontextmanager
    async def open_service(binding: Binding) -> AsyncIterator[None]:
        async with Channels() as channels, membership(settings, service, binding, channels, read):
            yield

    return open_service


async def until(registry: RegistryClient, condition: Callable[[Cluster], bool]) -> Cluster:
    async with asyncio.timeout(30):
        while True:
            # A channel that failed to connect waits a moment before it tries again.
            with suppress(ServerUnavailableError):
                if condition(cluster := await registry.list_servers()):
                    return cluster
            await asyncio.sleep(0.02)


def complete(cluster: Cluster) -> bool:
    return bool(cluster.servers) and cluster.servers[0].state is not None


def gone(cluster: Cluster) -> bool:
    return not cluster.servers


async def test_a_service_takes_part_beyond_its_lease_and_leaves_at_the_end() -> None:
    async with serving("127.0.0.1:0", [registry_service(LEASE)]) as control, Channels() as channels:
        registry = RegistryClient(channels.to(control))
        async with serving("127.0.0.1:0", [member(node(control))]) as address:
            cluster = await until(registry, complete)
            assert cluster.servers[0].services == {"server_monitor": address}
            assert cluster.servers[0].state == STATE
            watch = registry.watch()
            await anext(watch)
            change = asyncio.ensure_future(anext(watch))
            done, _ = await asyncio.wait([change], timeout=1.5 * LEASE.lease_seconds)
            assert not done, "the membership changed although it was renewed"
        # Deregistered, not expired: it is gone as soon as its server has stopped.
        assert (await registry.list_servers()).servers == ()
        assert (await change).servers == ()
        await watch.aclose()


async def test_it_comes_back_when_the_registry_restarts_and_complains_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Channels() as channels:
        async with serving("127.0.0.1:0", [registry_service(LEASE)]) as control:
            pass
        caplog.set_level(logging.WARNING, "services.membership")
        # It starts before the Registry does.
        async with serving("127.0.0.1:0", [member(node(control))]):
            for _ in range(2):
                caplog.clear()
                async with asyncio.timeout(30):
                    while not caplog.records:
                        await asyncio.sleep(0.02)
                await asyncio.sleep(1.2)
                assert len(caplog.records) == 1
                async with serving(control, [registry_service(LEASE)]):
                    await until(RegistryClient(channels.to(control)), complete)


async def test_it_registers_again_when_its_lease_was_lost() -> None:
    async with serving("127.0.0.1:0", [registry_service(LEASE)]) as control, Channels() as channels:
        registry = RegistryClient(channels.to(control))
        async with serving("127.0.0.1:0", [member(node(control))]) as address:
            await until(registry, complete)
            # Another takes its place and falls silent.
            await registry.register(Member("edge", "edge", "server_monitor", "other:1", "", "other"))
            await until(registry, lambda cluster: bool(cluster.servers) and address in _addresses(cluster))


def _addresses(cluster: Cluster) -> set[str]:
    return {address for server in cluster.servers for address in server.services.values()}


async def test_a_registry_in_the_same_process_is_joined_and_left() -> None:
    settings = replace(LEASE, services=("registry", "server_monitor"), server="edge", role="edge")
    async with (
        serving("127.0.0.1:0", [registry_service(settings), member(settings)]) as address,
        Channels() as channels,
    ):
        cluster = await until(RegistryClient(channels.to(address)), complete)
        assert cluster.servers[0].services == {"server_monitor": address}


async def test_a_state_that_cannot_be_read_stops_nothing() -> None:
    failures = [OSError("broken sensor")]

    async def fail_first() -> ServerState:
        if failures:
            raise failures.pop()
        return STATE

    @asynccontextmanager
    async def service(binding: Binding) -> AsyncIterator[None]:
        async with Channels() as to, membership(node(control), "server_monitor", binding, to, fail_first):
            yield

    async with (
        serving("127.0.0.1:0", [registry_service(LEASE)]) as control,
        serving("127.0.0.1:0", [service]),
        Channels() as channels,
    ):
        await until(RegistryClient(channels.to(control)), complete)
    assert not failures


async def test_the_advertised_addresses_are_told() -> None:
    async with serving("127.0.0.1:0", [registry_service(LEASE)]) as control, Channels() as channels:
        settings = node(control, advertise="edge.local:50064", public_address="example.org:1")
        async with serving("0.0.0.0:0", [member(settings, "front_end")]):
            cluster = await until(RegistryClient(channels.to(control)), complete)
            assert cluster.servers[0].services == {"front_end": "edge.local:50064"}
            assert cluster.servers[0].public_front_end_address == "example.org:1"


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0"])
async def test_an_address_that_nobody_can_reach_is_refused(listen: str) -> None:
    with pytest.raises(InvalidArgumentError, match="--advertise"):
        async with serving(listen, [member(node("127.0.0.1:1"))]):
            pass


async def test_an_unknown_role_is_refused_at_the_start() -> None:
    with pytest.raises(InvalidArgumentError, match="role 'fog' is unknown; set --role to one of device, edge, cloud"):
        async with serving("127.0.0.1:0", [member(node("127.0.0.1:1", role="fog"))]):
            pass
