"""Placements put on a cluster's servers and run there, past the Deployer, which knows only plans of its own."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.prediction.placements import Placement
from core.concurrency import run_all
from core.deployment import DeploymentVersion, Division
from core.plan import Plan, PlannedComponent
from core.problem import Link
from core.profiles import ModelProfile
from core.progress import no_progress
from core.tensors import Array
from model_divider.divide import divide
from partita.inference import infer
from partita.results import InferReport
from profilers.served_runs import usual
from services.clients.front_end import FrontEndClient
from services.clients.inferencer import InferencerClient
from services.clients.model_pool import ModelPoolClient
from services.clients.registry import RegistryClient
from services.clients.server_monitor import ServerMonitorClient
from services.runtime.channels import Channels

REQUEST_SECONDS = 60.0
"""Deadline of a request."""


@dataclass(frozen=True)
class Measured:
    """What a placement took, the usual of the requests (``profilers.served_runs.usual``).

    Attributes:
        seconds: from the first input's sending to the last output's arrival.
        components: id → seconds of its run on its server.
        noise: by how much every other request and those between usually differ, as a share of the smaller.
    """

    seconds: float
    components: Mapping[int, float]
    noise: float = 0.0


class Servers:
    """The servers of a running cluster, and its pool."""

    def __init__(self, channels: Channels, control: str, addresses: Mapping[str, Mapping[str, str]]) -> None:
        self._channels = channels
        self._pool = ModelPoolClient(channels.to(control))
        self._addresses = addresses
        self._versions = 0

    async def links(self) -> list[Link]:
        """Measure the links between all servers."""
        found: list[Link] = []
        for server, services in self._addresses.items():
            others = {name: other["server_monitor"] for name, other in self._addresses.items() if name != server}
            monitor = ServerMonitorClient(self._channels.to(services["server_monitor"]), server)
            found += [link.link for link in await monitor.measure_links(others, no_progress)]
        return found

    @asynccontextmanager
    async def deployed(
        self, division: Division, blobs: Mapping[str, bytes], device: str, micro_batch: int = 1
    ) -> AsyncIterator["Running"]:
        """Put a divided model in force, and take it away at the end."""
        for blob in {component.blob for component in division.components}:
            await self._pool.put_blob(blobs[blob])
        used = {component.server: self._addresses[component.server]["inferencer"] for component in division.components}
        front_end = self._addresses[device]["front_end"]
        self._versions += 1
        name = f"bench-{self._versions}"
        version = DeploymentVersion(name, 1, "bench", division, device, used, front_end, micro_batch=micro_batch)
        clients = {
            server: InferencerClient(self._channels.to(address), server)
            for server, address in version.addresses.items()
        }
        front_end_client = FrontEndClient(self._channels.to(front_end), device)
        await run_all(client.prepare(version, no_progress) for client in clients.values())
        try:
            await front_end_client.activate(version)
            yield Running(self._channels, version)
            await front_end_client.deactivate(name)
        finally:
            await run_all(client.release(name, 1) for client in clients.values())


class Running:
    """A deployed placement."""

    def __init__(self, channels: Channels, version: DeploymentVersion) -> None:
        self._channels = channels
        self._version = version

    async def request(self, inputs: Mapping[str, Array]) -> InferReport:
        """Answer one request; returns how long it took."""
        address = self._version.front_end_address
        channel = self._channels.to(address)
        _, report = await infer(channel, address, self._version.deployment, inputs, REQUEST_SECONDS)
        return report


@asynccontextmanager
async def connected(control: str) -> AsyncIterator[Servers]:
    """Reach the servers that are registered at the control services' address."""
    async with Channels() as channels:
        cluster = await RegistryClient(channels.to(control)).list_servers()
        yield Servers(channels, control, {server.name: server.services for server in cluster.servers})


async def divided(
    model: bytes, profile: ModelProfile, placement: Placement, components: tuple[PlannedComponent, ...]
) -> tuple[Division, dict[str, bytes]]:
    """Cut the model as placed."""
    plan = Plan(
        profile.graph.name,
        "feasible",
        placement=placement.servers,
        quantized=placement.quantized,
        components=components,
    )
    return await asyncio.to_thread(divide, model, profile.model, plan, profile.ranges, profile.settings.quantization)


def measured(reports: Sequence[InferReport]) -> Measured:
    """What several requests took."""
    seconds: dict[int, list[float]] = {}
    for report in reports:
        for run in report.runs:
            seconds.setdefault(run.component, []).append(run.compute_seconds)
    halves = [usual([report.seconds for report in reports[start::2] or reports]) for start in (0, 1)]
    return Measured(
        usual([report.seconds for report in reports]),
        {component: usual(taken) for component, taken in seconds.items()},
        max(halves) / min(halves) - 1,
    )
