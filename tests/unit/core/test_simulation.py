import itertools
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.cost import compute_seconds, predict
from core.errors import InvalidArgumentError
from core.graph import GENERATOR, RECEIVER, Layer, ModelGraph, Tensor
from core.plan import ParallelPrediction, PlannedComponent
from core.problem import LayerTime, Link, Problem, Server
from core.simulation import Interval, Timeline, parallel_prediction, simulate
from optimizer.components import plan_components
from tests.unit.optimizer.strategies import problems

RTT = 0.5


def problem_of(
    tensors: Mapping[str, tuple[int, str | None, tuple[str | None, ...]]],
    seconds: Mapping[str, Mapping[str, LayerTime]],
    pairs: tuple[tuple[str, str], ...] | None = None,
) -> Problem:
    """Tensors as (bytes, source, consumers); seconds by server and layer; links of 100 bytes/s and 0.5 s."""
    servers = list(seconds)
    layers = list(dict.fromkeys(name for times in seconds.values() for name in times))
    links = [(a, b) for a in servers for b in servers if a != b] if pairs is None else pairs
    return Problem(
        ModelGraph(
            "net",
            tuple(Layer(name, quantizable=True) for name in layers),
            tuple(Tensor(name, *rest) for name, rest in tensors.items()),
        ),
        tuple(Server(name) for name in servers),
        tuple(Link(source, target, 100.0, RTT) for source, target in links),
        seconds,
    )


def times(**seconds: float) -> dict[str, LayerTime]:
    return {name: LayerTime(value, value / 2) for name, value in seconds.items()}


def followed(problem: Problem, placement: Mapping[str, str], quantized: tuple[str, ...] = ()) -> Timeline:
    return simulate(problem, plan_components(problem.model, placement, problem.device), quantized)


def promised(problem: Problem, placement: Mapping[str, str], quantized: tuple[str, ...] = ()) -> ParallelPrediction:
    return parallel_prediction(problem, plan_components(problem.model, placement, problem.device), quantized)


FORK = {
    "in": (0, None, ("a", "b")),
    "ta": (100, "a", ("join",)),
    "tb": (200, "b", ("join",)),
    "out": (0, "join", (None,)),
}


def test_a_chain_takes_its_sum() -> None:
    problem = problem_of(
        {"in": (100, None, ("a",)), "t": (200, "a", ("b",)), "out": (50, "b", (None,))},
        {"device": times(a=1.0, b=2.0), "edge": times(a=3.0, b=4.0)},
    )
    placement = {"a": "device", "b": "edge"}
    timeline = followed(problem, placement)
    assert timeline == Timeline(
        1.0 + (2.0 + RTT) + 4.0 + (0.5 + RTT),
        (
            Interval("device", 0, 0.0, 0.0, "device", "in"),
            Interval("device", 1, 0.0, 1.0),
            Interval("device", 1, 1.0, 3.5, "edge", "t"),
            Interval("edge", 2, 3.5, 7.5),
            Interval("edge", 2, 7.5, 8.5, "device", "out"),
        ),
    )
    assert promised(problem, placement) == ParallelPrediction(8.5, 4.0, "edge")


def test_branches_on_two_servers_overlap() -> None:
    # Edge has its input at 0.5 and runs b until 5.5; 2.5 s back to the device, where a has long been done.
    problem = problem_of(FORK, {"device": times(a=4.0, b=5.0, join=1.0), "edge": times(a=4.0, b=5.0, join=1.0)})
    components = (
        PlannedComponent(0, "device", 0, (), {"in": (1, 2)}),
        PlannedComponent(1, "device", 1, ("in",), {"ta": (3,)}, ("a",)),
        PlannedComponent(2, "edge", 1, ("in",), {"tb": (3,)}, ("b",)),
        PlannedComponent(3, "device", 1, ("ta", "tb"), {"out": (4,)}, ("join",)),
        PlannedComponent(4, "device", 0, ("out",), {}),
    )
    timeline = simulate(problem, components, ())
    assert timeline.latency_seconds == 0.5 + 5.0 + 2.5 + 1.0
    computing = {(one.server, one.start, one.end) for one in timeline.intervals if one.target is None}
    assert computing == {("device", 0.0, 4.0), ("edge", 0.5, 5.5), ("device", 8.0, 9.0)}


def test_components_that_are_too_coarse_destroy_overlap() -> None:
    # As above, but a and join are one component, which waits for b before it begins with a.
    problem = problem_of(FORK, {"device": times(a=4.0, b=5.0, join=1.0), "edge": times(a=4.0, b=5.0, join=1.0)})
    assert followed(problem, {"a": "device", "b": "edge", "join": "device"}).latency_seconds == 8.0 + 5.0


