"""Calls on plans: making and listing them."""

from typing import Unpack

from core.documents import loads
from core.errors import InvalidArgumentError
from core.front import Front
from core.plan import Plan
from core.problem import Problem
from core.progress import Progress, no_progress
from partita.aio.calls import CALL_SECONDS, DeployerCalls
from partita.options import PlanOptions, model_reference, plan_request
from partita.results import Model, PlanSummary, to_plan_summary
from partita.v1 import deployer_pb2
from services.runtime.errors import typed_errors
from services.runtime.events import result_of


class PlanCalls(DeployerCalls):
    """Makes plans and fronts of plans."""

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

    async def plan_front(
        self, model: str | Model, points: int = 20, *, progress: Progress = no_progress, **options: Unpack[PlanOptions]
    ) -> Front:
        """Find the plans that weights of latency and energy choose from; nothing is kept, nothing that runs changes.

        Args:
            points: most points of the front, at least 2; those that matter most come first.
            options: as for ``plan``, without goal and weights.

        Returns:
            The front. Its status is ``infeasible`` where no placement meets the limits.

        Raises:
            NotFoundError: no such model or server.
            InvalidArgumentError: an option does not fit the model or the servers, or is a goal or weight.
        """
        if points < 2:
            raise InvalidArgumentError(f"a front of {points} points: give at least 2, its two ends")
        request = deployer_pb2.PlanFrontRequest(plan=plan_request(model, **options), most_points=points)
        with typed_errors(self._peer):
            response = await result_of(self._stub.PlanFront(request), progress)
        return loads(response.front, Front)

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
