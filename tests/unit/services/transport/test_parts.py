"""A server's part in a request, as its connection asks for it."""

import asyncio
import math
from collections.abc import Callable, Sequence

import pytest
from prometheus_client import REGISTRY

from core.buffers import BufferPool
from core.deployment import ComponentRun, RequestKey
from core.errors import FailedPreconditionError, NotFoundError
from partita.v1.tensor_transport_pb2 import CarryHeader, CarryResponse, RequestPart
from services.transport.arrivals import Arrivals, Intake
from services.transport.receiver import TensorReceiver

RUN = ComponentRun(3, "edge", 0.5, 0.25, 0.125)


class Case:
    """One sender's arrivals at a server whose part ends when it is let."""

    def __init__(self) -> None:
        self.answers: list[CarryResponse] = []
        self.stopping = asyncio.Event()
        self.done = asyncio.Event()
        self.running: list[tuple[RequestKey, bool]] = []
        self.error: Exception | None = None
        self.receiver = TensorReceiver(100, self.stopping)
        self.receiver.run = self.run
        intake = Intake("r", self.receiver._sink, self.receiver._part, BufferPool(), 100, self.stopping)
        self.arrivals = Arrivals(intake, self.answers.append)

    async def run(self, key: RequestKey, alone: bool, ran: Callable[[ComponentRun], None]) -> Sequence[ComponentRun]:
        self.running.append((key, alone))
        ran(RUN)
        try:
            await self.done.wait()
            if self.error is not None:
                raise self.error
            return [RUN]
        finally:
            self.running.remove((key, alone))

    def begin(self, number: int, seconds: float = 60.0, alone: bool = False) -> None:
        part = RequestPart(deployment="app", version=2, request_id="r", alone=alone, seconds=seconds)
        assert self.arrivals.begin(CarryHeader(tensor=number, part=part), 0) is None

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
def case() -> Case:
    return Case()


async def test_the_answer_tells_how_the_components_ran(case: Case) -> None:
    case.begin(7, alone=True)
    await case.settle()
    assert case.running == [(RequestKey("app", 2, "r"), True)]
    assert not case.answers
    case.done.set()
    await case.arrivals.wait_until_empty()
    [answer] = case.answers
    assert (answer.tensor, answer.error) == (7, "")
    assert [(run.component, run.server, run.compute_seconds) for run in answer.runs] == [(3, "edge", 0.25)]


async def test_why_it_failed_is_told(case: Case) -> None:
    case.error = NotFoundError("no components here")
    case.done.set()
    case.begin(7)
    await case.arrivals.wait_until_empty()
    case.receiver.run = None
    case.begin(8)
    await case.arrivals.wait_until_empty()
    found = [(answer.tensor, answer.error, answer.message) for answer in case.answers]
    assert found[0] == (7, NotFoundError.__name__, "no components here")
    assert found[1][:2] == (8, FailedPreconditionError.__name__)


@pytest.mark.parametrize("error", [ValueError("no such thing"), TimeoutError("of something in it")])
async def test_an_unexpected_error_is_told_as_such_and_logged(
    case: Case, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    case.error = error
    case.done.set()
    case.begin(7)
    await case.arrivals.wait_until_empty()
    [answer] = case.answers
    assert (answer.tensor, answer.error) == (7, "InternalError")
    assert repr(error).split("(")[0] in answer.message
    assert str(error) in answer.message
    assert any(record.exc_info and record.exc_info[1] is error for record in caplog.records)


async def test_components_that_have_run_are_counted_though_their_request_fails(case: Case) -> None:
    def counted() -> float:
        labels = {"deployment": "app", "server": "edge", "component": "3", "part": "compute"}
        return REGISTRY.get_sample_value("partita_component_seconds_count", labels) or 0.0

    before = counted()
    case.begin(1)
    await case.settle()
    case.arrivals.begin(CarryHeader(tensor=1, cancelled=True), 0)
    await case.arrivals.wait_until_empty()
    case.error = NotFoundError("lost")
    case.done.set()
    case.begin(2)
    await case.arrivals.wait_until_empty()
    assert counted() == before + 2


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("-inf")])
async def test_no_time_is_an_error_whatever_is_sent_for_it(case: Case, seconds: float) -> None:
    case.begin(1, seconds)
    await case.arrivals.wait_until_empty()
    [answer] = case.answers
    assert answer.error == ("InvalidArgumentError" if math.isnan(seconds) else "DeadlineExceededError")
    assert not case.running


@pytest.mark.parametrize("turns", range(4))
async def test_a_cancelled_part_leaves_nothing_however_far_it_is(case: Case, turns: int) -> None:
    case.begin(1, float("inf"))
    for _ in range(turns):
        await asyncio.sleep(0)
    case.arrivals.begin(CarryHeader(tensor=1, cancelled=True), 0)
    await asyncio.wait_for(case.arrivals.wait_until_empty(), 60)
    assert not case.running
    assert not case.answers
    case.done.set()
    # Its number may not come again, but nothing of it is left to say so.
    case.begin(2)
    await case.arrivals.wait_until_empty()
    assert [answer.tensor for answer in case.answers] == [2]


async def test_a_number_that_is_in_use_and_a_server_that_stops_are_refused(case: Case) -> None:
    case.begin(1)
    case.begin(1)
    case.stopping.set()
    case.begin(2)
    assert [(answer.tensor, answer.error) for answer in case.answers] == [
        (1, "InvalidArgumentError"),
        (2, "ServerUnavailableError"),
    ]
    # What was begun before goes on.
    case.done.set()
    await case.arrivals.wait_until_empty()
    assert case.answers[-1].runs


async def test_the_end_of_the_connection_ends_its_parts(case: Case) -> None:
    for number in range(3):
        case.begin(number)
    await case.settle()
    case.begin(3)
    await case.arrivals.close()
    assert not case.running
    assert not case.answers
