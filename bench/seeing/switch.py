"""Metrics and traces, switched on and off while servers run."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Literal, Self

from opentelemetry import trace
from prometheus_client import Counter, Histogram

from core.errors import FailedPreconditionError
from services.runtime import tracing

Seen = Literal["nothing", "metrics", "metrics and traces"]

KINDS: tuple[Seen, ...] = ("nothing", "metrics", "metrics and traces")

_SINK = """
import sys
from concurrent.futures import ThreadPoolExecutor
import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
class Sink(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request, context):
        return trace_service_pb2.ExportTraceServiceResponse()
server = grpc.server(ThreadPoolExecutor(1))
trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Sink(), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
"""


@contextlib.contextmanager
def trace_sink() -> Iterator[str]:
    """A collector in a process of its own that takes all spans and drops them; yields its endpoint."""
    command = [sys.executable, "-c", _SINK]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port:
                raise FailedPreconditionError("traces cannot be collected; pip install 'partita[traces]'")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def send_traces() -> None:
    """Send what has not been sent."""
    getattr(trace.get_tracer_provider(), "force_flush", lambda: None)()


def shut_down_traces() -> None:
    """Send what has not been sent, and record nothing more."""
    getattr(trace.get_tracer_provider(), "shutdown", lambda: None)()


class Switch:
    """Turns counting and tracing off for a while: the very same servers are measured with and without.

    A context manager: both are on afterwards.
    """

    def __init__(self) -> None:
        self._tracer = trace.get_tracer("partita")
        self._counting = {(kind, name): getattr(kind, name) for kind, name in _COUNTING}

    def turn(self, seen: Seen) -> None:
        """See so much from now on."""
        for (kind, name), count in self._counting.items():
            setattr(kind, name, count if seen != "nothing" else _uncounted)
        tracing._TRACER = self._tracer if seen == "metrics and traces" else trace.NoOpTracer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_: TracebackType | None
    ) -> None:
        self.turn("metrics and traces")


_COUNTING = ((Histogram, "observe"), (Counter, "inc"))


def _uncounted(*_: Any) -> None:
    """In place of counting."""
