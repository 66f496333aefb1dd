"""A model in two halves that take equally long."""

import hashlib
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from bench.prediction.models import BenchModel
from core.deployment import Division
from core.errors import InvalidArgumentError
from core.graph import ModelGraph
from core.plan import Plan
from core.profiles import ModelProfilerSettings, RuntimeSettings
from core.tensors import Array, TensorSpec
from inferencer.session import Session, run_clock
from model_divider.divide import divide
from model_pool.admission import admit
from optimizer.components import plan_components
from profilers.model_graph import model_signature, read_graph
from profilers.random_inputs import random_inputs

NARROW_BYTES = 1_000_000
"""Cuts that more bytes cross are not taken: what is measured is overlapping, not a fast link."""

RUNS = 7
"""How often a half is timed."""

Divided = tuple[Division, Mapping[str, bytes]]


@dataclass(frozen=True)
class Halves:
    """A model, and what of it each of two servers runs.

    Attributes:
        data: the model, admitted.
        graph: its layers.
        digest: its content hash.
        first: names of the layers of the first half.
        seconds: what the slower half takes alone on a core.
        both_seconds: what both halves take, added up.
        crossing_bytes: of the tensors between the halves.
        inputs: one request.
    """

    data: bytes
    graph: ModelGraph
    digest: str
    first: frozenset[str]
    seconds: float
    both_seconds: float
    crossing_bytes: int
    inputs: Mapping[str, Array]

    def divided(self, first: str, second: str, device: str) -> Divided:
        """The sub-models where server ``first`` runs the first half and ``second`` the other one."""
        return _divided(self.data, self.graph, self.digest, self.first, (first, second), device)


def halved(model: BenchModel) -> Halves:
    """Find by bisection the narrow cut whose first half takes half of the time.

    Raises:
        InvalidArgumentError: the model is not installed, or has no narrow cut.
    """
    data = admit(model.read(), model.input_shapes).data
    parsed = onnx.load_model_from_string(data)
    settings = ModelProfilerSettings(quantizable_count=0)
    graph, digest = read_graph(parsed, model.name, settings), hashlib.sha256(data).hexdigest()
    inputs, _ = model_signature(parsed)
    order = [name for name in graph.topological_order if name in graph.by_name]
    cuts = [frozenset(order[:count]) for count in range(1, len(order))]
    cuts = [first for first in cuts if crossing_bytes(graph, first) <= NARROW_BYTES]
    if not cuts:
        raise InvalidArgumentError(
            f"{model.name} has no cut that at most {NARROW_BYTES} bytes cross; take another model"
        )
    timed: dict[int, tuple[float, float]] = {}
    low, high = 0, len(cuts) - 1
    while low <= high:
        middle = (low + high) // 2
        division, blobs = _divided(data, graph, digest, cuts[middle], ("a", "b"), "a")
        seconds = {"a": 0.0, "b": 0.0}
        for component in division.components:
            seconds[component.server] += run_seconds(blobs[component.blob], component.inputs)
        timed[middle] = (seconds["a"], seconds["b"])
        if seconds["a"] < seconds["b"]:
            low = middle + 1
        else:
            high = middle - 1
    best = min(timed, key=lambda index: max(timed[index]))
    first = cuts[best]
    sample = random_inputs(inputs, 1, settings.random_seed)[0]
    slower, both = max(timed[best]), sum(timed[best])
    return Halves(data, graph, digest, first, slower, both, crossing_bytes(graph, first), sample)


def crossing_bytes(graph: ModelGraph, first: frozenset[str]) -> int:
    """Bytes of the tensors that go from the layers ``first`` to others."""
    return sum(
        tensor.bytes
        for tensor in graph.tensors
        if tensor.source in first and any(name is not None and name not in first for name in tensor.consumers)
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


def _divided(
    data: bytes, graph: ModelGraph, digest: str, first: frozenset[str], servers: tuple[str, str], device: str
) -> Divided:
    placement = {name: servers[0] if name in first else servers[1] for name in graph.by_name}
    plan = Plan(graph.name, "feasible", placement=placement, components=plan_components(graph, placement, device))
    return divide(data, digest, plan, {}, ModelProfilerSettings().quantization)
