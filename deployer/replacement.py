"""Where a deployment goes when a server of its plan is lost: to the best plan without it, until it is back."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace

from core.cluster import Cluster
from core.errors import InfeasiblePlanError, NotFoundError, PartitaError
from core.objective import SolverOptions
from core.problem import Problem
from core.progress import no_progress
from deployer.ports import Optimizer
from deployer.records import DeploymentRecord, PlanRecord, Records

logger = logging.getLogger(__name__)

LOST_SECONDS = 3.0
"""How long a server is away until it counts as lost: longer than registering at a restarted Registry takes."""

BACK_SECONDS = 10.0
"""How long it is there again until it counts as back."""

RETRY_SECONDS = 10.0
"""Pause after a deployment could not be moved, unless servers come or go."""

SOLVE_SECONDS = 10.0
"""Most time for finding a plan."""

Move = Callable[[DeploymentRecord, PlanRecord, Collection[str]], Awaitable[None]]
"""Puts a plan in force in place of a deployment's version; given are the servers that are lost."""


class Replacement:
    """Moves deployments off servers that are lost, and back to the plan that was deployed.

    Args:
        records: what is in force.
        optimizer: finds plans.
        move: carries out what is decided.
        clock: seconds.
    """

    def __init__(
        self, records: Records, optimizer: Optimizer, move: Move, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._records = records
        self._optimizer = optimizer
        self._move = move
        self._clock = clock
        self._began = clock()
        self._present: Collection[str] = ()
        self._changed: dict[str, float] = {}
        self._look_until = self._began + BACK_SECONDS
        self._not_before: dict[str, float] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def act(self, cluster: Cluster) -> None:
        """Begin to move every deployment that is not where it should be."""
        now = self._clock()
        present = {server.name for server in cluster.servers if "inferencer" in server.services}
        if present != self._present:
            self._changed |= dict.fromkeys(present ^ set(self._present), now)
            self._present, self._look_until = present, now + 2 * BACK_SECONDS
            self._not_before.clear()
        # Records are long: they are read while there may be something to do.
        if now > self._look_until and not self._not_before:
            return
        for record in self._records.deployments():
            if record.state == "active" and record.name not in self._tasks:
                self._look_at(record, now)

    def _look_at(self, record: DeploymentRecord, now: float) -> None:
        if now < self._not_before.get(record.name, 0.0):
            return
        self._not_before.pop(record.name, None)
        if record.version.device not in self._present:
            # Requests start there; and where the Registry has just started, nobody is there yet.
            return
        try:
            deployed = self._records.plan(record.deployed_plan or record.version.plan)
        except NotFoundError:
            return
        device = deployed.problem.device
        away = [server.name for server in deployed.problem.servers if server.name not in self._present]
        lost = {name for name in away if now - max(self._since(device), self._since(name)) >= LOST_SECONDS}
        needed = {device, *deployed.plan.placement.values()}
        if lost & record.version.addresses.keys():
            self._begin(record, self._without(record, deployed, away))
        elif record.version.plan != deployed.plan.id and all(self._is_back(name, now) for name in needed):
            self._begin(record, self._move(record, deployed, ()))

    def _is_back(self, server: str, now: float) -> bool:
        return server in self._present and now - self._since(server) >= BACK_SECONDS

    def _since(self, server: str) -> float:
        return self._changed.get(server, self._began)

    def _begin(self, record: DeploymentRecord, work: Awaitable[None]) -> None:
        self._tasks[record.name] = asyncio.create_task(self._try(record, work))

    async def _try(self, record: DeploymentRecord, work: Awaitable[None]) -> None:
        try:
            await work
        except PartitaError as error:
            self._not_before[record.name] = self._clock() + RETRY_SECONDS
            logger.warning("%s stays as it is: %s", record.name, error)
        finally:
            del self._tasks[record.name]

    async def _without(self, record: DeploymentRecord, deployed: PlanRecord, lost: Collection[str]) -> None:
        """Move to the best plan without some servers.

        Raises:
            InfeasiblePlanError: there is none.
        """
        plan_id = f"{deployed.plan.id}-without-{'-'.join(lost)}"
        try:
            found = self._records.plan(plan_id)
        except NotFoundError:
            problem = without(deployed.problem, lost)
            plan = await self._optimizer.optimize(problem, SolverOptions(time_limit_seconds=SOLVE_SECONDS), no_progress)
            found = replace(deployed, plan=replace(plan, id=plan_id), problem=problem)
            self._records.keep_plan(found)
        if found.plan.status == "infeasible":
            raise InfeasiblePlanError(f"without {', '.join(lost)} there is no plan: {found.plan.reason}")
        logger.warning("%s does without %s until further notice", record.name, ", ".join(lost))
        await self._move(record, found, lost)

    async def close(self) -> None:
        """Stop."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def without(problem: Problem, lost: Collection[str]) -> Problem:
    """The problem on the other servers.

    Raises:
        InfeasiblePlanError: a rule allows a layer nowhere else.
    """
    layers = []
    for layer in problem.model.layers:
        servers = None if layer.servers is None else tuple(name for name in layer.servers if name not in lost)
        if servers == ():
            raise InfeasiblePlanError(f"by a rule, layer {layer.name!r} runs on {', '.join(layer.servers or ())} only")
        layers.append(replace(layer, servers=servers))
    return replace(
        problem,
        model=replace(problem.model, layers=tuple(layers)),
        servers=tuple(server for server in problem.servers if server.name not in lost),
        links=tuple(link for link in problem.links if not {link.source, link.target} & set(lost)),
        execution={name: times for name, times in problem.execution.items() if name not in lost},
        borders={name: times for name, times in problem.borders.items() if name not in lost},
    )
