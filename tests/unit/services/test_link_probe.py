import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.link_history import BARE_BYTES, PROBE_BYTES, TINY_BYTES
from services.link_probe import LEAST_ROUNDS, MOST_ROUNDS, ROUND_TRIPS, measure_link, measurements


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
    found = await measurements(FakeLink(1e9, 0.001).send)
    assert [size for size, _ in found] == [TINY_BYTES, BARE_BYTES] * ROUND_TRIPS + [*PROBE_BYTES] * MOST_ROUNDS


async def test_half_a_megabyte_a_second_is_measured_up_to_a_quarter_of_one() -> None:
    link = FakeLink(5e5, 0.005)
    found = await measurements(link.send)
    assert [size for size, _ in found] == [TINY_BYTES, BARE_BYTES] * ROUND_TRIPS + [*PROBE_BYTES[:2]] * LEAST_ROUNDS
    assert link.spent_seconds < 5


@pytest.mark.parametrize("bytes_per_second", [1e3, 1e4, 1e5])
async def test_a_very_slow_link_is_measured_at_the_smallest_size_only(bytes_per_second: float) -> None:
    found = await measurements(FakeLink(bytes_per_second, 0.0).send)
    assert {size for size, _ in found} <= {BARE_BYTES, TINY_BYTES, *PROBE_BYTES[:2]}
    assert PROBE_BYTES[0] in {size for size, _ in found}


# Below 50 kB/s a single transfer of the smallest size takes most of that time.
@given(st.floats(5e4, 1e9), st.floats(0.0, 0.5))
async def test_time_is_bounded(bytes_per_second: float, rtt_seconds: float) -> None:
    link = FakeLink(bytes_per_second, rtt_seconds)
    found = await measurements(link.send)
    assert {BARE_BYTES, TINY_BYTES, PROBE_BYTES[0]} <= {size for size, _ in found}
    assert link.spent_seconds < 5


async def test_a_measured_link_is_what_was_measured() -> None:
    link = FakeLink(2e7, 0.005)
    found = (await measure_link(link.send, "device", "edge")).estimate()
    assert (found.source, found.target) == ("device", "edge")
    assert found.rtt_seconds == pytest.approx(0.005, rel=1e-4)
    assert found.bytes_per_second == pytest.approx(2e7, rel=1e-4)
    assert found.measured_at > 1.7e9


async def test_the_first_round_only_warms_the_connection_up() -> None:
    link = FakeLink(1e8, 0.005)
    bytes_before = 0.0

    async def send(byte_count: int) -> float:
        nonlocal bytes_before
        bytes_before += byte_count
        return await link.send(byte_count) * (2 if byte_count > TINY_BYTES and bytes_before < 6e6 else 1)

    found = (await measure_link(send, "device", "edge")).estimate()
    assert found.bare_rtt_seconds == pytest.approx(0.005)
    for byte_count in PROBE_BYTES:
        assert found.seconds(byte_count) == pytest.approx(0.005 + byte_count / 1e8, rel=1e-3)
    assert found.spread < 1e-9


async def test_a_link_far_too_slow_for_the_budget_is_still_measured() -> None:
    found = (await measure_link(FakeLink(1e6, 6.0).send, "device", "edge")).estimate()
    assert found.rtt_seconds == pytest.approx(6.0, rel=1e-3)
    assert [size for size, _ in found.knots] == [0, PROBE_BYTES[0]]
