"""The synchronous client: the asyncio one, driven on a background thread. Threads may share it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from core.cluster import Cluster
from core.front import Front
from core.plan import Plan
from core.problem import Problem
from core.profiles import ModelProfile
from core.progress import Progress, no_progress
from core.tensors import Array
from partita import aio
from partita.aio import INFER_SECONDS
from partita.background import shared_loop
from partita.options import PlanOptions, ProfileOptions
from partita.results import DeploymentInfo, InferReport, Model, PlanSummary, Profiles
from partita.uploads import Sample


def connect(address: str, *, front_end_address: str | None = None) -> "Client":
    """A client of the Deployer at ``address`` (``host:port``); it connects on first use.

    Args:
        front_end_address: where requests go instead of the address that each deployment names.
    """
    return Client(address, front_end_address)


class Client:
    """Loads, profiles, plans and deploys models; arguments and errors are those of ``partita.aio.Client``.

    Progress callbacks are called on the background thread and must not call the client.
    """

    def __init__(self, address: str, front_end_address: str | None = None) -> None:
        self._client = aio.Client(address, front_end_address)
        self._run = shared_loop().run

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; calls under way in other threads are cancelled."""
        self._run(self._client.close())

    @property
    def address(self) -> str:
        """Where the Deployer is."""
        return self._client.address

    def load(
        self,
        model: Path | str | bytes,
        name: str | None = None,
        input_shapes: Mapping[str, Sequence[int]] | None = None,
        samples: Sequence[Sample] = (),
        progress: Progress = no_progress,
    ) -> Model:
        """Bring an ONNX model to the cluster; see ``partita.aio.Client.load``."""
        return self._run(self._client.load(model, name, input_shapes, samples, progress))

    def profile(
        self,
        model: str | Model,
        *,
        refresh: bool = False,
        progress: Progress = no_progress,
        **options: Unpack[ProfileOptions],
    ) -> Profiles:
        """Measure what is not yet known of a model on every server; see ``partita.aio.Client.profile``."""
        return self._run(self._client.profile(model, refresh=refresh, progress=progress, **options))

    def plan(self, model: str | Model, *, progress: Progress = no_progress, **options: Unpack[PlanOptions]) -> Plan:
        """Find the best placement; see ``partita.aio.Client.plan`` and ``PlanOptions``."""
        return self._run(self._client.plan(model, progress=progress, **options))

    def plan_front(
        self, model: str | Model, points: int = 20, *, progress: Progress = no_progress, **options: Unpack[PlanOptions]
    ) -> Front:
        """Find the plans that weights of latency and energy choose from; see ``partita.aio.Client.plan_front``."""
        return self._run(self._client.plan_front(model, points, progress=progress, **options))

    def deploy(
        self, plan: Plan | str, name: str | None = None, progress: Progress = no_progress, *, micro_batch: int = 1
    ) -> "Deployment":
        """Put a plan, or the plan with the given id, in force; see ``partita.aio.Client.deploy``."""
        return Deployment(self._run(self._client.deploy(plan, name, progress, micro_batch=micro_batch)))

    def undeploy(self, name: str) -> None:
        """End a deployment once its requests have ended."""
        self._run(self._client.undeploy(name))

    def models(self) -> tuple[Model, ...]:
        """All models."""
        return self._run(self._client.models())

    def model(self, model: str) -> tuple[Model, ModelProfile | None]:
        """A model, by name or name@hash-prefix, and its profile where it was profiled."""
        return self._run(self._client.model(model))

    def plans(self, model: str | Model = "") -> tuple[PlanSummary, ...]:
        """All plans, or those of one model."""
        return self._run(self._client.plans(model))

    def plan_by_id(self, plan_id: str) -> Plan:
        """The plan with this id."""
        return self._run(self._client.plan_by_id(plan_id))

    def problem(self, plan_id: str) -> Problem:
        """The problem that a plan solves, to replay it without a cluster."""
        return self._run(self._client.problem(plan_id))

    def report(self, request_id: str = "") -> InferReport:
        """What became of one of the latest requests; see ``partita.aio.Client.report``."""
        return self._run(self._client.report(request_id))

    def deployments(self) -> tuple["Deployment", ...]:
        """All deployments, those that have ended included."""
        return tuple(map(Deployment, self._run(self._client.deployments())))

    def deployment(self, name: str) -> "Deployment":
        """The deployment with this name."""
        return Deployment(self._run(self._client.deployment(name)))

    def cluster(self) -> Cluster:
        """Servers and links as they are now."""
        return self._run(self._client.cluster())


class Deployment:
    """A plan in force, ready for requests; ``info`` says what it is."""

    def __init__(self, deployment: aio.Deployment) -> None:
        self._deployment = deployment
        self._run = shared_loop().run

    @property
    def info(self) -> DeploymentInfo:
        """What the Deployer said of it last."""
        return self._deployment.info

    @property
    def name(self) -> str:
        """Under which requests come in."""
        return self.info.name

    def infer(
        self,
        inputs: Mapping[str, Array],
        timeout_seconds: float = INFER_SECONDS,
        request_id: str = "",
        *,
        alone: bool = False,
    ) -> dict[str, Array]:
        """Run the model once: arrays by input name in, by output name out; see ``partita.aio.Deployment.infer``."""
        return self._run(self._deployment.infer(inputs, timeout_seconds, request_id, alone=alone))

    def infer_with_report(
        self,
        inputs: Mapping[str, Array],
        timeout_seconds: float = INFER_SECONDS,
        request_id: str = "",
        *,
        alone: bool = False,
    ) -> tuple[dict[str, Array], InferReport]:
        """Like ``infer``, and how long each component took."""
        return self._run(self._deployment.infer_with_report(inputs, timeout_seconds, request_id, alone=alone))

    def undeploy(self) -> None:
        """End the deployment once its requests have ended."""
        self._run(self._deployment.undeploy())

    def whole_model(self) -> bytes:
        """The quantised, undivided model, as an ONNX file's bytes, for comparison."""
        return self._run(self._deployment.whole_model())
