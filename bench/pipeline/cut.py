"""A model in two parts for two equal servers: at its narrow middle, or as planned for the most answers per second."""

import hashlib
import statistics
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import onnx

from bench.prediction.models import BenchModel
from core.deployment import Division
from core.errors import InvalidArgumentError
from core.graph import ModelGraph
from core.objective import Objective, SolverOptions
from core.plan import Plan
from core.problem import Link, Problem, Server
from core.profiles import ExecutionProfile, ModelProfile, ModelProfilerSettings, RuntimeSettings
from core.progress import Progress, no_progress
from core.tensors import Array, TensorSpec
from inferencer.session import Session, run_clock
from model_divider.divide import divide
from model_pool.admission import admit
from optimizer.components import plan_components
from optimizer.plan import make_plan
from profilers.execution import profile_execution
from profilers.model_graph import model_signature, read_graph
from profilers.random_inputs import random_inputs

BYTES_PER_SECOND, RTT_SECONDS = 1e9, 1e-3
"""About what processes of one machine have between them."""

RUNS = 7
"""How often a part is timed."""

PLAN_SECONDS = 20.0
"""Most time for the planner."""

SERVERS = ("device", "edge")

FRONT_END = None
"""Makes the model's inputs and consumes its outputs, as graphs have it; it is on the first server."""

Divided = tuple[Division, Mapping[str, bytes]]


@dataclass(frozen=True)
class Halves:
    """A model, and what of it each of two servers runs.

    Attributes:
        data: the model, admitted.
        graph: its layers.
        digest: its content hash.
        inputs: one request.
        first: names of the layers of the first server, where requests start.
    """

    data: bytes
    graph: ModelGraph
    digest: str
    inputs: Mapping[str, Array]
    first: frozenset[str]

    @property
    def forth_bytes(self) -> int:
        """Of the tensors that go from the first server to the second."""
        return crossing_bytes(self.graph, {*self.first, FRONT_END})

    @property
    def back_bytes(self) -> int:
        """Of those that come back."""
        return crossing_bytes(self.graph, self.graph.by_name.keys() - self.first)

    def divided(self, first: str, second: str, device: str) -> Divided:
        """The sub-models where ``first`` and ``second`` are the names of the servers."""
        placement = {name: first if name in self.first else second for name in self.graph.by_name}
        components = plan_components(self.graph, placement, device)
        plan = Plan(self.graph.name, "feasible", placement=placement, components=components)
        return divide(self.data, self.digest, plan, {}, ModelProfilerSettings().quantization)

    def seconds(self) -> tuple[float, float]:
        """Time what each server takes alone on a core, by processor time on one thread."""
        division, blobs = self.divided(*SERVERS, SERVERS[0])
        seconds = dict.fromkeys(SERVERS, 0.0)
        for component in division.components:
            seconds[component.server] += run_seconds(blobs[component.blob], component.inputs)
        return seconds[SERVERS[0]], seconds[SERVERS[1]]


def halved(model: BenchModel) -> Halves:
    """Cut a model where least crosses in the middle third of its layers.

    Raises:
        InvalidArgumentError: the model is not installed.
    """
    data, graph, digest, inputs = _read(model)[:4]
    order = [name for name in graph.topological_order if name in graph.by_name]
    thirds = range(max(1, len(order) // 3), 1 + max(1, 2 * len(order) // 3))
    cuts = sorted(thirds, key=lambda count: abs(2 * count - len(order)))
    firsts = (frozenset(order[:count]) for count in cuts)
    first = min(firsts, key=lambda layers: crossing_bytes(graph, {*layers, FRONT_END}))
    return Halves(data, graph, digest, inputs, first)


def divided_by_plan(model: BenchModel, progress: Progress = no_progress) -> Halves:
    """Profile a model on this machine and have the planner divide it.

    Raises:
        InvalidArgumentError: the model is not installed, or the planner would not divide it.
    """
    data, graph, digest, inputs, profile = _read(model)
    first = planned(graph, profile_execution(data, profile, "bench", RuntimeSettings(), progress))
    return Halves(data, graph, digest, inputs, first)


def _read(model: BenchModel) -> tuple[bytes, ModelGraph, str, Mapping[str, Array], ModelProfile]:
    data = admit(model.read(), model.input_shapes).data
    parsed = onnx.load_model_from_string(data)
    settings = ModelProfilerSettings(quantizable_count=0)
    graph, digest = read_graph(parsed, model.name, settings), hashlib.sha256(data).hexdigest()
    inputs, outputs = model_signature(parsed)
    sample = random_inputs(inputs, 1, settings.random_seed)[0]
    return data, graph, digest, sample, ModelProfile(digest, settings, graph, inputs, outputs, {})


def planned(graph: ModelGraph, execution: ExecutionProfile) -> frozenset[str]:
    """The layers that the planner leaves on the first of two equal servers, the device, for the most throughput.

    Raises:
        InvalidArgumentError: one server alone answers as many requests.
    """
    first, second = SERVERS
    problem = Problem(
        model=graph,
        servers=tuple(map(Server, SERVERS)),
        links=tuple(Link(one, other, BYTES_PER_SECOND, RTT_SECONDS) for one, other in (SERVERS, (second, first))),
        execution=dict.fromkeys(SERVERS, execution.layers),
        borders=dict.fromkeys(SERVERS, execution.borders),
        objective=Objective(goal="throughput"),
    )
    plan = make_plan(problem, SolverOptions(time_limit_seconds=PLAN_SECONDS))
    if len(set(plan.placement.values())) < len(SERVERS):
        raise InvalidArgumentError(f"two servers answer no more requests to {graph.name} than one; take a larger model")
    return frozenset(name for name, server in plan.placement.items() if server == first)


def crossing_bytes(graph: ModelGraph, here: Collection[str | None]) -> int:
    """Bytes of the tensors that go from some layers, of which ``FRONT_END`` may be one, to others."""
    return sum(
        tensor.bytes
        for tensor in graph.tensors
        if tensor.source in here and any(name not in here for name in tensor.consumers)
    )


def run_seconds(model: bytes, inputs: tuple[TensorSpec, ...]) -> float:
    """Median processor seconds of a run on one thread."""
    settings = RuntimeSettings()
    session, clock = Session(model, settings), run_clock(settings)
    seconds = []
    for _ in range(RUNS):
        start = clock()
        session.warm(inputs)
        seconds.append(clock() - start)
    return statistics.median(seconds)
