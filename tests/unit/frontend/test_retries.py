"""How often and how long a request is tried again, by a simulated clock."""

import pytest

from core.errors import (
    InvalidTensorError,
    NotFoundError,
    PartitaError,
    RequestCancelledError,
    ServerUnavailableError,
)
from frontend.retries import Retries


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class Server:
    """Fails until a time, or for ever."""

    def __init__(self, clock: Clock, back: float, error: PartitaError) -> None:
        self.clock = clock
        self.back = back
        self.error = error
        self.tries = 0

    async def __call__(self) -> str:
        self.tries += 1
        if self.clock.now < self.back:
            raise self.error
        return "answer"


GONE = [ServerUnavailableError("edge"), NotFoundError("edge"), RequestCancelledError("edge")]


@pytest.mark.parametrize("error", GONE, ids=lambda error: type(error).__name__)
async def test_a_server_that_comes_back_answers(error: PartitaError) -> None:
    clock = Clock()
    seen: list[PartitaError] = []
    server = Server(clock, 3.0, error)
    retries = Retries(10.0, lambda: clock.now, clock.sleep)
    assert await retries.until_answered(server, seen.append) == "answer"
    assert seen == [error] * (server.tries - 1)
    assert clock.pauses == sorted(clock.pauses)
    assert max(clock.pauses) <= 1.0
    assert clock.now < 4.0


@pytest.mark.parametrize("error", GONE, ids=lambda error: type(error).__name__)
async def test_a_server_that_stays_away_is_named(error: PartitaError) -> None:
    clock = Clock()
    retries = Retries(5.0, lambda: clock.now, clock.sleep)
    with pytest.raises(ServerUnavailableError, match="edge"):
        await retries.until_answered(Server(clock, 1e9, error), lambda _: None)
    assert 4.0 <= clock.now <= 5.0


async def test_other_errors_are_final() -> None:
    clock = Clock()
    server = Server(clock, 1e9, InvalidTensorError("bad"))
    with pytest.raises(InvalidTensorError, match="bad"):
        await Retries(5.0, lambda: clock.now, clock.sleep).until_answered(server, lambda _: None)
    assert server.tries == 1
