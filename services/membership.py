"""A service of a server takes part: registered, renewed in the background, and gone when the server stops."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from core.cluster import ROLES, Member
from core.errors import InvalidArgumentError, NotFoundError, PartitaError
from core.profiles import ServerState
from services.clients.registry import RegistryClient
from services.runtime.channels import Channels
from services.runtime.server import Binding
from services.runtime.settings import Settings

logger = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
"""Pause after a failed attempt to reach the Registry."""

FAREWELL_SECONDS = 2.0
"""How long deregistering may take; afterwards the lease runs out by itself."""


@asynccontextmanager
async def membership(
    settings: Settings,
    service: str,
    binding: Binding,
    channels: Channels,
    read_state: Callable[[], Awaitable[ServerState]] | None = None,
) -> AsyncIterator[None]:
    """Keep ``service`` of ``settings.server`` registered while inside, whatever happens to the Registry.

    Args:
        service: one of ``core.cluster.SERVER_SERVICES``.
        channels: through one of these the Registry is reached.
        read_state: reads the server's state to report with every renewal.

    Raises:
        InvalidArgumentError: others could not reach the address that this process is bound to, or its role is unknown.
    """
    if settings.role not in ROLES:
        raise InvalidArgumentError(f"role {settings.role!r} is unknown; set --role to one of {', '.join(ROLES)}")
    member = Member(
        server=settings.server,
        role=settings.role,
        service=service,
        address=advertised_address(settings, binding),
        public_address=settings.public_address if service == "front_end" else "",
        instance=uuid.uuid4().hex,
    )
    registry = RegistryClient(channels.to(settings.address_of("registry", binding.address)))
    task = asyncio.create_task(_take_part(registry, member, read_state, binding.stopping))
    try:
        yield
    finally:
        if not binding.stopping.is_set():
            task.cancel()
        await asyncio.wait([task])


def advertised_address(settings: Settings, binding: Binding) -> str:
    """Where others reach this process: as set, else where it is bound.

    Raises:
        InvalidArgumentError: it is bound to all interfaces and nothing is set.
    """
    if settings.advertise:
        return settings.advertise
    host = binding.address.rpartition(":")[0]
    if host in ("0.0.0.0", "[::]", "::", "*", ""):  # noqa: S104 - refused here, not bound
        raise InvalidArgumentError(
            f"listening on {binding.address} says nothing about how others reach this process; "
            "set --advertise to its host:port"
        )
    return binding.address


async def _take_part(
    registry: RegistryClient,
    member: Member,
    read_state: Callable[[], Awaitable[ServerState]] | None,
    stopping: asyncio.Event,
) -> None:
    renewing = asyncio.create_task(_stay_registered(registry, member, read_state))
    try:
        # Before calls under way have ended: new ones shall go elsewhere at once.
        await stopping.wait()
    finally:
        renewing.cancel()
        await asyncio.wait([renewing])
        with suppress(PartitaError, TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await registry.deregister(member.instance)


async def _stay_registered(
    registry: RegistryClient, member: Member, read_state: Callable[[], Awaitable[ServerState]] | None
) -> None:
    lease_seconds: float | None = None
    complaint: type[Exception] | None = None
    while True:
        try:
            if lease_seconds is None:
                lease_seconds = await registry.register(member)
                logger.info("%s registered as %s", member.service, member.address)
            state = await read_state() if read_state else None
            await registry.renew(member.instance, state)
            complaint = None
            await asyncio.sleep(lease_seconds / 3)
        except NotFoundError:
            lease_seconds = None
        except Exception as error:  # noqa: BLE001 - a server that gave up would be lost to the cluster
            # The lease may run out meanwhile, and a restarted Registry has forgotten it; renewing will tell.
            if type(error) is not complaint:
                logger.warning("%s is not registered, trying on: %s", member.service, error)
            complaint = type(error)
            await asyncio.sleep(RETRY_SECONDS)
