"""The bench of what seeing costs: its switch and its figures."""

import pytest
from opentelemetry import trace
from prometheus_client import REGISTRY

from bench.seeing.run import ModelResult, summary
from bench.seeing.switch import Switch
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


def test_the_cost_is_the_share_of_the_throughput() -> None:
    first = ModelResult("a", {"nothing": [1.0, 2.0], "metrics": [1.25, 2.5], "metrics and traces": [2.0, 4.0]})
    second = ModelResult("b", {"nothing": [1.0], "metrics": [1.0], "metrics and traces": [1.0]})
    figures = summary([first, second])
    assert figures["metrics_cost"] == pytest.approx(0.2)
    assert figures["metrics_and_traces_cost"] == pytest.approx(0.5)
    assert figures["models"]["b"]["metrics_cost"] == pytest.approx(0.0)
    assert figures["request_seconds"] == {"nothing": 1.5, "metrics": 1.875, "metrics and traces": 3.0}
