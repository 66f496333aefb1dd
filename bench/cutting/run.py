"""The same model whole and in parts, in turns on one thread; and what the cut tensors take to the next process."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import onnx

from bench.cutting.cuts import narrowest_cuts
from bench.prediction.models import BenchModel, detector, transformer
from bench.transport.results import LOOPBACK, Results
from bench.transport.run import measure_loopback
from bench.transport.sending import SHARED
from core.deployment import Component, Division
from core.plan import Plan
from core.profiles import ModelProfilerSettings, RuntimeSettings
from core.progress import Progress, no_progress
from core.tensors import Array
from inferencer.session import Session, run_clock
from model_divider.divide import divide
from model_pool.admission import admit
from optimizer.components import plan_components
from profilers.model_graph import model_signature, read_graph
from profilers.random_inputs import random_inputs

PARTS = (2, 4, 8)

ROUNDS, TRANSFERS = 31, 60

BATCH = 3
"""Runs after each other in a turn, of which the quickest counts: the others meet more of what else the machine does."""


@dataclass(frozen=True)
class CutResult:
    """A model in parts.

    Attributes:
        parts: how many.
        seconds: of all parts together, median.
        overhead: of the whole's time, median over rounds.
        crossing_bytes: of every tensor that goes from part to part.
        hop_seconds: what these take to another process of this machine and the reply back, added up.
        raw_seconds: what they take over a raw socket.
    """

    parts: int
    seconds: float
    overhead: float
    crossing_bytes: tuple[int, ...]
    hop_seconds: float
    raw_seconds: float


@dataclass(frozen=True)
class CuttingResults:
    """The model, its whole time, and each way to cut it."""

    model: str
    whole_seconds: float
    cuts: tuple[CutResult, ...]


def standard_model() -> BenchModel:
    """PP-OCRv4's text detector."""
    return BenchModel("PP-OCRv4 detector", detector, {"x": (1, 3, 640, 640)})


def quick_model() -> BenchModel:
    """A small transformer, for a try."""
    return BenchModel("small transformer", partial(transformer, blocks=2), {})


def run(model: BenchModel, rounds: int = ROUNDS, progress: Progress = no_progress) -> CuttingResults:
    """Measure ``model`` whole and in parts.

    Raises:
        InvalidArgumentError: the model's package is not installed.
    """
    progress(0.0, f"{model.name}: cutting")
    data = admit(model.read(), model.input_shapes).data
    graph = read_graph(onnx.load_model_from_string(data), model.name, ModelProfilerSettings(quantizable_count=0))
    signature, _ = model_signature(onnx.load_model_from_string(data))
    inputs = random_inputs(signature, 1, 0)[0]
    runtime = RuntimeSettings()
    chains = {1: Chain.of_whole(data, runtime)}
    for parts in PARTS:
        placement = {
            name: f"part {index}" for index, layers in enumerate(narrowest_cuts(graph, parts)) for name in layers
        }
        components = plan_components(graph, placement, "part 0")
        plan = Plan(graph.name, "feasible", placement=placement, components=components)
        chains[parts] = Chain.of_parts(*divide(data, "bench", plan, {}, ModelProfilerSettings().quantization), runtime)
    times: dict[int, list[float]] = {parts: [] for parts in chains}
    for number in range(rounds):
        progress(0.1 + 0.6 * number / rounds, f"round {number + 1} of {rounds}")
        for parts, chain in chains.items():
            seconds = min(chain.seconds(inputs) for _ in range(BATCH))
            times[parts].append(seconds)
    progress(0.7, "the tensors between the parts")
    crossing = {parts: chains[parts].crossing_bytes for parts in PARTS}
    sizes = sorted({size for found in crossing.values() for size in found})
    hops = Results({LOOPBACK: measure_loopback(tuple((size, TRANSFERS) for size in sizes))}, "")
    results = []
    for parts in PARTS:
        overhead = statistics.median(mine / whole for mine, whole in zip(times[parts], times[1], strict=True)) - 1
        # Components make large outputs there, which takes less.
        hop = sum(hops.seconds(LOOPBACK, f"{SHARED}_written", size) for size in crossing[parts])
        raw = sum(hops.seconds(LOOPBACK, "raw", size) for size in crossing[parts])
        results.append(CutResult(parts, statistics.median(times[parts]), overhead, crossing[parts], hop, raw))
    progress(1.0, "measured")
    return CuttingResults(model.name, statistics.median(times[1]), tuple(results))


class Chain:
    """Sessions that make a model's outputs one after another.

    Args:
        steps: in the order in which they run.
        needs: the inputs of each.
        crossing_bytes: of every tensor that goes from one to another.
        runtime: with which the sessions run.
    """

    def __init__(
        self,
        steps: list[Session],
        needs: list[tuple[str, ...]],
        crossing_bytes: tuple[int, ...],
        runtime: RuntimeSettings,
    ) -> None:
        self._steps = list(zip(steps, needs, strict=True))
        self._clock = run_clock(runtime)
        self.crossing_bytes = crossing_bytes

    @classmethod
    def of_whole(cls, data: bytes, runtime: RuntimeSettings) -> "Chain":
        """The model as it is."""
        inputs, _ = model_signature(onnx.load_model_from_string(data))
        return cls([Session(data, runtime)], [tuple(spec.name for spec in inputs)], (), runtime)

    @classmethod
    def of_parts(cls, division: Division, blobs: Mapping[str, bytes], runtime: RuntimeSettings) -> "Chain":
        """The components of a division."""
        own = {spec.name for spec in division.inputs}
        components: tuple[Component, ...] = division.components
        return cls(
            [Session(blobs[component.blob], runtime) for component in components],
            [tuple(spec.name for spec in component.inputs) for component in components],
            tuple(spec.byte_count for one in components for spec in one.inputs if spec.name not in own),
            runtime,
        )

    def seconds(self, inputs: Mapping[str, Array]) -> float:
        """Run once; returns the processor seconds of all sessions together."""
        tensors = dict(inputs)
        start = self._clock()
        for session, needs in self._steps:
            tensors.update(session.run({name: tensors[name] for name in needs}))
        return self._clock() - start


def summary(results: CuttingResults) -> dict[str, object]:
    """The headline figures and all others."""
    return {
        **{f"overhead_{cut.parts}": cut.overhead for cut in results.cuts},
        "hop_ratio": max(cut.hop_seconds / cut.raw_seconds for cut in results.cuts),
        "model": results.model,
        "whole_seconds": results.whole_seconds,
        "cuts": results.cuts,
    }
