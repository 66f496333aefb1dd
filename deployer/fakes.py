"""The other services in memory: what the Deployer's tests run against. They keep the contract, and count calls."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from core.cluster import SERVER_SERVICES, Cluster, ServerRecord
from core.deployment import Component, DeploymentVersion, Division
from core.errors import NotFoundError, PartitaError, ServerUnavailableError
from core.front import Front
from core.graph import Layer, ModelGraph, Tensor
from core.objective import SolverOptions
from core.plan import Plan
from core.problem import LayerTime, Problem
from core.profiles import (
    ExecutionProfile,
    MeasuredLink,
    ModelProfile,
    ModelProfilerSettings,
    Power,
    RunEnergy,
    ServerState,
)
from core.progress import Progress
from core.tensors import TensorSpec

INPUT = TensorSpec("x", "float32", (1, 4))
OUTPUT = TensorSpec("y", "float32", (1, 4))
GRAPH = ModelGraph(
    "m",
    (Layer("a"), Layer("b")),
    (Tensor("x", 16, None, ("a",)), Tensor("t", 16, "a", ("b",)), Tensor("y", 16, "b", (None,))),
)


@dataclass(frozen=True)
class FakeAdmittedModel:
    """Whatever was uploaded, with one input and one output."""

    data: bytes
    inputs: tuple[TensorSpec, ...] = (INPUT,)
    outputs: tuple[TensorSpec, ...] = (OUTPUT,)
    metadata: Mapping[str, str] = field(default_factory=lambda: {"task": "detect"})


def server(name: str, role: str = "edge", fingerprint: str = "", machine: str = "") -> ServerRecord:
    """A complete server; by default with a fingerprint and a machine of its own."""
    state = ServerState(name, fingerprint or name, name, machine or name, 2**30, 2**30, 0.0, Power(1.0, 1.0))
    services = {service: f"{name}:{service}" for service in SERVER_SERVICES}
    return ServerRecord(name, role, services, state, instances=dict.fromkeys(services, f"{name} 1"))


@dataclass
class FakePool:
    """Blobs and documents in dictionaries."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    documents: dict[tuple[str, str], str] = field(default_factory=dict)

    async def put_blob(self, data: bytes) -> str:
        """Store under the SHA-256."""
        name = hashlib.sha256(data).hexdigest()
        self.blobs[name] = data
        return name

    async def get_blob(self, sha256: str) -> bytes:
        """Fetch."""
        if sha256 not in self.blobs:
            raise NotFoundError(f"no blob {sha256}")
        return self.blobs[sha256]

    async def put_document(self, kind: str, key: str, document: str) -> None:
        """Store or replace."""
        self.documents[kind, key] = document

    async def get_document(self, kind: str, key: str) -> str | None:
        """Fetch, or ``None``."""
        return self.documents.get((kind, key))


