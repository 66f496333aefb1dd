"""Fronts from the client through Deployer and Optimizer: as planned in this process, and cancelled to the end."""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.errors import InvalidArgumentError, NotFoundError
from core.front import Front
from core.objective import SolverOptions
from core.problem import Problem
from core.progress import Progress, no_progress
from deployer.fakes import FakeCluster
from deployer.ports import Optimizer
from optimizer.pareto import make_front
from partita import aio
from partita.v1 import deployer_pb2_grpc
from services.clients.optimizer import OptimizerClient
from services.deployer import DeployerServicer
from services.optimizer import optimizer_service
from services.runtime.channels import Channels
from services.runtime.server import Binding, serving
from services.runtime.settings import Settings
from tests.unit.deployer.system import System
from tests.unit.optimizer.builders import chain


@asynccontextmanager
async def optimizing() -> AsyncIterator[OptimizerClient]:
    async with serving("127.0.0.1:0", [optimizer_service(Settings())]) as address, Channels() as channels:
        yield OptimizerClient(channels.to(address))


@asynccontextmanager
async def deploying(path: Path, optimizer: Optimizer) -> AsyncIterator[aio.Client]:
    """A client of a Deployer that knows model m; all but the Optimizer are fakes."""
    system = System(path / "deployer.sqlite", optimizer)
    await system.deployer.load("m", b"model", {}, [], no_progress)

    @asynccontextmanager
    async def service(binding: Binding) -> AsyncIterator[None]:
        servicer = DeployerServicer(system.deployer, Settings())
        deployer_pb2_grpc.add_DeployerServicer_to_server(servicer, binding.server)
        yield

    async with serving("127.0.0.1:0", [service]) as address, aio.connect(address) as client:
        yield client
    system.store.close()


async def test_a_front_has_what_weights_choose_from_and_keeps_no_plan(tmp_path: Path) -> None:
    async with optimizing() as optimizer, deploying(tmp_path, optimizer) as client:
        front = await client.plan_front("m", 5, noise_limit=0.0)
        assert front.status == "complete"
        assert {tuple(point.placement) for point in front.points} == {("a", "b")}
        assert await client.plans() == ()
        with pytest.raises(NotFoundError, match="other"):
            await client.plan_front("other")
        with pytest.raises(InvalidArgumentError, match="at least 2"):
            await client.plan_front("m", 1)
        with pytest.raises(InvalidArgumentError, match="all weights"):
            await client.plan_front("m", latency_weight=0.5)


async def test_the_optimizer_gives_the_front_that_planning_offline_gives() -> None:
    problem = chain({"device": [4.0, 4.0, 4.0], "edge": [1.0, 2.0, 3.0]})
    async with optimizing() as optimizer:
        found = await optimizer.optimize_front(problem, 5, SolverOptions(), no_progress)
    assert found.points == make_front(problem, 5).points


async def test_cancelling_ends_the_solver() -> None:
    # Two equal servers with room for half of the layers each: nothing decides, so the integer program takes long.
    count = 400
    seconds = {"device": [1.0] * count, "edge": [1.0] * count, "cloud": [1.0] * count}
    problem = chain(seconds, memory={"edge": 10 * count // 2, "cloud": 10 * count // 2})
    solving = asyncio.Event()
    async with optimizing() as optimizer:
        call = asyncio.create_task(
            optimizer.optimize_front(problem, 20, SolverOptions(method="ilp"), lambda *_: solving.set())
        )
        await solving.wait()
        assert multiprocessing.active_children()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(60):
            while multiprocessing.active_children():
                await asyncio.sleep(0.05)


class Endless(FakeCluster):
    """An optimizer that never finds a front, and knows when it need not look any longer."""

    def __init__(self) -> None:
        super().__init__([])
        self.ended = asyncio.Event()

    async def optimize_front(
        self, problem: Problem, most_points: int, options: SolverOptions, progress: Progress
    ) -> Front:
        progress(0.5, "looking")
        try:
            return await asyncio.Future()
        finally:
            self.ended.set()


async def test_cancelling_at_the_client_ends_what_the_deployer_has_begun(tmp_path: Path) -> None:
    optimizer, looking = Endless(), asyncio.Event()

    def progress(fraction: float, message: str) -> None:
        if message == "looking":
            looking.set()

    async with deploying(tmp_path, optimizer) as client:
        call = asyncio.create_task(client.plan_front("m", progress=progress))
        await looking.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(60):
            await optimizer.ended.wait()
