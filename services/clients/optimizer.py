"""Calls the Optimizer."""

import grpc

from core.documents import dumps, loads
from core.front import Front
from core.objective import SolverOptions
from core.plan import Plan
from core.problem import Problem
from core.progress import Progress
from partita.v1 import optimizer_pb2, optimizer_pb2_grpc
from services.runtime.errors import typed_errors
from services.runtime.events import result_of


class OptimizerClient:
    """The Optimizer, wherever it runs."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = optimizer_pb2_grpc.OptimizerStub(channel)

    async def optimize(self, problem: Problem, options: SolverOptions, progress: Progress) -> Plan:
        """Find the best plan; cancelling ends the solver."""
        with typed_errors("the Optimizer"):
            return loads((await result_of(self._stub.Optimize(_request(problem, options)), progress)).plan, Plan)

    async def optimize_front(
        self, problem: Problem, most_points: int, options: SolverOptions, progress: Progress
    ) -> Front:
        """Find the front of summed latency against energy; cancelling ends the solver."""
        request = optimizer_pb2.OptimizeFrontRequest(optimization=_request(problem, options), most_points=most_points)
        with typed_errors("the Optimizer"):
            return loads((await result_of(self._stub.OptimizeFront(request), progress)).front, Front)


def _request(problem: Problem, options: SolverOptions) -> optimizer_pb2.OptimizeRequest:
    return optimizer_pb2.OptimizeRequest(
        problem=dumps(problem),
        solver=options.solver,
        time_limit_seconds=options.time_limit_seconds,
        method=options.method,
    )