def test_a_busy_server_makes_components_wait() -> None:
    # b and c are ready at 0.5 and 1.0 on edge: the second waits for the first.
    problem = problem_of(
        {
            "in1": (0, None, ("b",)),
            "in2": (0, None, ("c",)),
            "tb": (0, "b", (None,)),
            "tc": (0, "c", (None,)),
        },
        {"device": {}, "edge": times(b=3.0, c=4.0)},
    )
    timeline = followed(problem, {"b": "edge", "c": "edge"})
    computing = [(one.start, one.end) for one in timeline.intervals if one.target is None]
    assert computing == [(0.5, 3.5), (3.5, 7.5)]
    assert timeline.latency_seconds == 7.5 + RTT


def test_a_sender_sends_one_tensor_at_a_time_whatever_the_target() -> None:
    # Generator to edge until 1.0, where it is 0.5 later; to cloud only then, until 3.0 and 3.5.
    problem = problem_of(
        {
            "in1": (100, None, ("b",)),
            "in2": (200, None, ("c",)),
            "tb": (0, "b", (None,)),
            "tc": (0, "c", (None,)),
        },
        {"device": {}, "edge": times(b=1.0), "cloud": times(c=1.0)},
    )
    placement = {"b": "edge", "c": "cloud"}
    assert followed(problem, placement).latency_seconds == 1.0 + 2.5 + 1.0 + RTT
    assert promised(problem, placement) == ParallelPrediction(5.0, 3.0, "device → edge, cloud")


def test_tensors_follow_each_other_while_the_first_is_under_way_and_nothing_waits_for_replies() -> None:
    problem = problem_of(
        {"t1": (100, None, ("a",)), "t2": (100, None, ("a",)), "out": (0, "a", (None,))},
        {"device": {}, "edge": times(a=1.0)},
    )
    assert followed(problem, {"a": "edge"}).latency_seconds == 2.0 + RTT + 1.0 + RTT
    links = tuple(replace(link, reply_seconds=0.4 * RTT) for link in problem.links)
    sooner = replace(problem, links=links)
    assert followed(sooner, {"a": "edge"}).latency_seconds == pytest.approx(2.0 + 0.6 * RTT + 1.0 + 0.6 * RTT)
    assert promised(sooner, {"a": "edge"}).seconds_per_request == 2.0


def test_sending_overlaps_with_computing() -> None:
    # a's tensor travels from 1 to 3.5 while b runs on the device from 1 to 11.
    problem = problem_of(
        {
            "in": (0, None, ("a",)),
            "t": (200, "a", ("c",)),
            "loose": (0, None, ("b",)),
            "tb": (0, "b", (None,)),
            "out": (0, "c", (None,)),
        },
        {"device": times(a=1.0, b=10.0), "edge": times(c=1.0)},
    )
    timeline = followed(problem, {"a": "device", "b": "device", "c": "edge"})
    assert timeline.latency_seconds == 11.0
    assert Interval("device", 1, 1.0, 3.5, "edge", "t") in timeline.intervals


def test_a_tensor_goes_once_to_a_server() -> None:
    problem = problem_of(
        {
            "in": (100, None, ("a", "b")),
            "ta": (0, "a", ("c",)),
            "tc": (0, "c", ("b",)),
            "out": (0, "b", (None,)),
        },
        {"device": times(c=1.0), "edge": times(a=1.0, b=1.0)},
    )
    timeline = followed(problem, {"a": "edge", "b": "edge", "c": "device"})
    assert [one.tensor for one in timeline.intervals if one.tensor == "in"] == ["in"]
    assert timeline.latency_seconds == (1.0 + RTT) + 1.0 + RTT + 1.0 + RTT + 1.0 + RTT


def test_int8_is_smaller_and_faster() -> None:
    problem = problem_of(
        {"in": (0, None, ("a",)), "t": (400, "a", ("b",)), "out": (400, "b", (None,))},
        {"device": times(a=2.0), "edge": times(b=2.0)},
    )
    placement = {"a": "device", "b": "edge"}
    assert followed(problem, placement).latency_seconds == 2.0 + 4.5 + 2.0 + 4.5
    assert followed(problem, placement, ("a",)).latency_seconds == 1.0 + 1.5 + 2.0 + 4.5


def test_a_self_link_takes_time_and_occupies_nothing() -> None:
    # 0.5 s for the input and for the output; a and b are one component, inside which nothing is sent.
    problem = problem_of(
        {"in": (0, None, ("a",)), "t": (0, "a", ("b",)), "out": (0, "b", (None,))},
        {"device": times(a=1.0, b=1.0)},
        pairs=(("device", "device"),),
    )
    prediction = promised(problem, {"a": "device", "b": "device"})
    assert prediction == ParallelPrediction(RTT + 2.0 + RTT, 2.0, "device")


