"""The Optimizer over gRPC: the solver runs in a process that dies when the call is cancelled."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import grpc

from core.documents import decode, dumps, loads
from core.plan import Plan
from core.problem import Problem, SolverOptions
from core.progress import Progress
from optimizer.plan import make_plan
from partita.v1 import optimizer_pb2, optimizer_pb2_grpc
from services.runtime.errors import Context, typed_errors
from services.runtime.events import responses, result_of
from services.runtime.server import Binding, Service
from services.runtime.settings import Settings
from services.runtime.worker import run_in_process


class OptimizerServicer(optimizer_pb2_grpc.OptimizerServicer):
    """Converts and calls."""

    def Optimize(
        self, request: optimizer_pb2.OptimizeRequest, context: Context
    ) -> AsyncGenerator[optimizer_pb2.OptimizeResponse]:
        problem = loads(request.problem, Problem)
        options = solver_options(
            request.solver, request.time_limit_seconds if request.HasField("time_limit_seconds") else None
        )
        return responses(
            lambda progress: run_in_process(make_plan, problem, options, progress=progress),
            lambda step: optimizer_pb2.OptimizeResponse(progress=step),
            lambda plan: optimizer_pb2.OptimizeResponse(plan=dumps(plan)),
        )


def solver_options(solver: str, time_limit_seconds: float | None) -> SolverOptions:
    """Options from a request; an empty solver is the default one.

    Raises:
        InvalidDocumentError: unknown solver or a time limit that is not positive.
    """
    fields = {"solver": solver} if solver else {}
    return decode({**fields, "time_limit_seconds": time_limit_seconds}, SolverOptions, "solver options")


class OptimizerClient:
    """The Optimizer, wherever it runs."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = optimizer_pb2_grpc.OptimizerStub(channel)

    async def optimize(self, problem: Problem, options: SolverOptions, progress: Progress) -> Plan:
        """Find the best plan; cancelling ends the solver."""
        request = optimizer_pb2.OptimizeRequest(
            problem=dumps(problem), solver=options.solver, time_limit_seconds=options.time_limit_seconds
        )
        with typed_errors("the Optimizer"):
            return loads((await result_of(self._stub.Optimize(request), progress)).plan, Plan)


def optimizer_service(settings: Settings) -> Service:  # noqa: ARG001 - the same shape for every service
    """The Optimizer."""

    @asynccontextmanager
    async def service(binding: Binding) -> AsyncIterator[None]:
        optimizer_pb2_grpc.add_OptimizerServicer_to_server(OptimizerServicer(), binding.server)
        binding.names.append(optimizer_pb2.DESCRIPTOR.services_by_name["Optimizer"].full_name)
        yield

    return service
