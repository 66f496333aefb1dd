"""The orchestrator: load → profile → plan → deploy."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from core.cluster import Cluster, ServerRecord
from core.concurrency import run_all
from core.deployment import DeploymentVersion, Division
from core.errors import (
    FailedPreconditionError,
    InfeasiblePlanError,
    InvalidArgumentError,
    NotFoundError,
    ServerUnavailableError,
)
from core.front import Front
from core.plan import Plan
from core.problem import Problem
from core.profiles import ModelProfile, ModelProfilerSettings
from core.progress import Progress, no_progress, part
from core.samples import Sample, pack_samples
from core.tensors import check_inputs
from deployer.micro_batch import check_micro_batch
from deployer.planning import PlanWishes, build_problem, choose_servers
from deployer.ports import Admission, ModelDivider, ModelPool, Nodes, Optimizer, Registry
from deployer.profiling import Profiles, Profiling
from deployer.reach import within_reach
from deployer.records import DeploymentRecord, ModelRecord, PlanRecord, Records
from deployer.replacement import Replacement
from deployer.retirement import Retirement
from deployer.upkeep import Upkeep


class Deployer:
    """Models, plans and deployments, and the way from one to the next."""

    def __init__(
        self,
        records: Records,
        admission: Admission,
        pool: ModelPool,
        registry: Registry,
        profiling: Profiling,
        optimizer: Optimizer,
        divider: ModelDivider,
        nodes: Nodes,
    ) -> None:
        self.records = records
        self._admission = admission
        self._pool = pool
        self._registry = registry
        self._profiling = profiling
        self._optimizer = optimizer
        self._divider = divider
        self._nodes = nodes
        self._locks: dict[str, asyncio.Lock] = {}
        self._retirement = Retirement(records, nodes, self._lock)
        self.replacement = Replacement(records, optimizer, self._move)
        self.upkeep = Upkeep(records, registry, nodes, self._retirement, self.replacement)

    async def load(
        self,
        name: str,
        data: bytes,
        input_shapes: Mapping[str, tuple[int, ...]],
        samples: Sequence[Sample],
        progress: Progress,
    ) -> ModelRecord:
        """Check, normalise and keep a model; nothing is kept where a check fails.

        Raises:
            InvalidArgumentError: the name is unusable.
            InvalidModelError: the model cannot be run.
            InvalidTensorError: a sample does not fit the model.
        """
        if not name or len(name) > 200 or not name.isprintable() or any(mark in name for mark in "@/\\ "):
            raise InvalidArgumentError(f"model name {name!r}: give a printable one without spaces, '@', '/' or '\\'")
        admitted = await self._admission(data, input_shapes, part(progress, 0.0, 0.9))
        for sample in samples:
            check_inputs(admitted.inputs, sample)
        progress(0.9, "storing")
        record = ModelRecord(
            name=name,
            hash=await self._pool.put_blob(admitted.data),
            byte_count=len(admitted.data),
            inputs=admitted.inputs,
            outputs=admitted.outputs,
            samples_hash=await self._pool.put_blob(pack_samples(samples)) if samples else "",
            sample_count=len(samples),
            metadata=admitted.metadata,
        )
        self.records.keep_model(record)
        progress(1.0, "loaded")
        return record

    async def model_profile(self, model: ModelRecord) -> ModelProfile | None:
        """The profile made last of a model, where there is one."""
        return await self._profiling.stored_model_profile(model, model.settings) if model.settings else None

    async def profile(
        self, model: str, settings: ModelProfilerSettings | None, progress: Progress, refresh: bool = False
    ) -> Profiles:
        """Measure what is not known of a model on all complete servers, or all of it anew to ``refresh`` it.

        Raises:
            NotFoundError: no such model.
            FailedPreconditionError: no complete set of servers.
        """
        servers = choose_servers(await self._registry.list_servers(), "", ())
        return await self._profiles(self.records.model(model), settings, servers, progress, refresh)

    async def _profiles(
        self,
        model: ModelRecord,
        settings: ModelProfilerSettings | None,
        servers: Sequence[ServerRecord],
        progress: Progress,
        refresh: bool = False,
    ) -> Profiles:
        used = settings or model.settings or ModelProfilerSettings()
        profiles = await self._profiling.profiles(model, used, servers, progress, refresh)
        if model.settings != used:
            self.records.keep_model(replace(model, settings=used))
        return profiles

    async def plan(self, model: str, wishes: PlanWishes, progress: Progress) -> Plan:
        """Find the best placement and keep it; profiles that are missing are measured first.

        Returns:
            The plan with its id; ``infeasible`` plans are kept as well, with their reason.

        Raises:
            NotFoundError: no such model or server.
            InvalidArgumentError: a wish does not fit model or servers.
        """
        record = self.records.model(model)
        problem, settings, notes = await self._problem(record, wishes, part(progress, 0.0, 0.5))
        solved = await self._optimizer.optimize(problem, wishes.options, part(progress, 0.5, 0.5))
        plan = replace(solved, id=uuid.uuid4().hex[:12], notes=(*solved.notes, *notes))
        self.records.keep_plan(PlanRecord(plan, problem, record, settings))
        return plan

    async def plan_front(self, model: str, wishes: PlanWishes, most_points: int, progress: Progress) -> Front:
        """Find the front of summed latency against energy under the same limits as for a plan; nothing is kept.

        Raises:
            NotFoundError: no such model or server.
            InvalidArgumentError: a wish does not fit model or servers, or fewer than 2 points are asked for.
        """
        problem, _, _ = await self._problem(self.records.model(model), wishes, part(progress, 0.0, 0.5))
        return await self._optimizer.optimize_front(problem, most_points, wishes.options, part(progress, 0.5, 0.5))

    async def _problem(
        self, model: ModelRecord, wishes: PlanWishes, progress: Progress
    ) -> tuple[Problem, ModelProfilerSettings, tuple[str, ...]]:
        """What is to be solved, the settings of the profile it is made of, and what is to be said of it.

        What is missing is measured.
        """
        servers = choose_servers(await self._registry.list_servers(), wishes.device, wishes.servers)
        profiles, notes = within_reach(await self._profiles(model, wishes.settings, servers, progress))
        return build_problem(profiles, wishes), profiles.model.settings, notes

    async def deploy(self, plan_id: str, name: str, progress: Progress, micro_batch: int = 1) -> DeploymentRecord:
        """Make a plan ready everywhere, then the current version; until then the old one answers.

        Args:
            name: of the deployment; empty takes the model's.
            micro_batch: for how many requests that wait a server may run a component at once.

        Raises:
            NotFoundError: no such plan.
            InvalidArgumentError: the model has no dimension along which requests could be joined, or too many are.
            InfeasiblePlanError: the plan is infeasible.
            ServerUnavailableError: a server of the plan is gone.
        """
        record = self.records.plan(plan_id)
        if record.plan.status == "infeasible":
            raise InfeasiblePlanError(f"plan {plan_id} is infeasible: {record.plan.reason}")
        check_micro_batch(record.model, micro_batch)
        return await self._put_in_force(record, name or record.model.name, progress, micro_batch)

    async def _move(self, replaced: DeploymentRecord, record: PlanRecord, lost: Collection[str]) -> None:
        await self._put_in_force(record, replaced.name, no_progress, replaced.version.micro_batch, replaced, lost)

    async def _put_in_force(
        self,
        record: PlanRecord,
        deployment: str,
        progress: Progress,
        micro_batch: int,
        replaced: DeploymentRecord | None = None,
        lost: Collection[str] = (),
    ) -> DeploymentRecord:
        plan_id = record.plan.id or ""
        profile = await self._profiling.stored_model_profile(record.model, record.settings)
        if profile is None:
            raise FailedPreconditionError(f"the profile behind plan {plan_id} is gone from the pool; plan again")
        async with self._changing(deployment):
            in_force = self.records.in_force(deployment)
            if replaced and (in_force is None or in_force.version != replaced.version.version):
                raise FailedPreconditionError(f"{deployment!r} was deployed or undeployed meanwhile, which stands")
            cluster = await self._registry.list_servers()
            device = record.problem.device
            servers = _living(cluster, {*record.plan.placement.values(), device}, device)
            division = await self._divider.divide(record.plan, profile, part(progress, 0.0, 0.5))
            version = DeploymentVersion(
                deployment=deployment,
                version=self.records.next_version(deployment),
                plan=plan_id,
                division=division,
                device=device,
                addresses=_inferencers(division, servers),
                front_end_address=servers[device].services["front_end"],
                parallel=record.plan.parallel,
                lost=tuple(lost),
                micro_batch=micro_batch,
            )
            new = DeploymentRecord(
                name=deployment,
                model=record.model.name,
                metadata=record.model.metadata,
                state="active",
                version=version,
                public_front_end_address=servers[device].public_front_end_address or version.front_end_address,
                deployed_plan=(replaced.deployed_plan or replaced.version.plan) if replaced else "",
            )
            self.records.begin_version(version)
            await self._prepare(version, part(progress, 0.5, 0.5))
            async with self.upkeep.standing_back(deployment):
                await self._nodes.front_end(device, version.front_end_address).activate(version)
                self.records.keep_deployment(new)
        progress(1.0, f"version {version.version} of {deployment} is in force")
        return new

    def _lock(self, deployment: str) -> asyncio.Lock:
        return self._locks.setdefault(deployment, asyncio.Lock())

    @asynccontextmanager
    async def _changing(self, deployment: str) -> AsyncIterator[None]:
        """Alone with a deployment; afterwards, whatever happened, servers need not hold what is not in force."""
        try:
            async with self._lock(deployment):
                yield
        finally:
            self._retirement.start_all()

    async def _prepare(self, version: DeploymentVersion, progress: Progress) -> None:
        """Have every server load its components."""
        fractions = dict.fromkeys(version.addresses, 0.0)

        async def prepare(server: str, address: str) -> None:
            def step(fraction: float, message: str) -> None:
                fractions[server] = fraction
                progress(sum(fractions.values()) / len(fractions), message)

            await self._nodes.inferencer(server, address).prepare(version, step)

        await run_all(prepare(server, address) for server, address in version.addresses.items())

    async def undeploy(self, name: str) -> None:
        """End a deployment: no new requests, then, when those under way have ended, free its servers.

        Servers that cannot be reached now are freed later.

        Raises:
            NotFoundError: no such active deployment.
        """
        async with self._changing(name):
            record = self.records.deployment(name)
            if record.state != "active":
                raise NotFoundError(f"deployment {name!r} is not active; nothing to undeploy")
            async with self.upkeep.standing_back(name):
                self.records.keep_deployment(replace(record, state="undeployed"))
        await asyncio.shield(self._retirement.start(record.version))

    async def whole_model(self, name: str) -> bytes:
        """The quantised, undivided model of a deployment.

        Raises:
            NotFoundError: no such deployment.
        """
        return await self._pool.get_blob(self.records.deployment(name).version.division.whole_blob)

    async def cluster(self) -> Cluster:
        """Servers and links as the Registry has them."""
        return await self._registry.list_servers()

    async def close(self) -> None:
        """Stop what goes on in the background."""
        await self.replacement.close()
        await self.upkeep.close()
        await self._retirement.close()


def _living(cluster: Cluster, names: set[str], device: str) -> dict[str, ServerRecord]:
    alive = {server.name: server for server in cluster.servers}
    for name in sorted(names):
        needed = ("inferencer", "front_end") if name == device else ("inferencer",)
        missing = [service for service in needed if name not in alive or service not in alive[name].services]
        if missing:
            raise ServerUnavailableError(f"server {name!r} of the plan is gone ({', '.join(missing)}); plan again")
    return {name: alive[name] for name in names}


def _inferencers(division: Division, servers: Mapping[str, ServerRecord]) -> dict[str, str]:
    used = dict.fromkeys(component.server for component in division.components)
    return {name: servers[name].services["inferencer"] for name in used}
