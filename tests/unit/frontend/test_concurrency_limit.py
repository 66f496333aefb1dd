"""The limit against simulated pipelines: it fills them, and no more."""

from collections import deque
from dataclasses import dataclass, field
from heapq import heappop, heappush

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontend.concurrency_limit import RESERVE, ConcurrencyLimit


@dataclass
class Pipeline:
    """Stages in a row, each busy with one request at a time for ``busy`` seconds; then a ``delay`` on the wire.

    ``callers`` always have a request to send.
    """

    busy: list[float]
    delay: float = 0.0
    callers: int = 1000
    clock: float = 0.0
    free: list[float] = field(default_factory=list)
    flying: list[tuple[float, float]] = field(default_factory=list)

    def run(self, limit: ConcurrencyLimit, answers: int) -> tuple[float, float]:
        """Answer so many requests; returns answers per second and mean latency of the last half of them."""
        self.free = self.free or [0.0] * len(self.busy)
        ends: list[tuple[float, float]] = []
        while len(ends) < answers:
            while len(self.flying) < min(limit.value, self.callers):
                heappush(self.flying, (self._end(self.clock), self.clock))
            count = len(self.flying)
            self.clock, begun = heappop(self.flying)
            limit.answered(begun, self.clock, count)
            ends.append((self.clock, self.clock - begun))
        late = ends[len(ends) // 2 :]
        seconds = late[-1][0] - late[0][0]
        return (len(late) - 1) / max(seconds, 1e-9), sum(latency for _, latency in late) / len(late)

    def _end(self, now: float) -> float:
        for index, seconds in enumerate(self.busy):
            now = max(now, self.free[index]) + seconds
            self.free[index] = now
            now += self.delay
        return now

    @property
    def depth(self) -> float:
        return (sum(self.busy) + len(self.busy) * self.delay) / max(self.busy)


PIPELINES = [
    Pipeline([0.1]),
    Pipeline([0.1, 0.1]),
    Pipeline([0.01, 0.1, 0.02]),
    Pipeline([0.05, 0.05], delay=0.3),
    Pipeline([0.01, 0.002], delay=0.2),
]


@pytest.mark.parametrize("pipeline", PIPELINES, ids=str)
@pytest.mark.parametrize("predicted", [0.2, 1.0, 5.0])
def test_wrong_predictions_are_corrected(pipeline: Pipeline, predicted: float) -> None:
    pipeline = Pipeline(pipeline.busy, pipeline.delay)
    limit = ConcurrencyLimit(predicted * pipeline.depth, 1000)
    rate, latency = pipeline.run(limit, 4000)
    bound = 1 / max(pipeline.busy)
    assert rate >= 0.95 * bound
    # Little's law: what is in flight at the limit, and nothing beyond.
    assert latency <= (pipeline.depth * 1.25 + 3) * max(pipeline.busy)


@settings(max_examples=50)
@given(
    st.lists(st.floats(0.001, 0.1), min_size=1, max_size=5),
    st.floats(0.0, 0.3),
    st.floats(0.5, 50.0),
)
def test_the_limit_follows_the_depth(busy: list[float], delay: float, predicted: float) -> None:
    pipeline = Pipeline(busy, delay)
    limit = ConcurrencyLimit(predicted, 10000)
    rate, _ = pipeline.run(limit, int(200 * (pipeline.depth + 5)))
    assert rate * max(busy) >= 0.9
    assert limit.value <= 1.3 * pipeline.depth + 3


def test_a_bottleneck_that_slows_down_is_followed() -> None:
    limit = ConcurrencyLimit(2, 1000)
    fast = Pipeline([0.02, 0.02], delay=0.1)
    fast.run(limit, 2000)
    slow = Pipeline([0.02, 0.1], delay=0.1, clock=fast.clock, free=fast.free)
    rate, latency = slow.run(limit, 2000)
    assert rate >= 0.95 * 10
    assert latency <= (slow.depth * 1.25 + 3) * 0.1


def test_links_that_get_longer_are_followed() -> None:
    limit = ConcurrencyLimit(2, 1000)
    near = Pipeline([0.02, 0.02])
    near.run(limit, 2000)
    far = Pipeline([0.02, 0.02], delay=0.5, clock=near.clock, free=near.free)
    far.run(limit, 6000)
    rate, _ = far.run(limit, 4000)
    assert rate >= 0.9 * 50


def test_few_callers_are_not_held_back() -> None:
    limit = ConcurrencyLimit(8, 1000)
    pipeline = Pipeline([0.1, 0.1], callers=2)
    rate, _ = pipeline.run(limit, 1000)
    assert rate == pytest.approx(10.0, rel=0.01)


@pytest.mark.parametrize("busy", [[0.1, 0.1], [0.1, 0.09], [0.05, 0.05, 0.05]], ids=str)
def test_more_callers_are_not_answered_less(busy: list[float]) -> None:
    # Also while the queues are let run empty.
    pipeline = Pipeline(busy, callers=8)
    rate, _ = pipeline.run(ConcurrencyLimit(pipeline.depth, 1000), 4000)
    assert rate == pytest.approx(1 / max(busy), rel=0.005)


def test_so_many_come_to_wait_as_are_computed_together() -> None:
    """A server that computes whatever waits at once, up to 8, has 8 before long; one that takes each alone, few."""
    in_flight: dict[int, int] = {}
    for most in (8, 1):
        limit, now, begun = ConcurrencyLimit(1.0, 64), 0.0, deque[float]()
        for _ in range(50):
            while len(begun) < limit.value:
                begun.append(now)
            together, now = min(most, len(begun)), now + 1.0
            for _ in range(together):
                limit.answered(begun.popleft(), now, limit.value, together)
        in_flight[most] = limit.value
    assert in_flight[8] >= 16
    assert in_flight[1] <= 2 + RESERVE + 2


def test_when_requests_are_no_longer_computed_together_fewer_wait() -> None:
    limit = ConcurrencyLimit(1.0, 64)
    limit.answered(0.0, 1.0, 4, together=8)
    assert limit.value >= RESERVE * 8
    for second in range(1, 20):
        limit.answered(second, second + 1.0, 1)
    assert limit.value <= 2 + RESERVE


def test_the_limit_has_bounds() -> None:
    assert ConcurrencyLimit(1e6, 64).value == 64
    assert ConcurrencyLimit(0.0, 64).value >= 1
    assert ConcurrencyLimit(3.0, 1).value == 1


def test_the_answer_rate_is_known_from_the_first_answer_on() -> None:
    limit = ConcurrencyLimit(2, 64)
    assert limit.answers_per_second is None
    Pipeline([0.1, 0.1]).run(limit, 1)
    assert limit.answers_per_second == pytest.approx(10)
    Pipeline([0.1, 0.1]).run(limit, 100)
    assert limit.answers_per_second == pytest.approx(10)
