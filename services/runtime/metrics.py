"""What Prometheus may know of this process: calls, requests and components, and the port where it reads them.

All services of a process share these; labels tell them apart. Names end in their unit, as Prometheus asks.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from functools import lru_cache
from typing import Any

import grpc
from prometheus_client import Counter, Gauge, Histogram, start_http_server

from core.deployment import ComponentRun
from core.errors import FailedPreconditionError
from services.runtime.handlers import Behaviour, Context, Handler, wrapped

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Upper bounds of the histograms' buckets."""

CALLS = Histogram(
    "partita_call_seconds", "gRPC calls, and parts in requests, by how long they took", ["method"], buckets=SECONDS
)
ERRORS = Counter(
    "partita_errors", "gRPC calls, and parts in requests, that ended in an error, by its type", ["method", "error"]
)
REQUESTS = Histogram("partita_request_seconds", "Answered requests, first input to last output", ["deployment"])
COMPONENTS = Histogram(
    "partita_component_seconds",
    "Components run: queue (inputs complete to start), compute, and transfer of the outputs",
    ["deployment", "server", "component", "part"],
    buckets=SECONDS,
)
SENT_BYTES = Counter("partita_sent_bytes", "Bytes of tensors that this process has begun to send to others", ["target"])
REQUESTS_WAITING = Gauge("partita_requests_waiting", "Requests that wait for their turn now", ["service", "server"])
REQUESTS_UNDER_WAY = Gauge("partita_requests_under_way", "Requests that hold something now", ["service", "server"])
HELD_BYTES = Gauge("partita_held_bytes", "Bytes of tensors held for requests now", ["service", "server"])


class MetricsInterceptor(grpc.aio.ServerInterceptor):
    """Counts calls, their time and their errors. Inside ``ErrorInterceptor``, where errors still have their types."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the handler that would serve the call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method

        def unary(behaviour: Behaviour) -> Behaviour:
            async def call(request: Any, context: Context) -> Any:
                with counted(method):
                    return await behaviour(request, context)

            return call

        def stream(behaviour: Behaviour) -> Behaviour:
            async def call(request: Any, context: Context) -> AsyncGenerator[Any]:
                with counted(method):
                    async with aclosing(behaviour(request, context)) as responses:
                        async for response in responses:
                            yield response

            return call

        return wrapped(handler, method, unary, stream)


@contextmanager
def counted(method: str) -> Iterator[None]:
    """Count what is done inside as a call of ``method``."""
    started = time.perf_counter()
    try:
        yield
    except Exception as error:
        ERRORS.labels(method, type(error).__name__).inc()
        raise
    finally:
        _calls(method).observe(time.perf_counter() - started)


def observe_run(deployment: str, run: ComponentRun) -> None:
    """Count one component's part in one request."""
    queue, compute, transfer = _parts(deployment, run.server, run.component)
    queue.observe(run.queue_seconds)
    compute.observe(run.compute_seconds)
    transfer.observe(run.transfer_seconds)


# Finding a metric by its labels takes longer than counting.
@lru_cache(maxsize=1024)
def _calls(method: str) -> Histogram:
    return CALLS.labels(method)


@lru_cache(maxsize=1024)
def _parts(deployment: str, server: str, component: int) -> tuple[Histogram, Histogram, Histogram]:
    labels = (deployment, server, str(component))
    return (
        COMPONENTS.labels(*labels, "queue"),
        COMPONENTS.labels(*labels, "compute"),
        COMPONENTS.labels(*labels, "transfer"),
    )


def watch(gauge: Gauge, service: str, server: str, value: Callable[[], float]) -> None:
    """Have ``gauge`` ask ``value`` whenever Prometheus reads it."""
    gauge.labels(service, server).set_function(value)


def serve_metrics(listen: str) -> str:
    """Let Prometheus read at ``http://host:port/metrics`` from now on; returns ``host:port``, port 0 takes a free one.

    Raises:
        FailedPreconditionError: the address cannot be bound.
    """
    host, _, port = listen.rpartition(":")
    try:
        server, _ = start_http_server(int(port), host or "127.0.0.1")
    except (OSError, ValueError) as error:
        raise FailedPreconditionError(
            f"cannot serve metrics on {listen!r} ({error}); choose a free host:port with --metrics-listen"
        ) from None
    return f"{host or '127.0.0.1'}:{server.server_port}"
