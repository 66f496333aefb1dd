"""A request's trace, as a collector receives it from a cluster that ``partita up`` runs."""

# The contract names its methods.
# ruff: noqa: N802

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import partita
from tests.integration.test_client import FEW, started, stopped
from tests.unit.models import chain_model, random_inputs

SECONDS = 60


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps every span by the process that sent it."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        for group in request.resource_spans:
            sender = next(
                item.value.string_value for item in group.resource.attributes if item.key == "service.instance.id"
            )
            self.spans += [(sender, span) for scope in group.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    server = grpc.server(ThreadPoolExecutor(1))
    collector = Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    yield collector
    server.stop(0).wait()


def test_a_request_is_one_trace_across_servers(collector: Collector, tmp_path: Path) -> None:
    process, address = started(tmp_path)
    try:
        with partita.connect(address) as client:
            model = client.load(chain_model().SerializeToString(), "chain")
            rules = {"/conv_0": ["device"], "/conv_4": ["edge"]}
            deployment = client.deploy(client.plan(model, layer_rules=rules, noise_limit=0.0, **FEW))
            _, report = deployment.infer_with_report(random_inputs(chain_model()))
        expected = 1 + len(report.runs)
        deadline = time.monotonic() + SECONDS
        while len(collector.spans) < expected and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        assert stopped(process) == 0
    by_id = {span.span_id: (sender, span) for sender, span in collector.spans}
    assert len(by_id) == expected
    assert len({span.trace_id for _, span in by_id.values()}) == 1
    (root,) = [span for _, span in by_id.values() if not span.parent_span_id]
    assert root.name == "infer"
    assert {item.key: item.value.string_value for item in root.attributes} == {
        "partita.deployment": "chain",
        "partita.request": report.request_id,
    }
    components = {(sender, span.name): span for sender, span in by_id.values() if span.parent_span_id == root.span_id}
    assert set(components) == {(run.server, f"component {run.component}") for run in report.runs}
    for run in report.runs:
        span = components[run.server, f"component {run.component}"]
        seconds = {item.key: item.value.double_value for item in span.attributes if item.key.endswith("_seconds")}
        assert seconds == {
            "partita.queue_seconds": run.queue_seconds,
            "partita.compute_seconds": run.compute_seconds,
            "partita.transfer_seconds": run.transfer_seconds,
        }
        assert span.end_time_unix_nano - span.start_time_unix_nano == round(1e9 * sum(seconds.values()))
