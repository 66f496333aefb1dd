"""The Deployer over gRPC."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

from core.document_store import DocumentStore
from core.documents import dumps
from core.progress import Progress
from deployer.deployer import Deployer
from deployer.profiling import Profiling
from deployer.records import ModelRecord, Records
from model_pool.admission import AdmittedModel, admit
from partita.v1 import deployer_pb2, deployer_pb2_grpc
from services.clients.model_divider import ModelDividerClient
from services.clients.model_pool import ModelPoolClient
from services.clients.model_profiler import ModelProfilerClient
from services.clients.nodes import NodeClients
from services.clients.optimizer import OptimizerClient
from services.clients.registry import RegistryClient
from services.convert import from_link, from_server, to_profiler_settings
from services.deployer_convert import (
    from_deployment,
    from_model,
    from_plan_summary,
    from_profiles,
    to_front_wishes,
    to_wishes,
)
from services.runtime.channels import Channels
from services.runtime.events import responses
from services.runtime.handlers import Context
from services.runtime.server import Binding, Service
from services.runtime.settings import Settings
from services.runtime.streams import chunks
from services.runtime.worker import run_in_process
from services.uploads import receive_upload


class DeployerServicer(deployer_pb2_grpc.DeployerServicer):
    """Converts and calls."""

    def __init__(self, deployer: Deployer, settings: Settings) -> None:
        self._deployer = deployer
        self._settings = settings

    def Load(
        self, request_iterator: AsyncIterator[deployer_pb2.LoadRequest], context: Context
    ) -> AsyncGenerator[deployer_pb2.LoadResponse]:
        async def work(progress: Progress) -> ModelRecord:
            upload = await receive_upload(
                request_iterator, self._settings.model_limit_bytes, self._settings.tensor_limit_bytes
            )
            return await self._deployer.load(upload.name, upload.data, upload.input_shapes, upload.samples, progress)

        return responses(
            work,
            lambda step: deployer_pb2.LoadResponse(progress=step),
            lambda model: deployer_pb2.LoadResponse(model=from_model(model)),
        )

    def Profile(
        self, request: deployer_pb2.ProfileRequest, context: Context
    ) -> AsyncGenerator[deployer_pb2.ProfileResponse]:
        settings = to_profiler_settings(request.settings) if request.HasField("settings") else None
        return responses(
            lambda progress: self._deployer.profile(request.model, settings, progress, request.refresh),
            lambda step: deployer_pb2.ProfileResponse(progress=step),
            lambda profiles: deployer_pb2.ProfileResponse(summary=from_profiles(profiles)),
        )

    def Plan(self, request: deployer_pb2.PlanRequest, context: Context) -> AsyncGenerator[deployer_pb2.PlanResponse]:
        wishes = to_wishes(request)
        return responses(
            lambda progress: self._deployer.plan(request.model, wishes, progress),
            lambda step: deployer_pb2.PlanResponse(progress=step),
            lambda plan: deployer_pb2.PlanResponse(plan=dumps(plan)),
        )

    def PlanFront(
        self, request: deployer_pb2.PlanFrontRequest, context: Context
    ) -> AsyncGenerator[deployer_pb2.PlanFrontResponse]:
        wishes = to_front_wishes(request.plan)
        return responses(
            lambda progress: self._deployer.plan_front(request.plan.model, wishes, request.most_points, progress),
            lambda step: deployer_pb2.PlanFrontResponse(progress=step),
            lambda front: deployer_pb2.PlanFrontResponse(front=dumps(front)),
        )

    def Deploy(
        self, request: deployer_pb2.DeployRequest, context: Context
    ) -> AsyncGenerator[deployer_pb2.DeployResponse]:
        return responses(
            lambda progress: self._deployer.deploy(request.plan_id, request.name, progress, request.micro_batch or 1),
            lambda step: deployer_pb2.DeployResponse(progress=step),
            lambda record: deployer_pb2.DeployResponse(deployment=from_deployment(record)),
        )

    async def Undeploy(self, request: deployer_pb2.UndeployRequest, context: Context) -> deployer_pb2.UndeployResponse:
        await self._deployer.undeploy(request.name)
        return deployer_pb2.UndeployResponse()

    async def ListModels(
        self, request: deployer_pb2.ListModelsRequest, context: Context
    ) -> deployer_pb2.ListModelsResponse:
        return deployer_pb2.ListModelsResponse(models=map(from_model, self._deployer.records.models()))

    async def GetModel(self, request: deployer_pb2.GetModelRequest, context: Context) -> deployer_pb2.GetModelResponse:
        record = self._deployer.records.model(request.model)
        profile = await self._deployer.model_profile(record)
        return deployer_pb2.GetModelResponse(
            model=from_model(record), model_profile=dumps(profile) if profile is not None else ""
        )

    async def ListPlans(
        self, request: deployer_pb2.ListPlansRequest, context: Context
    ) -> deployer_pb2.ListPlansResponse:
        return deployer_pb2.ListPlansResponse(plans=map(from_plan_summary, self._deployer.records.plans(request.model)))

    async def GetPlan(self, request: deployer_pb2.GetPlanRequest, context: Context) -> deployer_pb2.GetPlanResponse:
        record = self._deployer.records.plan(request.plan_id)
        return deployer_pb2.GetPlanResponse(plan=dumps(record.plan), problem=dumps(record.problem))

    async def ListDeployments(
        self, request: deployer_pb2.ListDeploymentsRequest, context: Context
    ) -> deployer_pb2.ListDeploymentsResponse:
        return deployer_pb2.ListDeploymentsResponse(
            deployments=map(from_deployment, self._deployer.records.deployments())
        )

    async def GetDeployment(
        self, request: deployer_pb2.GetDeploymentRequest, context: Context
    ) -> deployer_pb2.GetDeploymentResponse:
        record = self._deployer.records.deployment(request.name)
        return deployer_pb2.GetDeploymentResponse(deployment=from_deployment(record))

    async def DescribeCluster(
        self, request: deployer_pb2.DescribeClusterRequest, context: Context
    ) -> deployer_pb2.DescribeClusterResponse:
        cluster = await self._deployer.cluster()
        return deployer_pb2.DescribeClusterResponse(
            servers=map(from_server, cluster.servers), links=map(from_link, cluster.links)
        )

    async def GetWholeModel(
        self, request: deployer_pb2.GetWholeModelRequest, context: Context
    ) -> AsyncGenerator[deployer_pb2.GetWholeModelResponse]:
        for chunk in chunks(await self._deployer.whole_model(request.name)):
            yield deployer_pb2.GetWholeModelResponse(chunk=chunk)


def deployer_service(settings: Settings) -> Service:
    """The Deployer."""

    async def admission(data: bytes, shapes: Mapping[str, tuple[int, ...]], progress: Progress) -> AdmittedModel:
        return await run_in_process(admit, data, shapes, settings.model_limit_bytes, progress=progress)

    @asynccontextmanager
    async def service(binding: Binding) -> AsyncIterator[None]:
        async with Channels() as channels:

            def to(name: str):  # type: ignore[no-untyped-def]
                return channels.to(settings.address_of(name, binding.address))

            pool, registry, nodes = (
                ModelPoolClient(to("model_pool")),
                RegistryClient(to("registry")),
                NodeClients(channels),
            )
            settings.data_directory.mkdir(parents=True, exist_ok=True)
            store = DocumentStore(settings.data_directory / "deployer.sqlite")
            deployer = Deployer(
                Records(store),
                admission,
                pool,
                registry,
                Profiling(pool, registry, ModelProfilerClient(to("model_profiler")), nodes),
                OptimizerClient(to("optimizer")),
                ModelDividerClient(to("model_divider")),
                nodes,
            )
            deployer_pb2_grpc.add_DeployerServicer_to_server(DeployerServicer(deployer, settings), binding.server)
            binding.names.append(deployer_pb2.DESCRIPTOR.services_by_name["Deployer"].full_name)
            upkeep = asyncio.create_task(deployer.upkeep.run())
            yield
            upkeep.cancel()
            await asyncio.wait([upkeep])
            await deployer.close()
            store.close()

    return service