@dataclass
class FakeCluster:
    """Registry, profilers, optimizer, divider and all per-server services at once.

    Attributes:
        calls: how often each method was called, by name.
        versions: by (server, deployment, version), what is loaded now, as it was last told.
        active: device → version in force.
        failing: server → the error its calls raise.
        busiest: the most execution profiles that ran at once.
        energies: server → what its meters say of a run.
        unlinked: pairs of servers, from the first of which the second cannot be reached.
    """

    servers: Sequence[ServerRecord]
    links: tuple[MeasuredLink, ...] = ()
    calls: Counter[str] = field(default_factory=Counter)
    versions: dict[tuple[str, str, int], DeploymentVersion] = field(default_factory=dict)
    active: dict[str, DeploymentVersion] = field(default_factory=dict)
    failing: dict[str, PartitaError] = field(default_factory=dict)
    busiest: int = 0
    energies: dict[str, RunEnergy] = field(default_factory=dict)
    unlinked: set[tuple[str, str]] = field(default_factory=set)
    _running: int = 0

    @property
    def prepared(self) -> set[tuple[str, str, int]]:
        """(server, deployment, version) that are loaded now."""
        return set(self.versions)

    async def list_servers(self) -> Cluster:
        """Servers and links."""
        return Cluster(tuple(self.servers), self.links)

    async def report_links(self, links: Sequence[MeasuredLink]) -> None:
        """Take links in; newer ones replace older ones."""
        self.links = tuple({(link.source, link.target): link for link in (*self.links, *links)}.values())

    async def profile_model(
        self, model_hash: str, name: str, samples_hash: str, settings: ModelProfilerSettings, progress: Progress
    ) -> ModelProfile:
        """A model of two layers."""
        self.calls["profile_model"] += 1
        progress(0.5, f"profiling {name} with samples {samples_hash or 'made up'}")
        return ModelProfile(model_hash, settings, replace(GRAPH, name=name), (INPUT,), (OUTPUT,), {})

    async def optimize(self, problem: Problem, options: SolverOptions, progress: Progress) -> Plan:
        """The first layer on the first allowed server, the second on the last."""
        self.calls["optimize"] += 1
        progress(0.5, f"solving with {options.solver}")
        if problem.limits.device_energy_joules == 0:
            return Plan(problem.model.name, "infeasible", reason="device energy")
        first, last = problem.allowed_servers("a"), problem.allowed_servers("b")
        return Plan(problem.model.name, "optimal", placement={"a": first[0], "b": last[-1]})

    async def optimize_front(
        self, problem: Problem, most_points: int, options: SolverOptions, progress: Progress
    ) -> Front:
        """A front without points."""
        self.calls["optimize_front"] += 1
        progress(0.5, f"finding {most_points} points with {options.solver}")
        return Front(problem.model.name, "truncated")

    async def divide(self, plan: Plan, profile: ModelProfile, progress: Progress) -> Division:
        """One component per layer."""
        self.calls["divide"] += 1
        progress(0.5, "cutting")
        components = tuple(
            Component(index + 1, place, "blob", (INPUT,), (OUTPUT,), {}, (layer,))
            for index, (layer, place) in enumerate(plan.placement.items())
        )
        return Division(profile.model, (INPUT,), (OUTPUT,), {"x": (1,)}, components, profile.model)

    def exec_profiler(self, server: str, address: str) -> "FakeNode":
        """One server's part."""
        return FakeNode(self, server, address)

    server_monitor = inferencer = front_end = exec_profiler


@dataclass
class FakeNode:
    """The four services of one server."""

    cluster: FakeCluster
    server: str
    address: str

    async def _called(self, method: str) -> None:
        self.cluster.calls[method] += 1
        await asyncio.sleep(0)
        if self.server in self.cluster.failing:
            raise self.cluster.failing[self.server]
        addresses = {item.name: item.services.values() for item in self.cluster.servers}
        if self.address not in addresses.get(self.server, ()):
            raise ServerUnavailableError(f"nothing of server {self.server!r} is at {self.address}")

    async def profile_execution(self, profile: ModelProfile, progress: Progress) -> ExecutionProfile:
        """One second a layer."""
        self.cluster._running += 1
        self.cluster.busiest = max(self.cluster.busiest, self.cluster._running)
        await self._called("profile_execution")
        progress(0.5, "timing")
        self.cluster._running -= 1
        times = {layer.name: LayerTime(1.0) for layer in profile.graph.layers}
        energy = self.cluster.energies.get(self.server)
        return ExecutionProfile(profile.model, self.server, times, 2.0, None, 2.0, energy=energy)

    async def measure_links(self, targets: Mapping[str, str], progress: Progress) -> Sequence[MeasuredLink]:
        """A megabyte a second to everybody who can be reached."""
        await self._called("measure_links")
        progress(1.0, "measured")
        reached = [target for target in targets if (self.server, target) not in self.cluster.unlinked]
        return [MeasuredLink(self.server, target, 1e6, 0.01) for target in reached]

    async def prepare(self, version: DeploymentVersion, progress: Progress) -> None:
        """Load."""
        await self._called("prepare")
        progress(1.0, "ready")
        self.cluster.versions[self.server, version.deployment, version.version] = version

    async def release(self, deployment: str, version: int) -> None:
        """Let go."""
        await self._called("release")
        self.cluster.versions.pop((self.server, deployment, version), None)

    async def activate(self, version: DeploymentVersion) -> None:
        """Put in force."""
        await self._called("activate")
        self.cluster.active[self.server] = version

    async def deactivate(self, deployment: str) -> None:
        """Take out of force."""
        await self._called("deactivate")
        if self.server in self.cluster.active and self.cluster.active[self.server].deployment == deployment:
            del self.cluster.active[self.server]

    async def drain(self, deployment: str, version: int) -> None:
        """No request is ever under way here."""
        await self._called(f"drain {deployment} {version}")
