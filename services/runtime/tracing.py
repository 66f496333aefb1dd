"""Traces of requests across servers by OpenTelemetry, sent by OTLP where the standard ``OTEL_*`` variables ask for it.

The FrontEnd opens a request's span and passes it on with what it asks of servers; each server adds what its components
did. Nothing is recorded where no endpoint is set.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import propagate, trace

from core.deployment import ComponentRun, RequestKey
from core.errors import FailedPreconditionError
from services.runtime.handlers import Context

_TRACER = trace.get_tracer("partita")
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def configure_tracing(server: str, services: tuple[str, ...]) -> None:
    """Send this process's spans where ``OTEL_EXPORTER_OTLP_ENDPOINT`` says, if it says so.

    Which requests are traced is ``services.runtime.trace_sampler``'s choice where ``OTEL_TRACES_SAMPLER`` makes none.

    Raises:
        FailedPreconditionError: an endpoint is set, but the SDK is not installed.
    """
    endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")
    if not endpoint:
        return
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from services.runtime.trace_sampler import spaced_traces
    except ImportError as error:
        raise FailedPreconditionError(
            f"traces are to go to {endpoint}, but {error.name} is missing; pip install 'partita[traces]'"
        ) from None
    resource = Resource.create(
        {"service.name": "partita", "service.instance.id": server, "partita.services": list(services)}
    )
    provider = TracerProvider(None if os.environ.get("OTEL_TRACES_SAMPLER") else spaced_traces(), resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


@contextmanager
def request_span(context: Context, deployment: str) -> Iterator[trace.Span]:
    """The span of a request that came with ``context``: a child of the caller's, where that sent one along."""
    with _TRACER.start_as_current_span(
        "infer", propagate.extract(incoming(context)), attributes={"partita.deployment": deployment}
    ) as span:
        yield span


def outgoing() -> Mapping[str, str]:
    """What is to go along with what belongs to the current span."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


def incoming(context: Context) -> Mapping[str, str]:
    """What a caller who traces gave the call along, in whose ``context`` this is."""
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


def record_run(carried: Mapping[str, str], key: RequestKey, run: ComponentRun, end_nanoseconds: int) -> None:
    """Add the span of a component, whose outputs arrived at this time, to the span that was ``carried`` along.

    Its parts are attributes, in seconds: spans of their own would cost four times as much as all the rest.
    """
    parent = propagate.extract(carried)
    if not trace.get_current_span(parent).get_span_context().trace_flags.sampled:
        return
    seconds = run.queue_seconds + run.compute_seconds + run.transfer_seconds
    attributes: dict[str, str | int | float] = {
        "partita.server": run.server,
        "partita.component": run.component,
        "partita.request": key.request_id,
        "partita.queue_seconds": run.queue_seconds,
        "partita.compute_seconds": run.compute_seconds,
        "partita.together": run.together,
        "partita.transfer_seconds": run.transfer_seconds,
    }
    span = _TRACER.start_span(
        f"component {run.component}", parent, attributes=attributes, start_time=end_nanoseconds - round(seconds * 1e9)
    )
    span.end(end_nanoseconds)
