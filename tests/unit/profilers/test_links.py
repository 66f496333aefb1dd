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
