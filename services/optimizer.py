"""The Optimizer over gRPC: the solver runs in a process that dies when the call is cancelled."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from core.documents import dumps, loads
from core.objective import SolverOptions
from core.problem import Problem
from optimizer.pareto import make_front
from optimizer.plan import make_plan
from partita.v1 import optimizer_pb2, optimizer_pb2_grpc
from services.convert import solver_options
from services.runtime.events import responses
from services.runtime.handlers import Context
from services.runtime.server import Binding, Service
from services.runtime.settings import Settings
from services.runtime.worker import run_in_process


class OptimizerServicer(optimizer_pb2_grpc.OptimizerServicer):
    """Converts and calls."""

    def Optimize(
        self, request: optimizer_pb2.OptimizeRequest, context: Context
    ) -> AsyncGenerator[optimizer_pb2.OptimizeResponse]:
        problem, options = _read(request)
        return responses(
            lambda progress: run_in_process(make_plan, problem, options, progress=progress),
            lambda step: optimizer_pb2.OptimizeResponse(progress=step),
            lambda plan: optimizer_pb2.OptimizeResponse(plan=dumps(plan)),
        )

    def OptimizeFront(
        self, request: optimizer_pb2.OptimizeFrontRequest, context: Context
    ) -> AsyncGenerator[optimizer_pb2.OptimizeFrontResponse]:
        problem, options = _read(request.optimization)
        return responses(
            lambda progress: run_in_process(make_front, problem, request.most_points, options, progress=progress),
            lambda step: optimizer_pb2.OptimizeFrontResponse(progress=step),
            lambda front: optimizer_pb2.OptimizeFrontResponse(front=dumps(front)),
        )


def _read(request: optimizer_pb2.OptimizeRequest) -> tuple[Problem, SolverOptions]:
    time_limit = request.time_limit_seconds if request.HasField("time_limit_seconds") else None
    return loads(request.problem, Problem), solver_options(request.solver, time_limit, request.method)


def optimizer_service(settings: Settings) -> Service:  # noqa: ARG001 - the same shape for every service
    """The Optimizer."""

    @asynccontextmanager
    async def service(binding: Binding) -> AsyncIterator[None]:
        optimizer_pb2_grpc.add_OptimizerServicer_to_server(OptimizerServicer(), binding.server)
        binding.names.append(optimizer_pb2.DESCRIPTOR.services_by_name["Optimizer"].full_name)
        yield

    return service
