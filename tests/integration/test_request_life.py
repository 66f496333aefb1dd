"""A request's life over real gRPC: full queues, retries by its caller, deadlines, and what is freed when."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.deployment import RequestKey
from core.errors import BusyError, DeadlineExceededError, ServerUnavailableError
from core.progress import no_progress
from core.tensors import Array
from inferencer.inferencer import Inferencer
from partita.inference import infer
from partita.results import InferReport
from services.clients.inferencer import InferencerClient
from tests.integration.data_plane import DataPlane, data_plane, largest_difference
from tests.unit.models import chain_model, random_inputs
from tests.unit.plans import run


async def ask(plane: DataPlane, request_id: str = "", seconds: float = 30.0) -> tuple[dict[str, Array], InferReport]:
    """One request as the client sends it."""
    address = plane.version.front_end_address
    channel = plane.channels.to(address)
    return await infer(channel, address, "app", random_inputs(plane.model), seconds, request_id)


@contextmanager
def busy(inferencer: Inferencer) -> Iterator[threading.Event]:
    """Keep a server computing until the event is set."""
    done = threading.Event()
    inferencer._executor.submit(done.wait, 60)
    try:
        yield done
    finally:
        done.set()


async def nothing_held(plane: DataPlane) -> None:
    async with asyncio.timeout(60):
        while plane.requests_under_way or any(item.requests.held_bytes for item in plane.inferencers.values()):
            await asyncio.sleep(0.01)


async def test_a_full_queue_says_when_to_come_back(tmp_path: Path) -> None:
    async with data_plane(chain_model(), ("device", "edge"), tmp_path, request_limit=1, queue_limit=1) as plane:
        await ask(plane)
        with busy(plane.inferencers["edge"]) as done:
            calls = [asyncio.create_task(ask(plane))]
            while not plane.inferencers["edge"].requests.held_bytes:
                await asyncio.sleep(0.01)
            calls.append(asyncio.create_task(ask(plane)))
            while plane.front_end.requests_under_way < 2:
                await asyncio.sleep(0.01)
            with pytest.raises(BusyError, match="1 requests are in flight and 1 wait") as caught:
                await ask(plane)
            assert caught.value.retry_after_seconds is not None
            assert caught.value.retry_after_seconds > 0
            done.set()
            for call in calls:
                assert (await call)[0]
        await nothing_held(plane)


async def test_a_call_with_the_id_of_one_under_way_gets_its_answer(tmp_path: Path) -> None:
    async with data_plane(chain_model(), ("device", "edge"), tmp_path) as plane:
        with busy(plane.inferencers["edge"]) as done:
            calls = [asyncio.create_task(ask(plane, "r")) for _ in range(3)]
            while not plane.inferencers["edge"].requests.held_bytes:
                await asyncio.sleep(0.01)
            assert len(plane.inferencers["edge"].requests) == 1
            # Who asked first goes away; the others still get the answer.
            calls.pop(0).cancel()
            done.set()
            answers = [await call for call in calls]
        assert len({report.request_id for _, report in answers}) == 1
        expected = run(plane.whole, random_inputs(plane.model))
        for outputs, _ in answers:
            assert largest_difference(outputs, expected) < 1e-5
        _, again = await ask(plane, "r")
        assert again.request_id != answers[0][1].request_id
        await nothing_held(plane)


async def test_the_deadline_frees_every_server(tmp_path: Path) -> None:
    async with data_plane(chain_model(), ("device", "edge"), tmp_path) as plane:
        with busy(plane.inferencers["edge"]):
            with pytest.raises(DeadlineExceededError):
                await ask(plane, seconds=2.0)
            await nothing_held(plane)


async def test_a_server_frees_what_a_vanished_front_end_began(tmp_path: Path) -> None:
    async with data_plane(chain_model(), ("device", "edge"), tmp_path) as plane:
        edge = plane.inferencers["edge"]
        # Nobody cancels this part or sends what it waits for: its deadline must end it.
        begun = asyncio.create_task(plane.run("edge", RequestKey("app", 1, "r"), 3.0))
        async with asyncio.timeout(60):
            while not len(edge.requests):
                await asyncio.sleep(0.01)
        await nothing_held(plane)
        with pytest.raises(DeadlineExceededError, match="within 3 s"):
            await begun
        # And where its connection breaks, nobody needs it any more.
        lost = asyncio.create_task(plane.run("edge", RequestKey("app", 1, "lost"), 600.0))
        async with asyncio.timeout(60):
            while not len(edge.requests):
                await asyncio.sleep(0.01)
        await plane.sender.close()
        with pytest.raises(ServerUnavailableError, match="edge"):
            await lost
        await nothing_held(plane)


async def test_a_request_goes_on_when_a_restarted_server_has_its_components_again(tmp_path: Path) -> None:
    async with data_plane(chain_model(), ("device", "edge"), tmp_path, retry_seconds=30.0) as plane:
        edge = InferencerClient(plane.channels.to(plane.version.addresses["edge"]), "edge")
        await edge.release("app", 1)
        request = asyncio.create_task(ask(plane))
        while not plane.front_end.requests_under_way:
            await asyncio.sleep(0.01)
        await edge.prepare(plane.version, no_progress)
        outputs, _ = await request
        assert largest_difference(outputs, run(plane.whole, random_inputs(plane.model))) < 1e-5
        await nothing_held(plane)


async def test_a_server_that_does_not_come_back_is_named(tmp_path: Path) -> None:
    async with data_plane(chain_model(), ("device", "edge"), tmp_path, retry_seconds=1.0) as plane:
        await plane.servers["edge"].aclose()
        with pytest.raises(ServerUnavailableError, match="edge"):
            await ask(plane)
        await nothing_held(plane)
