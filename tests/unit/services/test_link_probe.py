import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.link_probe import PROBE_BYTES, REPEATS, ROUND_TRIPS, measurements


class FakeLink:
    def __init__(self, bytes_per_second: float, rtt_seconds: float) -> None:
        self.bytes_per_second = bytes_per_second
        self.rtt_seconds = rtt_seconds
        self.spent_seconds = 0.0

    async def send(self, byte_count: int) -> float:
        seconds = self.rtt_seconds + byte_count / self.bytes_per_second
        self.spent_seconds += seconds
        return seconds


async def test_a_fast_link_is_measured_at_every_size() -> None:
    round_trips, transfers = await measurements(FakeLink(1e8, 0.005).send)
    assert len(round_trips) == ROUND_TRIPS
    assert [size for size, _ in transfers] == [size for size in PROBE_BYTES for _ in range(REPEATS)]


async def test_one_megabyte_a_second_reaches_the_largest_size() -> None:
    link = FakeLink(1e6, 0.005)
    _, transfers = await measurements(link.send)
    assert transfers[-1][0] == PROBE_BYTES[-1]
    assert link.spent_seconds < 5


@pytest.mark.parametrize("bytes_per_second", [1e3, 1e4, 1e5])
async def test_a_very_slow_link_is_measured_at_the_smallest_size_only(bytes_per_second: float) -> None:
    _, transfers = await measurements(FakeLink(bytes_per_second, 0.0).send)
    assert {size for size, _ in transfers} == {PROBE_BYTES[0]}


# Below 50 kB/s a single transfer of the smallest size takes most of that time.
@given(st.floats(5e4, 1e9), st.floats(0.0, 0.5))
async def test_time_is_bounded(bytes_per_second: float, rtt_seconds: float) -> None:
    link = FakeLink(bytes_per_second, rtt_seconds)
    round_trips, transfers = await measurements(link.send)
    assert round_trips
    assert transfers
    assert link.spent_seconds < 5
