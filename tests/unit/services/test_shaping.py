import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.settings import EmulatedLink
from services.runtime.shaping import LinkShaper


class Time:
    """A clock that moves only when somebody sleeps, as one sleeper at a time."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def shaper(time: Time) -> LinkShaper:
    return LinkShaper([EmulatedLink("edge", 1000.0, 0.5)], time.clock, time.sleep)


async def test_a_transfer_takes_a_round_trip_and_its_bytes() -> None:
    time = Time()
    shaped = shaper(time)
    async with shaped.round_trip("edge"):
        assert time.now == 100.25
        sent = shaped.transfer("edge")
        await sent(300)
        await sent(700)
        assert time.now == pytest.approx(101.25)
    assert time.now == pytest.approx(101.5)


async def test_targets_that_are_not_listed_are_not_delayed() -> None:
    time = Time()
    shaped = shaper(time)
    async with shaped.round_trip("cloud"):
        await shaped.transfer("cloud")(10**6)
    assert time.now == 100.0


async def test_a_failed_transfer_waits_for_no_reply() -> None:
    time = Time()
    with pytest.raises(ValueError, match="broken"):
        async with shaper(time).round_trip("edge"):
            raise ValueError("broken")
    assert time.now == 100.25


async def test_an_idle_link_saves_nothing_up() -> None:
    time = Time()
    shaped = shaper(time)
    await shaped.transfer("edge")(100)
    time.now += 60
    start = time.now
    await shaped.transfer("edge")(1000)
    assert time.now - start == pytest.approx(1.0)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=20))
def test_transfers_side_by_side_share_the_throughput(sizes: list[int]) -> None:
    async def run() -> list[float]:
        wakes: list[float] = []

        async def sleep(seconds: float) -> None:
            wakes.append(seconds)

        shaped = LinkShaper([EmulatedLink("edge", 1000.0, 0.0)], lambda: 0.0, sleep)
        await asyncio.gather(*(shaped.transfer("edge")(size) for size in sizes))
        return wakes

    wakes = asyncio.run(run())
    assert wakes == sorted(wakes)
    assert wakes[-1] == pytest.approx(sum(sizes) / 1000)


async def test_oversleeping_does_not_add_up() -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += max(0.0, seconds) + 0.01

    shaped = LinkShaper([EmulatedLink("edge", 1000.0, 0.0)], lambda: now, sleep)
    sent = shaped.transfer("edge")
    for _ in range(50):
        await sent(100)
    assert 5.0 <= now < 5.02


async def test_a_stalled_stream_does_not_burst() -> None:
    time = Time()
    sent = shaper(time).transfer("edge")
    await sent(1000)
    time.now += 60
    start = time.now
    await sent(1000)
    await sent(1000)
    assert time.now - start == pytest.approx(2.0, abs=0.06)
