"""What the Deployer needs of the other services; ``services/`` implements these with gRPC clients."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from core.cluster import Cluster
from core.deployment import DeploymentVersion, Division
from core.front import Front
from core.objective import SolverOptions
from core.plan import Plan
from core.problem import Problem
from core.profiles import ExecutionProfile, MeasuredLink, ModelProfile, ModelProfilerSettings
from core.progress import Progress
from core.tensors import TensorSpec


class AdmittedModel(Protocol):
    """A model that was checked and normalised."""

    @property
    def data(self) -> bytes:
        """The normalised ONNX file."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Its inputs."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Its outputs."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the file says of itself."""


Admission = Callable[[bytes, Mapping[str, tuple[int, ...]], Progress], Awaitable[AdmittedModel]]
"""Checks and normalises an ONNX file with the given input shapes; typed errors for what cannot be run."""


class ModelPool(Protocol):
    """Blobs by content hash and documents by kind and key."""

    async def put_blob(self, data: bytes) -> str:
        """Store and return the SHA-256."""

    async def get_blob(self, sha256: str) -> bytes:
        """Fetch and verify."""

    async def put_document(self, kind: str, key: str, document: str) -> None:
        """Store or replace."""

    async def get_document(self, kind: str, key: str) -> str | None:
        """Fetch, or ``None``."""


class Registry(Protocol):
    """Who takes part."""

    async def list_servers(self) -> Cluster:
        """Servers with live services, and links."""

    async def report_links(self, links: Sequence[MeasuredLink]) -> None:
        """Make measured links known."""


class ModelProfiler(Protocol):
    """Profiles models."""

    async def profile_model(
        self, model_hash: str, name: str, samples_hash: str, settings: ModelProfilerSettings, progress: Progress
    ) -> ModelProfile:
        """Measure a model that is in the pool."""


class Optimizer(Protocol):
    """Solves problems."""

    async def optimize(self, problem: Problem, options: SolverOptions, progress: Progress) -> Plan:
        """Find the best plan."""

    async def optimize_front(
        self, problem: Problem, most_points: int, options: SolverOptions, progress: Progress
    ) -> Front:
        """Find the front of summed latency against energy."""


class ModelDivider(Protocol):
    """Makes components."""

    async def divide(self, plan: Plan, profile: ModelProfile, progress: Progress) -> Division:
        """Quantise and cut; the components are in the pool afterwards."""


class ExecProfiler(Protocol):
    """Times layers on its server."""

    async def profile_execution(self, profile: ModelProfile, progress: Progress) -> ExecutionProfile:
        """Measure a model that is in the pool."""


class ServerMonitor(Protocol):
    """Measures links from its server."""

    async def measure_links(self, targets: Mapping[str, str], progress: Progress) -> Sequence[MeasuredLink]:
        """Measure the links to ``targets``, server → address of its monitor."""


class Inferencer(Protocol):
    """Holds components on its server."""

    async def prepare(self, version: DeploymentVersion, progress: Progress) -> None:
        """Fetch, load and warm."""

    async def release(self, deployment: str, version: int) -> None:
        """Let go."""


class FrontEnd(Protocol):
    """Answers requests on its device."""

    async def activate(self, version: DeploymentVersion) -> None:
        """Make a version the current one."""

    async def deactivate(self, deployment: str) -> None:
        """Take no more requests."""

    async def drain(self, deployment: str, version: int) -> None:
        """Wait for a version's requests to end."""


class Nodes(Protocol):
    """Reaches the per-server services by address; ``server`` names them in errors."""

    def exec_profiler(self, server: str, address: str) -> ExecProfiler:
        """The server's ExecProfiler."""

    def server_monitor(self, server: str, address: str) -> ServerMonitor:
        """The server's ServerMonitor."""

    def inferencer(self, server: str, address: str) -> Inferencer:
        """The server's Inferencer."""

    def front_end(self, server: str, address: str) -> FrontEnd:
        """The server's FrontEnd."""
