from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.link_queue import QUEUE_SECONDS, LinkQueue
from lab.topology import Shape

packets = st.lists(st.tuples(st.floats(0, 0.01), st.integers(40, 65536)), min_size=1, max_size=100)
shapes = st.builds(
    Shape,
    bytes_per_second=st.floats(1e5, 1e9),
    delay_seconds=st.floats(0.01, 0.1),
    jitter_seconds=st.floats(0, 0.01),
    loss=st.floats(0, 0.5),
)


def draw(seed: int = 0) -> Callable[[], float]:
    return Random(seed).random  # noqa: S311 - to be repeated, not to be secret


def test_a_packet_takes_its_sending_and_the_delay() -> None:
    link = LinkQueue(Shape(1e6, 0.01), draw())
    assert link.arrival(5.0, 1000) == pytest.approx(5.011)


def test_a_packet_waits_for_those_before_it() -> None:
    link = LinkQueue(Shape(1e6, 0.01), draw())
    assert [link.arrival(5.0, 1000) for _ in range(3)] == pytest.approx([5.011, 5.012, 5.013])
    assert link.arrival(6.0, 1000) == pytest.approx(6.011)


def test_a_full_queue_drops_what_comes_last() -> None:
    link = LinkQueue(Shape(1e6), draw())
    taken = [link.arrival(0.0, 10_000) for _ in range(50)]
    held = int(QUEUE_SECONDS * 1e6 / 10_000) + 1
    assert None not in taken[:held]
    assert set(taken[held:]) == {None}
    assert link.arrival(0.05, 10_000) is not None


def test_as_much_is_lost_as_asked() -> None:
    link = LinkQueue(Shape(1e9, loss=0.2), draw())
    lost = sum(link.arrival(now / 100, 1000) is None for now in range(5000))
    assert 0.17 < lost / 5000 < 0.23


def test_jitter_makes_some_later_and_some_earlier() -> None:
    link = LinkQueue(Shape(1e12, 0.01, 0.005), draw())
    delays = [(link.arrival(float(now), 1) or 0) - now for now in range(200)]
    assert 0.005 <= min(delays) < 0.006
    assert 0.014 < max(delays) <= 0.015


def test_a_new_shape_holds_from_the_next_packet_on() -> None:
    link = LinkQueue(Shape(1e6, 0.01), draw())
    link.arrival(0.0, 1000)
    link.shape = Shape(1e3, 0.5)
    assert link.arrival(0.0, 1000) == pytest.approx(0.001 + 1 + 0.5)


@settings(max_examples=40)
@given(shapes, packets, st.integers())
def test_packets_arrive_in_order_and_never_faster_than_the_link(
    shape: Shape, sent: list[tuple[float, int]], seed: int
) -> None:
    link = LinkQueue(shape, draw(seed))
    now, arrived = 0.0, []
    for pause, size in sent:
        now += pause
        arrival = link.arrival(now, size)
        if arrival is not None:
            arrived.append((now, arrival, size))
    for left, arrival, size in arrived:
        least = size / shape.bytes_per_second + shape.delay_seconds - shape.jitter_seconds
        assert arrival >= left + least - 1e-9
    assert all(one[1] <= other[1] for one, other in pairwise(arrived))
    if arrived:
        longest = shape.delay_seconds + shape.jitter_seconds
        total = sum(size for _, _, size in arrived)
        assert arrived[-1][1] - longest >= total / shape.bytes_per_second - longest * 2 - 1e-9
