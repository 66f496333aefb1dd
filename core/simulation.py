"""What a plan does when servers and links work side by side: an event simulation of one request.

The rules, in which it follows the Inferencer:

- A component starts when all its inputs have arrived and sends its outputs when it ends. Its time is the sum of its
  layers' times; the tensors inside it are not sent, so they take no time.
- A server runs one component at a time, in the order in which they became ready; ties go to the lower id.
- A tensor is sent once to every server that needs it. A sender's tensors to other servers leave one after another, in
  the order in which their components ended, and of one component's those first that an earlier component waits for;
  each for bytes / throughput. They arrive after the link's delay, during which the next ones leave; senders do not
  disturb each other. A tensor to the sender itself takes its self-link's time and occupies nothing.
- Generator and receiver take no time.

All times come from ``core.cost`` and ``Problem.sending_seconds``.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from core.cost import HANDLING_SECONDS, compute_seconds
from core.errors import InvalidArgumentError
from core.plan import ParallelPrediction, PlannedComponent
from core.problem import NO_BORDER, Problem


class Send(NamedTuple):
    """One tensor on its way to one server.

    Attributes:
        seconds: how long the sender is at it.
        delay: how much later it arrives, in seconds.
        queued: whether it waits for the sender's earlier tensors and keeps later ones waiting.
        receivers: the tasks there that wait for it.
        target: the server, and ``tensor`` the tensor's name; only for reading.
    """

    seconds: float
    delay: float
    queued: bool
    receivers: tuple[int, ...]
    target: str = ""
    tensor: str = ""


Recorder = Callable[[int, float, float, Send | None], None]
"""Called with task, start, end and, for sending, what is sent."""


@dataclass(frozen=True)
class Interval:
    """Something that takes time in a request.

    Attributes:
        server: who computes or sends.
        component: id of the component that runs or whose output is sent.
        start: seconds from the beginning of the request.
        end: seconds from the beginning of the request.
        target: the server that a tensor is sent to; ``None`` for computing.
        tensor: its name.
    """

    server: str
    component: int
    start: float
    end: float
    target: str | None = None
    tensor: str | None = None


@dataclass(frozen=True)
class Timeline:
    """Who does what when in one request.

    Attributes:
        latency_seconds: when all outputs have arrived and all components have ended.
        intervals: computing and sending, in the order in which they were begun on.
    """

    latency_seconds: float
    intervals: tuple[Interval, ...]


@dataclass(frozen=True)
class _Tasks:
    """A component graph in seconds, by position of the component."""

    servers: list[int]
    seconds: list[float]
    waits: list[int]
    sends: list[list[Send]]


def simulate(problem: Problem, components: Sequence[PlannedComponent], quantized: Collection[str]) -> Timeline:
    """Follow one request through a plan's components.

    Args:
        components: of a plan, in topological order; generator first, receiver last.
        quantized: layers that are int8.

    Raises:
        InvalidArgumentError: a tensor would need a link that does not exist.
    """
    tasks = _tasks(problem, components, quantized)
    intervals: list[Interval] = []

    def record(task: int, start: float, end: float, send: Send | None) -> None:
        component = components[task]
        if send is not None:
            intervals.append(Interval(component.server, component.id, start, end, send.target, send.tensor))
        elif component.layers:
            intervals.append(Interval(component.server, component.id, start, end))

    latency = run(tasks.servers, tasks.seconds, tasks.waits, tasks.sends, len(problem.servers) + 1, record)
    return Timeline(latency, tuple(intervals))


def parallel_prediction(
    problem: Problem, components: Sequence[PlannedComponent], quantized: Collection[str]
) -> ParallelPrediction:
    """The latency of one request alone and the time between answers when requests fill the pipeline.

    The latter is what the busiest server computes for, or the busiest sender is at sending to others, in one request.
    Where the problem has border times, they and the handling of tensors that cross keep servers from computing.
    Arguments and errors are those of ``simulate``.
    """
    tasks = _tasks(problem, components, quantized)
    latency = run(tasks.servers, tasks.seconds, tasks.waits, tasks.sends, len(problem.servers) + 1)
    busy: dict[str, float] = {server.name: 0.0 for server in problem.servers}
    sending: dict[str, float] = dict.fromkeys(busy, 0.0)
    targets: dict[str, dict[str, None]] = {name: {} for name in busy}
    producers = {tensor.name: tensor.producer for tensor in problem.model.tensors}
    for component, seconds, sends in zip(components, tasks.seconds, tasks.sends, strict=True):
        busy[component.server] += seconds
        for send in sends:
            if send.queued:
                sending[component.server] += send.seconds
                targets[component.server][send.target] = None
                made = producers[send.tensor] in quantized
                busy[component.server] += _processor_seconds(problem, component.server, send.tensor, True, made)
                busy[send.target] += _processor_seconds(problem, send.target, send.tensor, False, made)
    loads = busy | {f"{name} → {', '.join(targets[name])}": value for name, value in sending.items() if targets[name]}
    bottleneck = max(loads, key=loads.__getitem__)
    return ParallelPrediction(latency, loads[bottleneck], bottleneck)


def run(
    servers: Sequence[int],
    seconds: Sequence[float],
    waits: Sequence[int],
    sends: Sequence[Sequence[Send]],
    server_count: int,
    record: Recorder | None = None,
) -> float:
    """The event simulation itself, on tasks that are numbered in topological order.

    Args:
        servers: number of each task's server.
        seconds: each task's time.
        waits: for how many tensors it waits.
        sends: what it sends at its end, in order.
        server_count: servers are numbered below this.
        record: told what is done when.

    Returns:
        When the last task ends, in seconds.
    """
    missing = list(waits)
    arrived = [0.0] * len(missing)
    # Tasks come up in the order in which they become ready, so every server's and sender's queue is in order too.
    ready = [(0.0, task) for task, count in enumerate(missing) if not count]
    heapify(ready)
    free = [0.0] * server_count
    line = [0.0] * server_count
    finish = 0.0
    while ready:
        start, task = heappop(ready)
        server = servers[task]
        if free[server] > start:
            start = free[server]
        end = start + seconds[task]
        free[server] = end
        if end > finish:
            finish = end
        if record is not None:
            record(task, start, end, None)
        for send in sends[task]:
            duration, delay, queued, receivers, _, _ = send
            begin = end
            if queued:
                if line[server] > begin:
                    begin = line[server]
                line[server] = begin + duration
            arrival = begin + duration + delay
            if record is not None:
                record(task, begin, arrival, send)
            for receiver in receivers:
                if arrival > arrived[receiver]:
                    arrived[receiver] = arrival
                missing[receiver] -= 1
                if not missing[receiver]:
                    heappush(ready, (arrived[receiver], receiver))
    return finish


def _processor_seconds(problem: Problem, server: str, tensor: str, leaving: bool, quantized: bool) -> float:
    """See ``core.cost.CostTables.processor_seconds``."""
    if not problem.borders:
        return 0.0
    border = problem.borders.get(server, {}).get(tensor, NO_BORDER)
    return HANDLING_SECONDS + (border.leaving if leaving else border.entering)[quantized]


def _tasks(problem: Problem, components: Sequence[PlannedComponent], quantized: Collection[str]) -> _Tasks:
    numbers = {server.name: number for number, server in enumerate(problem.servers)}
    position = {component.id: index for index, component in enumerate(components)}
    tensors = {tensor.name: tensor for tensor in problem.model.tensors}
    waits = [0] * len(components)
    sends: list[list[Send]] = []
    for component in components:
        sends.append([])
        for tensor, receivers in component.outputs.items():
            by_server: dict[str, list[int]] = {}
            for receiver in receivers:
                by_server.setdefault(components[position[receiver]].server, []).append(position[receiver])
                waits[position[receiver]] += 1
            for target, tasks in by_server.items():
                sent = tensors[tensor]
                seconds = problem.sending_seconds(sent, component.server, target, sent.producer in quantized)
                if seconds is None:
                    raise InvalidArgumentError(
                        f"tensor {tensor!r} would go from {component.server} to {target}, but there is no such link"
                    )
                delay = problem.delay_seconds(component.server, target)
                queued = target != component.server
                sends[-1].append(Send(seconds - delay, delay, queued, tuple(tasks), target, tensor))
    # The receiver takes no time, so it need not wait until the device is free.
    nowhere = len(numbers)
    return _Tasks(
        servers=[
            nowhere if index and not component.layers else numbers[component.server]
            for index, component in enumerate(components)
        ],
        seconds=[_seconds(problem, component, quantized) for component in components],
        waits=waits,
        sends=sends,
    )


def _seconds(problem: Problem, component: PlannedComponent, quantized: Collection[str]) -> float:
    """The sum of the layers' times; negative ones, which are corrections, cannot outweigh the others."""
    times = (compute_seconds(problem, name, component.server, name in quantized) for name in component.layer_names)
    return max(0.0, sum(times))
