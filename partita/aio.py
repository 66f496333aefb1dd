"""The asyncio client. It belongs to the event loop it is first used on."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from core.cluster import Cluster
from core.documents import loads
from core.errors import (
    InternalError,
    InvalidArgumentError,
    InvalidTensorError,
    NotFoundError,
    PartitaError,
    ServerUnavailableError,
)
from core.plan import Plan
from core.problem import Problem
from core.profiles import ModelProfile
from core.progress import Progress, no_progress
from core.tensors import Array, check_inputs
from partita.inference import fetch_report, infer
from partita.options import PlanOptions, ProfileOptions, model_reference, plan_request, profiler_settings
from partita.results import (
    DeploymentInfo,
    InferReport,
    Model,
    PlanSummary,
    Profiles,
    to_deployment_info,
    to_model,
    to_plan_summary,
    to_profiles,
)
from partita.uploads import Sample, checked_arrays, load_requests, model_bytes
from partita.v1 import deployer_pb2, deployer_pb2_grpc
from services.convert import to_link, to_server
from services.runtime.calls import reading
from services.runtime.channels import Channels
from services.runtime.errors import typed_errors
from services.runtime.events import result_of
from services.runtime.streams import verify

CALL_SECONDS = 30.0
"""Timeout of short calls."""

DRAIN_SECONDS = 120.0
"""Timeout of ending a deployment, which waits for its requests."""

INFER_SECONDS = 60.0
"""Default timeout of a request."""


def connect(address: str, *, front_end_address: str | None = None) -> "Client":
    """A client of the Deployer at ``address`` (``host:port``); it connects on first use.

    Args:
        front_end_address: where requests go instead of the address that each deployment names.
    """
    return Client(address, front_end_address)


class Client:
    """Loads, profiles, plans and deploys models. Every call may raise ``ServerUnavailableError``."""

    def __init__(self, address: str, front_end_address: str | None = None) -> None:
        if not address.rpartition(":")[0]:
            raise InvalidArgumentError(f"address {address!r} is not host:port, for example 127.0.0.1:50051")
        self.address = address
        self._front_end_address = front_end_address
        self._channels = Channels()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; calls under way are cancelled."""
        await self._channels.__aexit__(None, None, None)

    @property
    def _stub(self) -> deployer_pb2_grpc.DeployerStub:
        return deployer_pb2_grpc.DeployerStub(self._channels.to(self.address))

    @property
    def _peer(self) -> str:
        return f"the Deployer at {self.address}"

    async def load(
        self,
        model: Path | str | bytes,
        name: str | None = None,
        input_shapes: Mapping[str, Sequence[int]] | None = None,
        samples: Sequence[Sample] = (),
        progress: Progress = no_progress,
    ) -> Model:
        """Bring an ONNX model to the cluster.

        Args:
            model: path of an ONNX file, or its bytes.
            name: default: the file's name without its suffix.
            input_shapes: fixed shapes of inputs that are dynamic in the file.
            samples: inputs to calibrate int8 layers and to measure noise with; without them, random ones.

        Raises:
            OSError: the file cannot be read.
            InvalidModelError: the file is not a model that can be run.
            InvalidTensorError: a sample does not fit the model.
        """
        data, used_name = await asyncio.to_thread(model_bytes, model, name)
        requests = load_requests(data, used_name, input_shapes or {}, samples)
        with typed_errors(self._peer):
            response = await result_of(self._stub.Load(requests), progress)
        return to_model(response.model)

    async def profile(
        self,
        model: str | Model,
        *,
        refresh: bool = False,
        progress: Progress = no_progress,
        **options: Unpack[ProfileOptions],
    ) -> Profiles:
        """Measure what is not yet known of a model on every server.

        Args:
            refresh: measure all of it anew.

        Raises:
            NotFoundError: no such model.
        """
        request = deployer_pb2.ProfileRequest(
            model=model_reference(model), settings=profiler_settings(options), refresh=refresh
        )
        with typed_errors(self._peer):
            response = await result_of(self._stub.Profile(request), progress)
        return to_profiles(response.summary)

    async def plan(
        self, model: str | Model, *, progress: Progress = no_progress, **options: Unpack[PlanOptions]
    ) -> Plan:
        """Find the best placement; nothing that runs changes.

        Returns:
            The plan with its id. Its status is ``infeasible`` where no placement meets the limits.

        Raises:
            NotFoundError: no such model or server.
            InvalidArgumentError: an option does not fit the model or the servers.
        """
        request = plan_request(model, **options)
        with typed_errors(self._peer):
            response = await result_of(self._stub.Plan(request), progress)
        return loads(response.plan, Plan)

    async def deploy(self, plan: Plan | str, name: str | None = None, progress: Progress = no_progress) -> "Deployment":
        """Put a plan, or the plan with the given id, in force.

        Args:
            name: under which requests come in; default: the model's name. A deployment that has this name
                answers until the new version is ready.

        Raises:
            NotFoundError: no such plan.
            InfeasiblePlanError: the plan is infeasible.
        """
        plan_id = plan.id if isinstance(plan, Plan) else plan
        if not plan_id:
            raise InvalidArgumentError("the plan has no id: only plans made by Client.plan can be deployed")
        request = deployer_pb2.DeployRequest(plan_id=plan_id, name=name or "")
        with typed_errors(self._peer):
            response = await result_of(self._stub.Deploy(request), progress)
        return Deployment(self, to_deployment_info(response.deployment))

    async def undeploy(self, name: str) -> None:
        """End a deployment once its requests have ended.

        Raises:
            NotFoundError: no such active deployment.
        """
        with typed_errors(self._peer):
            await self._stub.Undeploy(deployer_pb2.UndeployRequest(name=name), timeout=DRAIN_SECONDS)

    async def models(self) -> tuple[Model, ...]:
        """All models."""
        with typed_errors(self._peer):
            response = await self._stub.ListModels(deployer_pb2.ListModelsRequest(), timeout=CALL_SECONDS)
        return tuple(map(to_model, response.models))

    async def model(self, model: str) -> tuple[Model, ModelProfile | None]:
        """A model, by name or name@hash-prefix, and its profile where it was profiled.

        Raises:
            NotFoundError: no such model.
        """
        with typed_errors(self._peer):
            response = await self._stub.GetModel(deployer_pb2.GetModelRequest(model=model), timeout=CALL_SECONDS)
        profile = loads(response.model_profile, ModelProfile) if response.model_profile else None
        return to_model(response.model), profile

    async def plans(self, model: str | Model = "") -> tuple[PlanSummary, ...]:
        """All plans, or those of one model."""
        request = deployer_pb2.ListPlansRequest(model=model_reference(model))
        with typed_errors(self._peer):
            response = await self._stub.ListPlans(request, timeout=CALL_SECONDS)
        return tuple(map(to_plan_summary, response.plans))

    async def plan_by_id(self, plan_id: str) -> Plan:
        """The plan with this id.

        Raises:
            NotFoundError: no such plan.
        """
        return loads((await self._get_plan(plan_id)).plan, Plan)

    async def problem(self, plan_id: str) -> Problem:
        """The problem that a plan solves, to replay it without a cluster.

        Raises:
            NotFoundError: no such plan.
        """
        return loads((await self._get_plan(plan_id)).problem, Problem)

    async def _get_plan(self, plan_id: str) -> deployer_pb2.GetPlanResponse:
        with typed_errors(self._peer):
            response: deployer_pb2.GetPlanResponse = await self._stub.GetPlan(
                deployer_pb2.GetPlanRequest(plan_id=plan_id), timeout=CALL_SECONDS
            )
        return response

    async def deployments(self) -> tuple["Deployment", ...]:
        """All deployments, those that have ended included."""
        with typed_errors(self._peer):
            response = await self._stub.ListDeployments(deployer_pb2.ListDeploymentsRequest(), timeout=CALL_SECONDS)
        return tuple(Deployment(self, to_deployment_info(item)) for item in response.deployments)

    async def deployment(self, name: str) -> "Deployment":
        """The deployment with this name.

        Raises:
            NotFoundError: no such deployment.
        """
        return Deployment(self, await self.deployment_info(name))

    async def deployment_info(self, name: str) -> DeploymentInfo:
        """The deployment with this name, as it is now.

        Raises:
            NotFoundError: no such deployment.
        """
        request = deployer_pb2.GetDeploymentRequest(name=name)
        with typed_errors(self._peer):
            response = await self._stub.GetDeployment(request, timeout=CALL_SECONDS)
        return to_deployment_info(response.deployment)

    async def cluster(self) -> Cluster:
        """Servers and links as they are now."""
        with typed_errors(self._peer):
            response = await self._stub.DescribeCluster(deployer_pb2.DescribeClusterRequest(), timeout=CALL_SECONDS)
        return Cluster(tuple(map(to_server, response.servers)), tuple(map(to_link, response.links)))

    async def whole_model(self, name: str) -> bytes:
        """The quantised, undivided model of a deployment, as an ONNX file's bytes.

        Raises:
            NotFoundError: no such deployment.
            CorruptDataError: the bytes that came are not those that were stored.
        """
        info = await self.deployment_info(name)
        data = bytearray()
        request = deployer_pb2.GetWholeModelRequest(name=name)
        with typed_errors(self._peer), reading(self._stub.GetWholeModel(request)) as call:
            async for response in call:
                if response.chunk.offset != len(data):
                    raise InternalError(f"{self._peer} sent a chunk of model {name!r} out of order; see its log")
                data += response.chunk.data
        whole = bytes(data)
        verify(whole, info.detail.division.whole_blob)
        return whole

    async def report(self, request_id: str = "") -> InferReport:
        """What became of one of the latest requests to any deployment.

        Args:
            request_id: as an answer's report gives it, or its beginning; empty: the latest request.

        Raises:
            NotFoundError: no FrontEnd remembers it.
        """
        addresses = dict.fromkeys(
            self._front_end_address or deployment.info.front_end_address for deployment in await self.deployments()
        )
        for address in addresses:
            try:
                return await fetch_report(self._channels.to(address), address, request_id)
            except (NotFoundError, ServerUnavailableError) as error:
                missing: PartitaError = error
        raise missing if addresses else NotFoundError("nothing was ever deployed; see partita deploy")

    async def infer(
        self, info: DeploymentInfo, inputs: Mapping[str, Array], timeout_seconds: float, request_id: str = ""
    ) -> tuple[dict[str, Array], InferReport]:
        """Send a request to a deployment; see ``Deployment.infer_with_report``."""
        address = self._front_end_address or info.front_end_address
        return await infer(self._channels.to(address), address, info.name, inputs, timeout_seconds, request_id)


