"""What the client gives back, as frozen dataclasses."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.deployment import ComponentRun, DeploymentVersion
from core.documents import loads
from core.profiles import ExecutionProfile, MeasuredLink, ModelProfile, ProfilingPhase, RunEnergy
from core.tensors import TensorSpec
from partita.v1 import deployer_pb2, front_end_pb2
from services.convert import to_component_run, to_link
from services.runtime.streams import to_spec


@dataclass(frozen=True)
class Model:
    """A model that was loaded.

    Attributes:
        name: as given when it was loaded.
        hash: SHA-256 of the normalised model.
        byte_count: its size.
        inputs: what it takes.
        outputs: what it gives.
        samples: how many calibration samples came with it.
        metadata: what the ONNX file says of itself (``metadata_props``).
    """

    name: str
    hash: str
    byte_count: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    samples: int
    metadata: Mapping[str, str]

    @property
    def reference(self) -> str:
        """Names exactly this content, wherever a model is asked for."""
        return f"{self.name}@{self.hash}"


@dataclass(frozen=True)
class Profiles:
    """What is known of a model: itself, its layers' times on each server, and the links.

    Attributes:
        model: layers, sizes and noise.
        execution: server → seconds per layer there.
        links: ordered pairs of servers.
        measured: how many of these the call had to measure.
        energies: server → energy of a run of the whole float model there, measured or declared.
        phases: what measuring all of this took, in this call or before.
        seconds: what the call measured for; 0 where all was known.
    """

    model: ModelProfile
    execution: Mapping[str, ExecutionProfile]
    links: tuple[MeasuredLink, ...]
    measured: int
    energies: Mapping[str, RunEnergy]
    phases: tuple[ProfilingPhase, ...]
    seconds: float


@dataclass(frozen=True)
class PlanSummary:
    """A plan in a list; see ``core.plan.Plan`` for the units' meaning."""

    id: str
    model: str
    status: str
    latency_seconds: float
    energy_joules: float
    noise: float
    gap: float


@dataclass(frozen=True)
class DeploymentInfo:
    """A deployment as the Deployer describes it.

    Attributes:
        name: under which requests come in.
        model: name of its model.
        version: the version in force.
        plan_id: the plan in force.
        state: ``active`` or ``undeployed``.
        inputs: what a request takes.
        outputs: what an answer gives.
        front_end_address: ``host:port`` that answers requests.
        detail: components, servers and routes.
        metadata: what the model's ONNX file says of itself (``metadata_props``).
    """

    name: str
    model: str
    version: int
    plan_id: str
    state: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    front_end_address: str
    detail: DeploymentVersion
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class InferReport:
    """What happened to one request inside the plan.

    Attributes:
        request_id: as in the servers' logs.
        version: the deployment's version that answered.
        seconds: from the first input's sending to the last output's arrival, at the FrontEnd.
        runs: one per component, on the clock of ``seconds``; empty where the request failed.
        deployment: its name.
        waited_seconds: until the request was sent on its way.
        error: why it failed; empty where it was answered.
    """

    request_id: str
    version: int
    seconds: float
    runs: tuple[ComponentRun, ...]
    deployment: str = ""
    waited_seconds: float = 0.0
    error: str = ""


def to_model(message: deployer_pb2.Model) -> Model:
    """Read a model."""
    return Model(
        name=message.name,
        hash=message.hash,
        byte_count=message.byte_count,
        inputs=tuple(map(to_spec, message.inputs)),
        outputs=tuple(map(to_spec, message.outputs)),
        samples=message.samples,
        metadata=dict(message.metadata),
    )


def to_profiles(message: deployer_pb2.ProfileSummary) -> Profiles:
    """Read all profiles of a model."""
    return Profiles(
        model=loads(message.model_profile, ModelProfile),
        execution={name: loads(text, ExecutionProfile) for name, text in message.execution_profiles.items()},
        links=tuple(map(to_link, message.links)),
        measured=message.measured,
        energies={name: loads(text, RunEnergy) for name, text in message.energies.items()},
        phases=tuple(ProfilingPhase(one.subject, one.phase, one.seconds, one.now) for one in message.phases),
        seconds=message.seconds,
    )


def to_plan_summary(message: deployer_pb2.PlanSummary) -> PlanSummary:
    """Read an entry of the list of plans."""
    return PlanSummary(
        id=message.id,
        model=message.model,
        status=message.status,
        latency_seconds=message.latency_seconds,
        energy_joules=message.energy_joules,
        noise=message.noise,
        gap=message.gap,
    )


def to_deployment_info(message: deployer_pb2.Deployment) -> DeploymentInfo:
    """Read a deployment."""
    return DeploymentInfo(
        name=message.name,
        model=message.model,
        version=message.version,
        plan_id=message.plan_id,
        state=message.state,
        inputs=tuple(map(to_spec, message.inputs)),
        outputs=tuple(map(to_spec, message.outputs)),
        front_end_address=message.front_end_address,
        detail=loads(message.detail, DeploymentVersion),
        metadata=dict(message.metadata),
    )


def to_infer_report(message: front_end_pb2.InferReport) -> InferReport:
    """Read what happened to a request."""
    return InferReport(
        request_id=message.request_id,
        version=message.version,
        seconds=message.seconds,
        runs=tuple(map(to_component_run, message.runs)),
        deployment=message.deployment,
        waited_seconds=message.waited_seconds,
        error=message.error,
    )
