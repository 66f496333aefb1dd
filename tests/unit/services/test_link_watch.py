import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DeadlineExceededError, PartitaError, ServerUnavailableError
from core.profiles import MeasuredLink
from profilers.link_history import PROBE_BYTES
from services.link_probe import Send
from services.link_watch import LEAST_REST_SECONDS, REPORT_EVERY, LinkWatch
from services.transport.sender import PROBE_TIMEOUT_SECONDS


class Links:
    """Links of given speed, and the time that passes on them."""

    def __init__(self, speeds: dict[str, float], budget: float = 0.01) -> None:
        self.speeds = speeds
        self.spent = 0.0
        self.elapsed = 0.0
        self.sent: list[tuple[str, int]] = []
        self.failing: dict[str, PartitaError] = {}
        self.reported: list[MeasuredLink] = []
        self.watch = LinkWatch("device", self.connect, self.report, asyncio.Lock(), budget)
        self.watch.addresses = {name: f"{name}:1" for name in speeds}

    def connect(self, target: str, address: str) -> Send:
        assert address == f"{target}:1"

        async def send(byte_count: int) -> float:
            self.sent.append((target, byte_count))
            if target in self.failing:
                raise self.failing[target]
            seconds = 0.001 + byte_count / self.speeds[target]
            self.spent += seconds
            self.elapsed += seconds
            return seconds

        return send

    async def report(self, links: Sequence[MeasuredLink]) -> None:
        self.reported.extend(links)

    async def steps(self, count: int) -> None:
        for _ in range(count):
            rest = await self.watch.step()
            self.elapsed += rest


@given(st.lists(st.floats(1e4, 1e9), min_size=1, max_size=4), st.sampled_from([0.01, 0.002, 0.1]))
async def test_the_budget_is_kept(speeds: list[float], budget: float) -> None:
    links = Links({f"s{index}": speed for index, speed in enumerate(speeds)}, budget)
    await links.steps(60)
    assert links.spent <= budget * links.elapsed * (1 + 1e-9)


async def test_all_links_and_sizes_have_their_turn_and_are_reported() -> None:
    links = Links({"edge": 1e8, "cloud": 2e7})
    await links.steps(6 * REPORT_EVERY)
    assert {target for target, _ in links.sent[:2]} == {"edge", "cloud"}
    newest = {link.target: link for link in links.reported}
    for target, speed in links.speeds.items():
        assert newest[target].seconds(PROBE_BYTES[2]) == pytest.approx(0.001 + PROBE_BYTES[2] / speed, rel=1e-3)
    assert len(links.reported) == 2


async def test_a_changed_link_is_noticed_and_one_outlier_is_not() -> None:
    links = Links({"edge": 1e8})
    await links.steps(5 * REPORT_EVERY)
    links.speeds["edge"] = 1e6
    await links.steps(1)
    links.speeds["edge"] = 1e8
    await links.steps(REPORT_EVERY)
    assert links.reported[-1].seconds(2**20) == pytest.approx(0.001 + 2**20 / 1e8, rel=1e-3)
    links.speeds["edge"] = 2e7
    await links.steps(4 * REPORT_EVERY)
    assert links.reported[-1].seconds(2**20) == pytest.approx(0.001 + 2**20 / 2e7, rel=1e-3)


async def test_what_became_too_slow_is_sent_no_more() -> None:
    links = Links({"edge": 1e8})
    await links.steps(3 * REPORT_EVERY)
    links.speeds["edge"] = 1e5
    await links.steps(30)
    del links.sent[:]
    await links.steps(20)
    # 64 KiB take 0.66 s; 256 KiB would take longer than tensors should wait.
    assert max(size for _, size in links.sent) == PROBE_BYTES[0]
    assert links.reported[-1].seconds(2**20) == pytest.approx(2**20 / 1e5, rel=0.01)


async def test_a_server_that_cannot_be_reached_holds_nobody_up() -> None:
    links = Links({"edge": 1e8, "gone": 1.0})
    links.failing["gone"] = ServerUnavailableError("gone")
    await links.steps(8 * REPORT_EVERY)
    assert {link.target for link in links.reported} == {"edge"}
    links.failing["gone"] = DeadlineExceededError("gone")
    rests = [await links.watch.step() for _ in range(2)]
    assert max(rests) == pytest.approx(PROBE_TIMEOUT_SECONDS * 99)


async def test_alone_it_waits() -> None:
    assert await Links({}).watch.step() == LEAST_REST_SECONDS
