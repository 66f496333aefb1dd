"""The client: models, plans and deployments of one cluster."""

from collections.abc import Mapping

from core.cluster import Cluster
from core.errors import (
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PartitaError,
    ServerUnavailableError,
)
from core.plan import Plan
from core.progress import Progress, no_progress
from core.tensors import Array
from partita.aio.calls import CALL_SECONDS
from partita.aio.deployment import Deployment
from partita.aio.models import ModelCalls
from partita.aio.plans import PlanCalls
from partita.inference import fetch_report, infer
from partita.results import DeploymentInfo, InferReport, to_deployment_info
from partita.v1 import deployer_pb2
from services.convert import to_link, to_server
from services.runtime.calls import reading
from services.runtime.errors import typed_errors
from services.runtime.events import result_of
from services.runtime.streams import verify

DRAIN_SECONDS = 120.0
"""Timeout of ending a deployment, which waits for its requests."""


def connect(address: str, *, front_end_address: str | None = None) -> "Client":
    """A client of the Deployer at ``address`` (``host:port``); it connects on first use.

    Args:
        front_end_address: where requests go instead of the address that each deployment names.
    """
    return Client(address, front_end_address)


class Client(ModelCalls, PlanCalls):
    """Loads, profiles, plans and deploys models. Every call may raise ``ServerUnavailableError``."""

    def __init__(self, address: str, front_end_address: str | None = None) -> None:
        super().__init__(address)
        self._front_end_address = front_end_address

    async def deploy(
        self, plan: Plan | str, name: str | None = None, progress: Progress = no_progress, *, micro_batch: int = 1
    ) -> Deployment:
        """Put a plan, or the plan with the given id, in force.

        Args:
            name: under which requests come in; default: the model's name. A deployment that has this name
                answers until the new version is ready.
            micro_batch: for how many requests that wait a server may run a component at once, where that is right and
                quicker for each; needs inputs and outputs whose first dimension is 1.

        Raises:
            NotFoundError: no such plan.
            InvalidArgumentError: the model's requests cannot be joined.
            InfeasiblePlanError: the plan is infeasible.
        """
        plan_id = plan.id if isinstance(plan, Plan) else plan
        if not plan_id:
            raise InvalidArgumentError("the plan has no id: only plans made by Client.plan can be deployed")
        request = deployer_pb2.DeployRequest(plan_id=plan_id, name=name or "", micro_batch=max(0, micro_batch))
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

    async def deployments(self) -> tuple[Deployment, ...]:
        """All deployments, those that have ended included."""
        with typed_errors(self._peer):
            response = await self._stub.ListDeployments(deployer_pb2.ListDeploymentsRequest(), timeout=CALL_SECONDS)
        return tuple(Deployment(self, to_deployment_info(item)) for item in response.deployments)

    async def deployment(self, name: str) -> Deployment:
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
        self,
        info: DeploymentInfo,
        inputs: Mapping[str, Array],
        timeout_seconds: float,
        request_id: str = "",
        alone: bool = False,
    ) -> tuple[dict[str, Array], InferReport]:
        """Send a request to a deployment; see ``Deployment.infer_with_report``."""
        address = self._front_end_address or info.front_end_address
        return await infer(self._channels.to(address), address, info.name, inputs, timeout_seconds, request_id, alone)
