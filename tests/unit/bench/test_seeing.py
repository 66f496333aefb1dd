"""The bench of what seeing costs: its switch and its figures."""

import pytest
from opentelemetry import trace
from prometheus_client import REGISTRY

from bench.seeing.results import ModelResult, Turn, summary
from bench.seeing.switch import Seen, Switch
from core.deployment import ComponentRun
from services.runtime import tracing
from services.runtime.metrics import observe_run

RUN = ComponentRun(1, "switched", 0.1, 0.2, 0.3)


def counted() -> float:
    labels = {"deployment": "app", "server": "switched", "component": "1", "part": "compute"}
    return REGISTRY.get_sample_value("partita_component_seconds_count", labels) or 0.0


def test_what_is_switched_off_is_not_counted() -> None:
    before = counted()
    with Switch() as switch:
        switch.turn("nothing")
        observe_run("app", RUN)
        assert counted() == before
        switch.turn("metrics")
        observe_run("app", RUN)
        assert counted() == before + 1
        assert isinstance(tracing._TRACER, trace.NoOpTracer)
        switch.turn("nothing")
    observe_run("app", RUN)
    assert counted() == before + 2
    assert not isinstance(tracing._TRACER, trace.NoOpTracer)


def turns(*other_seconds: float) -> list[Turn]:
    return [Turn(0.1, one) for one in other_seconds]


def test_the_cost_is_the_share_of_a_processor() -> None:
    taken: dict[Seen, list[Turn]] = {
        "nothing": turns(0.1, 0.2, 0.1, 0.1),
        "metrics": turns(0.101, 0.201, 0.101, 0.101),
        "metrics and traces": turns(0.102, 0.204, 0.102, 0.104),
    }
    figures = summary([ModelResult("a", taken, read_seconds=0.015, send_seconds=0.01)])
    assert figures["request_seconds"] == pytest.approx(0.1)
    assert figures["metrics_cost"] == pytest.approx(0.001 / 0.1 + 0.001)
    assert figures["metrics_cost_low"] == pytest.approx(figures["metrics_cost_high"])
    # Ten requests a second, of which two are traced.
    assert figures["traced_share"] == pytest.approx(0.2)
    assert figures["tracing_seconds"][0] == pytest.approx(0.002)
    assert figures["metrics_and_traces_cost"] == pytest.approx(0.0014 / 0.1 + 0.001 + 0.002)
    assert figures["metrics_and_traces_cost_low"] < figures["metrics_and_traces_cost"]
    assert figures["metrics_and_traces_cost"] < figures["metrics_and_traces_cost_high"]
    assert figures["models"]["a"]["requests"] == 4


def test_rounds_that_others_disturb_do_not_count() -> None:
    taken: dict[Seen, list[Turn]] = {
        "nothing": turns(*[0.1] * 9, 9.0),
        "metrics": turns(9.0, *[0.101] * 9),
        "metrics and traces": turns(*[0.1] * 10),
    }
    assert ModelResult("a", taken, 0.0, 0.0).cost("metrics").value == pytest.approx(0.001 / 0.1)