def test_a_missing_link_is_refused() -> None:
    problem = problem_of(
        {"in": (0, None, ("a",)), "out": (0, "a", (None,))}, {"device": {}, "edge": times(a=1.0)}, pairs=()
    )
    with pytest.raises(InvalidArgumentError, match="'in' would go from device to edge"):
        followed(problem, {"a": "edge"})


@st.composite
def placed(draw: st.DrawFn) -> tuple[Problem, dict[str, str], tuple[str, ...]]:
    """A problem without listed self-links and negative times, and a placement that its links allow."""
    problem = draw(problems(most_layers=8))
    problem = replace(
        problem,
        links=tuple(link for link in problem.links if link.source != link.target),
        execution={
            server: {
                layer: replace(time, quantized_seconds=abs(time.quantized_seconds or 0.0))
                for layer, time in seconds.items()
            }
            for server, seconds in problem.execution.items()
        },
    )
    placement = {}
    for layer in problem.model.by_name:
        servers = problem.allowed_servers(layer)
        placement[layer] = draw(st.sampled_from(servers)) if servers else problem.device
    quantized = tuple(layer for layer in problem.model.quantizable if draw(st.booleans()))
    return problem, placement, quantized


def _possible(problem: Problem, placement: Mapping[str, str], quantized: tuple[str, ...]) -> bool:
    allowed = all(server in problem.allowed_servers(layer) for layer, server in placement.items())
    return allowed and predict(problem, placement, quantized) is not None


@settings(deadline=None, max_examples=200)
@given(placed())
def test_overlap_saves_time_but_loses_nothing(case: tuple[Problem, dict[str, str], tuple[str, ...]]) -> None:
    problem, placement, quantized = case
    if not _possible(problem, placement, quantized):
        return
    timeline, prediction = followed(problem, placement, quantized), promised(problem, placement, quantized)
    summed = predict(problem, placement, quantized)
    assert summed is not None
    assert timeline.latency_seconds == prediction.latency_seconds
    assert timeline.latency_seconds <= summed.latency_seconds + 1e-9
    assert timeline.latency_seconds >= prediction.seconds_per_request - 1e-9
    assert sum(one.end - one.start for one in timeline.intervals) == pytest.approx(summed.latency_seconds)
    assert timeline.latency_seconds >= _longest_path(problem, placement, quantized) - 1e-9
    _check_exclusive(problem, timeline)


def _longest_path(problem: Problem, placement: Mapping[str, str], quantized: tuple[str, ...]) -> float:
    where = {**placement, GENERATOR: problem.device, RECEIVER: problem.device}
    ends: dict[str, float] = {}
    for layer in problem.model.topological_order:
        begin = 0.0
        for tensor in problem.model.tensors:
            if layer in tensor.targets:
                made = tensor.producer in quantized
                sent = problem.sending_seconds(tensor, where[tensor.producer], where[layer], made)
                assert sent is not None
                begin = max(begin, ends[tensor.producer] + sent)
        own = layer in placement
        ends[layer] = begin + (compute_seconds(problem, layer, where[layer], layer in quantized) if own else 0.0)
    return max(ends.values())


def _check_exclusive(problem: Problem, timeline: Timeline) -> None:
    """No server computes, and no sender sends to others, two things at once."""
    for queue in ("compute", "send"):
        by_server: dict[str, list[Interval]] = {}
        for one in timeline.intervals:
            if (one.target is None) == (queue == "compute") and one.target != one.server:
                by_server.setdefault(one.server, []).append(one)
        for intervals in by_server.values():
            ordered = sorted(intervals, key=lambda one: (one.start, one.end))
            for one, other in itertools.pairwise(ordered):
                delay = problem.delay_seconds(one.server, one.target) if one.target else 0.0
                assert one.end - delay <= other.start + 1e-9


@settings(deadline=None, max_examples=100)
@given(placed())
def test_a_chain_of_layers_takes_its_sum(case: tuple[Problem, dict[str, str], tuple[str, ...]]) -> None:
    problem, placement, quantized = case
    names = list(problem.model.by_name)
    ends = [None, *names, None]
    tensors = tuple(Tensor(f"t{i}", 16 * i, ends[i], (ends[i + 1],)) for i in range(len(names) + 1))
    known = {tensor.name for tensor in tensors}
    borders = {
        server: {name: border for name, border in times.items() if name in known}
        for server, times in problem.borders.items()
    }
    problem = replace(
        problem,
        model=replace(problem.model, tensors=tensors),
        borders=borders,
        compression={name: one for name, one in problem.compression.items() if name in known},
        quantized_compression={name: one for name, one in problem.quantized_compression.items() if name in known},
    )
    if not _possible(problem, placement, quantized):
        return
    summed = predict(problem, placement, quantized)
    assert summed is not None
    assert followed(problem, placement, quantized).latency_seconds == pytest.approx(summed.latency_seconds)
