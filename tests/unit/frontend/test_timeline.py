import pytest

from core.deployment import ComponentRun
from core.errors import NotFoundError
from frontend.history import REMEMBERED, History, Report
from frontend.timeline import aligned


def run_of(start: float, compute: float) -> ComponentRun:
    return ComponentRun(0, "edge", 0.0, compute, 0.0, start)


def test_a_call_is_taken_to_need_half_a_round_trip() -> None:
    # Called at 1.0; the part began at 1.1, ended 0.5 later, and was heard of at 1.7: a round trip of 0.2.
    (only,) = aligned(1.0, 1.7, [run_of(0.2, 0.3)])
    assert only.start_seconds == pytest.approx(1.3)
    assert only.end_seconds == pytest.approx(1.6)


def test_the_last_run_to_end_tells_the_round_trip() -> None:
    first, second = aligned(0.0, 2.1, [run_of(1.0, 1.0), run_of(0.0, 0.25)])
    assert first.start_seconds == pytest.approx(1.05)
    assert second.start_seconds == pytest.approx(0.05)


def test_clocks_that_run_apart_do_not_turn_time_back() -> None:
    (only,) = aligned(1.0, 1.1, [run_of(0.0, 0.2)])
    assert only.start_seconds == 1.0
    assert aligned(1.0, 2.0, []) == []


def test_the_latest_requests_are_remembered() -> None:
    history = History()
    with pytest.raises(NotFoundError, match="no request is remembered"):
        history.find("")
    for number in range(REMEMBERED + 2):
        history.add(Report(f"request-{number}.a", "net", 1, 0.0, 0.1))
    assert history.find("").request_id == f"request-{REMEMBERED + 1}.a"
    assert history.find("request-77.").request_id == "request-77.a"
    with pytest.raises(NotFoundError, match=r"no request 'request-1\.' is remembered"):
        history.find("request-1.")
