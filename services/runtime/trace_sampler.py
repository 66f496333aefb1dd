"""Which requests are traced: few enough that tracing costs little, however many there are."""

import time
from collections.abc import Callable, Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF as OFF
from opentelemetry.sdk.trace.sampling import ALWAYS_ON as ON
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, SamplingResult, StaticSampler
from opentelemetry.trace import Link, SpanKind
from opentelemetry.trace.span import TraceState
from opentelemetry.util.types import Attributes

TRACES_PER_SECOND = 2.0
"""A trace takes the servers up to a millisecond of processor time: all together a few thousandths of a core."""


class SpacedSampler(Sampler):
    """Traces a request where the last traced one began long enough ago, the first after a pause always.

    Args:
        per_second: most traces in a second.
        clock: in seconds.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause_seconds = 1 / per_second
        self._clock = clock
        self._next = clock()

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide about a new trace."""
        now = self._clock()
        chosen: StaticSampler = ON if now >= self._next else OFF
        if chosen is ON:
            self._next = now + self._pause_seconds
        return chosen.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """What it does, for OpenTelemetry's own messages."""
        return f"at most one trace in {self._pause_seconds:g} s"


def spaced_traces() -> Sampler:
    """Trace some requests, and those whose callers ask for it."""
    return ParentBased(SpacedSampler(TRACES_PER_SECOND))
