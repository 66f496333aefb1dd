"""Placing models at random on three servers, predicting each placement twice, and running it."""

import asyncio
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import onnx

from bench.prediction.deployed import Measured, Running, Servers, connected, divided, measured
from bench.prediction.models import BenchModel
from bench.prediction.placements import Placement, random_placements
from bench.prediction.predicted import Predicted, predicted
from bench.prediction.results import Method, PlacementResult
from bench.stolen import StolenTime
from core.plan import PlannedComponent
from core.problem import Link
from core.profiles import ExecutionProfile, ModelProfile, ModelProfilerSettings, RuntimeSettings, TimingMethod
from core.progress import Progress, no_progress, part
from core.tensors import Array
from model_divider.quantize import calibrate
from model_pool.admission import admit
from optimizer.components import plan_components
from partita.cluster import DEFAULT_SERVERS, embedded_cluster
from partita.results import InferReport
from profilers.execution import profile_execution
from profilers.model_graph import model_signature, read_graph
from profilers.random_inputs import random_inputs
from profilers.served_runs import ServedModel, usual
from services.runtime.worker import run_in_process

LEAST_SLOWDOWN = 1.25
"""By it the fastest server, too, takes a multiple of its own processor time: what the host takes from it is hidden."""

SERVERS = tuple(replace(server, slowdown=max(server.slowdown, LEAST_SLOWDOWN)) for server in DEFAULT_SERVERS)
"""A slow device, a faster edge server near it and a fast cloud server far away, much as ``partita up`` starts them."""

SLOWDOWNS = {server.name: server.slowdown for server in SERVERS}

REFERENCE_RUNS = 3
"""Of the undivided model after each request to a placement: a single one takes a seventh more or less than others."""

Components = tuple[PlannedComponent, ...]

METHODS: Mapping[Method, TimingMethod] = {"ours": "profiler", "thesis": "layer-by-layer"}

WARM_UP = 2
"""First requests to a placement, which do not count."""

MOST_ROUNDS, QUIET = 3, 0.05
"""Where the host kept back more than this share of the processor time, there are more requests, up to so many times."""

MOST_PROFILES, DRIFT = 3, 0.1
"""Where the machine has become faster or slower by more than this share, it is profiled anew, up to so many times."""


async def run(
    models: Sequence[BenchModel], placements: int, requests: int, seed: int, progress: Progress = no_progress
) -> list[PlacementResult]:
    """Measure ``placements`` random placements of each model, each by ``requests`` requests, more on a busy machine.

    A model's layers are timed by both methods first. While a placement is measured, its requests take turns with
    runs of the whole float model in this process: how much longer or shorter these take than when the layers
    were timed tells how fast the machine is now, and predictions are scaled by it. So what other programs take from
    the machine is not mistaken for an error of the prediction. A machine that has changed by more than ``DRIFT`` is
    another one, whose layers keep to other proportions: it is profiled anew.

    Raises:
        PartitaError: a model is not installed, or the cluster fails.
    """
    progress(0.0, "starting three servers")
    results: list[PlacementResult] = []
    async with embedded_cluster(SERVERS) as cluster, connected(cluster.address) as servers:
        for number, model in enumerate(models):
            share = 1 / len(models)
            bench = _Bench(servers, model, requests, part(progress, number * share, share))
            results += await bench.run(placements, seed)
    return results


@dataclass(frozen=True)
class _Profiled:
    """The machine as it was at one time: the layers by each method, and the links."""

    executions: Mapping[Method, ExecutionProfile]
    links: Sequence[Link]

    def drift(self, whole_seconds: float) -> float:
        """How far the machine is from then, where the undivided model takes this; 0.1 is a tenth faster or slower."""
        return abs(math.log(whole_seconds / self.executions["ours"].whole_seconds))


