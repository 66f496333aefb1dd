import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidArgumentError
from core.problem import Link
from profilers.links import estimate_link

SIZES = st.lists(st.integers(10_000, 10_000_000), min_size=1, max_size=8)
SPEEDS = st.floats(1e4, 1e10)
ROUND_TRIPS = st.floats(1e-5, 0.5)


@settings(deadline=None)
@given(SPEEDS, ROUND_TRIPS, SIZES, st.integers(1, 5))
def test_an_exact_link_is_recovered(speed, rtt, sizes, repetitions):
    link = Link("device", "edge", speed, rtt)
    found = estimate_link("device", "edge", [rtt] * repetitions, [(size, link.seconds(size)) for size in sizes])
    assert (found.source, found.target, found.rtt_seconds) == ("device", "edge", rtt)
    for size in sizes:
        assert found.seconds(size) == pytest.approx(link.seconds(size), rel=1e-6)


@settings(deadline=None)
@given(SPEEDS, ROUND_TRIPS, st.floats(2, 1000), st.integers(0, 4))
def test_one_outlier_does_not_count(speed, rtt, factor, position):
    link = Link("device", "edge", speed, rtt)
    sizes = [250_000, 500_000, 1_000_000, 1_000_000, 1_000_000]
    transfers = [(size, link.seconds(size)) for size in sizes]
    transfers[position] = (sizes[position], transfers[position][1] * factor)
    found = estimate_link("device", "edge", [rtt, rtt, rtt * factor], transfers)
    assert found.rtt_seconds == rtt
    assert found.seconds(1_000_000) == pytest.approx(link.seconds(1_000_000), rel=1e-6)


@settings(deadline=None)
@given(SPEEDS, ROUND_TRIPS, SIZES, st.randoms(use_true_random=False))
def test_noise_on_the_times_moves_the_prediction_no_further(speed, rtt, sizes, random):
    link = Link("device", "edge", speed, rtt)
    transfers = [(size, rtt + size / speed * random.uniform(0.9, 1.1)) for size in sizes]
    found = estimate_link("device", "edge", [rtt], transfers)
    for size in sizes:
        assert found.seconds(size) == pytest.approx(link.seconds(size), rel=0.12)


def test_transfers_as_quick_as_a_round_trip_give_a_very_fast_link():
    found = estimate_link("a", "b", [0.01], [(1000, 0.009), (2000, 0.01)])
    assert found.seconds(2000) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(
    ("round_trips", "transfers"),
    [([], [(1, 1.0)]), ([0.1], []), ([0.0], [(1, 1.0)]), ([0.1], [(0, 1.0)]), ([0.1], [(1, float("nan"))])],
)
def test_nothing_measured_is_refused(round_trips, transfers):
    with pytest.raises(InvalidArgumentError, match="a → b"):
        estimate_link("a", "b", round_trips, transfers)


def slow_start(size: int) -> float:
    """27 ms one way: ten segments are doubled every round trip until 100 MB/s are reached."""
    window, sent, seconds = 14_600.0, 0.0, 0.054
    while sent + window < size and window < 5.4e6:
        sent, window, seconds = sent + window, 2 * window, seconds + 0.054
    return seconds + max(0.0, size - sent) / 1e8


def test_slow_start_is_seen_where_throughput_mispredicts():
    sizes = (2**16, 2**18, 2**20, 2**22)
    transfers = [(size, slow_start(size)) for size in sizes for _ in range(3)]
    found = estimate_link("a", "b", [0.054], transfers)
    for size in (100_000, 700_000, 3_000_000):
        assert found.seconds(size) == pytest.approx(slow_start(size), rel=0.2)
    by_throughput = Link("a", "b", 2**22 / (slow_start(2**22) - 0.054), 0.054)
    assert by_throughput.seconds(700_000) < 0.6 * slow_start(700_000)


def test_more_bytes_never_take_less_time():
    found = estimate_link("a", "b", [0.01], [(1000, 0.05), (2000, 0.03), (4000, 0.06), (8000, 0.055)])
    assert [size for size, _ in found.knots] == [0, 1000, 2000, 4000, 8000]
    assert [seconds for _, seconds in found.knots] == pytest.approx([0.01, 0.04, 0.04, 0.0575, 0.0575])
    assert 8000 / 0.0475 <= found.bytes_per_second <= 1e12


def test_spread_says_how_far_measurements_lie_apart():
    assert estimate_link("a", "b", [0.01], [(1000, 0.02)] * 3).spread == 0
    shaky = [(size, seconds * factor) for size, seconds in ((1000, 0.02), (9000, 0.1)) for factor in (0.9, 1, 1.2)]
    assert estimate_link("a", "b", [0.01], shaky).spread == pytest.approx(0.1)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**7), st.floats(1e-5, 100)), min_size=1, max_size=20), ROUND_TRIPS)
def test_whatever_was_measured_makes_a_link(transfers, rtt):
    found = estimate_link("a", "b", [rtt], transfers, 5.0)
    assert found.measured_at == 5.0
    assert [size for size, _ in found.knots[1:]] == sorted({size for size, _ in transfers})


@pytest.mark.parametrize(("bare", "reply"), [([], 0.005), ([0.006, 0.004, 0.1], 0.003), ([0.02], 0.005)])
def test_the_reply_takes_half_a_bare_round_trip(bare, reply):
    found = estimate_link("a", "b", [0.01], [(1000, 0.02)], bare_round_trips=bare)
    assert found.link.reply_seconds == reply
    assert found.link.delay_seconds == 0.01 - reply
    assert found.seconds(1000) == 0.02
