"""How few requests are traced."""

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from services.runtime.trace_sampler import SpacedSampler, spaced_traces

TRACE_ID = 1


def test_traces_keep_their_distance() -> None:
    now = 100.0
    sampler = SpacedSampler(4.0, lambda: now)
    traced = []
    for step in range(11):
        now = 100.0 + step / 8
        traced.append(sampler.should_sample(None, TRACE_ID, "infer").decision.is_sampled())
    assert traced == [step % 2 == 0 for step in range(11)]
    now += 60.0
    # What was saved up in a pause is not spent at once.
    assert [sampler.should_sample(None, TRACE_ID, "infer").decision.is_sampled() for _ in range(3)] == [
        True,
        False,
        False,
    ]


def test_what_the_caller_traces_is_traced() -> None:
    tracer = TracerProvider(spaced_traces()).get_tracer("test")
    sampled = trace.SpanContext(1, 2, is_remote=True, trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED))
    parent = trace.set_span_in_context(trace.NonRecordingSpan(sampled))
    assert all(tracer.start_span("infer", parent).is_recording() for _ in range(20))