class _Bench:
    """One model on the servers."""

    def __init__(self, servers: Servers, model: BenchModel, requests: int, progress: Progress) -> None:
        self._servers = servers
        self._model = model
        self._requests = requests
        self._progress = progress

    async def run(self, placements: int, seed: int) -> list[PlacementResult]:
        """Time the model's layers and the links, and measure its placements."""
        self._progress(0.0, f"{self._model.name}: timing layers")
        data, profile, inputs = await asyncio.to_thread(_prepare, self._model)
        known = [await self._profiled(data, profile)]
        device = SERVERS[0].name
        reference = await asyncio.to_thread(ServedModel, data, RuntimeSettings())

        def result(placement: Placement, parts: Components, taken: Measured, own_seconds: float) -> PlacementResult:
            nearest = min(known, key=lambda one: one.drift(own_seconds))
            executions = nearest.executions

            def predict(method: Method, speed: float) -> Predicted:
                return predicted(profile.graph, executions[method], SLOWDOWNS, nearest.links, parts, placement, speed)

            speeds = {method: own_seconds / execution.whole_seconds for method, execution in executions.items()}
            return PlacementResult(
                model=self._model.name,
                scattered=placement.scattered,
                components=sum(bool(component.layers) for component in parts),
                quantized=len(placement.quantized),
                speeds=speeds,
                measured=taken,
                predicted={method: predict(method, speeds[method]) for method in METHODS},
                unscaled_seconds={method: predict(method, 1.0).seconds for method in METHODS},
            )

        results: list[PlacementResult] = []
        drawn = random_placements(profile.graph, [server.name for server in SERVERS], placements, seed)
        for number, placement in enumerate(drawn):
            self._progress((number + 1) / (placements + 1), f"{self._model.name}: placement {number + 1}")
            components = plan_components(profile.graph, placement.servers, device)
            async with self._servers.deployed(*await divided(data, profile, placement, components), device) as running:
                taken, own_seconds = await self._measure(running, reference, inputs)
            if len(known) < MOST_PROFILES and min(one.drift(own_seconds) for one in known) > DRIFT:
                known.append(await self._profiled(data, profile))
            results.append(result(placement, components, taken, own_seconds))
        return results

    async def _profiled(self, data: bytes, profile: ModelProfile) -> _Profiled:
        executions: dict[Method, ExecutionProfile] = {}
        for method, timing in METHODS.items():
            runtime = RuntimeSettings(timing=timing)
            executions[method] = await run_in_process(
                profile_execution, data, profile, "bench", runtime, progress=no_progress
            )
        return _Profiled(executions, await self._servers.links())

    async def _measure(
        self, running: Running, reference: ServedModel, inputs: Mapping[str, Array]
    ) -> tuple[Measured, float]:
        """What the placement takes, and what the reference takes meanwhile, at the machine's own speed.

        In turns, for a processor shared with strangers is slower and faster by a tenth within a minute. What counts
        are the turns from which the host kept back least.
        """
        turns: list[_Turn] = []
        for number in range(WARM_UP + MOST_ROUNDS * self._requests):
            if sum(turn.stolen < QUIET for turn in turns) >= self._requests:
                break
            stolen = StolenTime()
            report = await running.request(inputs)
            runs = [await asyncio.to_thread(reference.run, inputs) for _ in range(REFERENCE_RUNS)]
            if number >= WARM_UP:
                turns.append(_Turn(stolen.share, report, [seconds for seconds, _ in runs]))
        kept = sorted(turns, key=lambda turn: turn.stolen)[: self._requests]
        reference_seconds = [seconds for turn in kept for seconds in turn.reference_seconds]
        return measured([turn.report for turn in kept]), usual(reference_seconds)


@dataclass(frozen=True)
class _Turn:
    """A request to a placement, and runs of the reference.

    Attributes:
        stolen: share of the processor time asked for meanwhile that the host kept back.
        report: of the request.
        reference_seconds: of each run, at the machine's own speed.
    """

    stolen: float
    report: InferReport
    reference_seconds: Sequence[float]


def _prepare(model: BenchModel) -> tuple[bytes, ModelProfile, Mapping[str, Array]]:
    """Admit a model, read its graph and calibrate its int8 layers on random inputs; noise is not asked for."""
    admitted = admit(model.read(), model.input_shapes)
    parsed = onnx.load_model_from_string(admitted.data)
    settings = ModelProfilerSettings()
    graph = read_graph(parsed, model.name, settings)
    inputs, outputs = model_signature(parsed)
    samples = random_inputs(inputs, 4, settings.random_seed)
    ranges = calibrate(parsed, graph.quantizable, samples)
    digest = hashlib.sha256(admitted.data).hexdigest()
    return admitted.data, ModelProfile(digest, settings, graph, inputs, outputs, ranges), samples[0]