class Deployment:
    """A plan in force, ready for requests; ``info`` says what it is."""

    def __init__(self, client: Client, info: DeploymentInfo) -> None:
        self._client = client
        self.info = info

    @property
    def name(self) -> str:
        """Under which requests come in."""
        return self.info.name

    async def infer(
        self, inputs: Mapping[str, Array], timeout_seconds: float = INFER_SECONDS, request_id: str = ""
    ) -> dict[str, Array]:
        """Run the model once.

        Args:
            inputs: input name → array of exactly the model's dtype and shape (``info.inputs``).
            request_id: names the request, if it may be sent again: while it is under way, a second call with its id
                gets the first one's answer, whatever its inputs. After its end the id may be used anew.

        Returns:
            Output name → array.

        Raises:
            InvalidTensorError: an input's name, dtype or shape is not what the model takes.
            DeadlineExceededError: no answer within ``timeout_seconds``.
            BusyError: too many requests wait; its ``retry_after_seconds`` says when to try again.
            ServerUnavailableError: a server of the plan is gone; the message names it.
            PartitaError: why the request failed.
        """
        return (await self.infer_with_report(inputs, timeout_seconds, request_id))[0]

    async def infer_with_report(
        self, inputs: Mapping[str, Array], timeout_seconds: float = INFER_SECONDS, request_id: str = ""
    ) -> tuple[dict[str, Array], InferReport]:
        """Like ``infer``, and how long each component took."""
        arrays = checked_arrays(inputs)
        try:
            check_inputs(self.info.inputs, arrays)
        except InvalidTensorError:
            # The name may stand for another model by now; what the Deployer says last counts.
            self.info = await self._client.deployment_info(self.name)
            check_inputs(self.info.inputs, arrays)
        end = time.monotonic() + timeout_seconds
        try:
            return await self._client.infer(self.info, arrays, timeout_seconds, request_id)
        except ServerUnavailableError:
            if not await self._has_moved(end):
                raise
        return await self._client.infer(self.info, arrays, end - time.monotonic(), request_id)

    async def _has_moved(self, end: float) -> bool:
        """Ask the Deployer, until ``end``, whether the FrontEnd was started anew at another address."""
        before = self.info.front_end_address
        try:
            async with asyncio.timeout(end - time.monotonic()):
                self.info = await self._client.deployment_info(self.name)
        except (PartitaError, TimeoutError):
            return False
        return self.info.front_end_address != before and time.monotonic() < end

    async def undeploy(self) -> None:
        """End the deployment once its requests have ended."""
        await self._client.undeploy(self.name)

    async def whole_model(self) -> bytes:
        """The quantised, undivided model, as an ONNX file's bytes, for comparison."""
        return await self._client.whole_model(self.name)
