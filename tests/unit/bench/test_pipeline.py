"""The pipelining bench: its cut, its counting, and its figures."""

import asyncio
import os

import numpy as np
import pytest

from bench.pipeline.cut import FRONT_END, crossing_bytes, halved, planned
from bench.pipeline.load import Load, load
from bench.pipeline.results import ModelResult, summary
from bench.prediction.models import BenchModel
from core.deployment import ComponentRun
from core.errors import InvalidArgumentError
from core.graph import Layer, ModelGraph, Tensor
from core.problem import BorderTime, LayerTime
from core.profiles import ExecutionProfile
from partita.results import InferReport
from tests.unit.models import chain_model, random_inputs
from tests.unit.plans import run as run_model


def test_only_what_crosses_counts() -> None:
    layers = tuple(map(Layer, "abc"))
    tensors = (
        Tensor("in", 1, None, ("a", "c")),
        Tensor("x", 10, "a", ("b", "c")),
        Tensor("y", 100, "b", ("c", None)),
        Tensor("out", 1000, "c", (None,)),
    )
    graph = ModelGraph("g", layers, tensors)
    assert crossing_bytes(graph, {"a", FRONT_END}) == 11
    assert crossing_bytes(graph, {"b", "c"}) == 1100
    assert crossing_bytes(graph, {"a", "b", FRONT_END}) == 111
    assert crossing_bytes(graph, {"c"}) == 1000


def test_the_halves_are_the_model() -> None:
    model = BenchModel("chain", chain_model(8).SerializeToString, {})
    halves = halved(model)
    assert 0 < len(halves.first) < len(halves.graph.layers)
    assert halves.forth_bytes == 4 * 8 * 8 * 4
    assert halves.back_bytes == 4 * 8 * 8 * 4
    assert min(halves.seconds()) > 0
    division, blobs = halves.divided("a", "b", "a")
    assert {component.server for component in division.components} == {"a", "b"}
    values = {**halves.inputs}
    for component in division.components:
        values |= run_model(blobs[component.blob], {spec.name: values[spec.name] for spec in component.inputs})
    whole = run_model(halves.data, halves.inputs)
    np.testing.assert_allclose(values["features"], whole["features"], atol=1e-5)


def profile(graph: ModelGraph, seconds: float) -> ExecutionProfile:
    layers = {layer.name: LayerTime(seconds) for layer in graph.layers}
    borders = {tensor.name: BorderTime(1e-3, 1e-3) for tensor in graph.tensors}
    return ExecutionProfile("m", "here", layers, sum(one.seconds for one in layers.values()), None, 0, borders=borders)


def test_the_planner_shares_a_model_among_two_servers() -> None:
    graph = halved(BenchModel("chain", chain_model(8).SerializeToString, {})).graph
    first = planned(graph, profile(graph, seconds=0.01))
    assert 2 * len(first) == len(graph.layers)


def test_a_model_that_crossing_would_slow_down_is_refused() -> None:
    graph = halved(BenchModel("chain", chain_model(8).SerializeToString, {})).graph
    with pytest.raises(InvalidArgumentError, match="larger model"):
        planned(graph, profile(graph, seconds=1e-5))


class Server:
    """Answers at once, after its turn; counts how many requests it has at a time."""

    def __init__(self) -> None:
        self.most = self.now = self.answers = 0

    async def request(self, inputs: object) -> InferReport:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.001)
        self.now -= 1
        self.answers += 1
        runs = (ComponentRun(1, "a", 0.0, 0.25, 0.0), ComponentRun(2, "b", 0.0, 0.5, 0.0))
        return InferReport("r", 1, 1.0, (*runs, ComponentRun(3, "a", 0.0, 0.5, 0.0)))


async def test_load_keeps_requests_in_flight_and_adds_up_what_servers_compute() -> None:
    server = Server()
    found = await load(server, random_inputs(chain_model()), 3, 0.1, {os.getpid(): 7})  # type: ignore[arg-type]
    assert server.most == 3
    assert server.now == 0
    assert found.in_flight == 3
    assert found.answers_per_second > 0
    assert found.busy_seconds == pytest.approx({"a": 0.75, "b": 0.5})
    assert found.busiest_seconds == pytest.approx(0.75)
    assert found.core_seconds.keys() == {7}
    assert found.busiest_core_seconds >= 0


def result(link_rate: float = 4.5) -> ModelResult:
    def loads(*rates: float, core_seconds: float = 0.1) -> list[Load]:
        cores = {0: core_seconds, 1: core_seconds / 2}
        return [Load(8, rate, 8 / rate, {"a": 0.1, "b": 0.09}, cores) for rate in rates]

    return ModelResult(
        "m",
        1000,
        1.9,
        whole=loads(5, 4, 4.5, core_seconds=0.18),
        second=loads(5, 7, 4.5, core_seconds=0.2),
        halves=loads(8, 9, 9.9),
        independent=[9.0, 7.6, 9.5],
        curve=[Load(1, 5, 0.2, {"a": 0.08, "b": 0.08}, {0: 0.08, 1: 0.08})],
        link=[Load(8, rate, 1.0, {"a": 0.1, "b": 0.1}, {0: 0.1, 1: 0.1}) for rate in (link_rate, link_rate, 0.1)],
        link_seconds=0.2,
    )


def test_figures() -> None:
    figures = summary([result(), result(link_rate=3.0)])
    # The median of the turns' ratios is that of the second one: 9 by the mean of 4 and 7 a second.
    assert figures["two_core_speedup"] == pytest.approx(9 / 5.5)
    assert figures["models"]["m"]["whole_answers_per_second"] == pytest.approx(5)
    assert figures["best_speedup"] == pytest.approx(9.9 / 6)
    assert figures["independent_speedup"] == pytest.approx(1.8)
    assert figures["models"]["m"]["core_busy_share"] == pytest.approx(0.9)
    # The worse of both kinds of bound: 0.9 by the busiest server, 3 of 5 a second over the slow link.
    assert figures["bound_ratio"] == pytest.approx(0.6)
    assert summary([result()])["bound_ratio"] == pytest.approx(0.9)
    assert figures["models"]["m"]["processor_speedup"] == pytest.approx(1.9)
    assert figures["models"]["m"]["core_seconds"]["divided"] == pytest.approx({0: 0.1, 1: 0.05})
    assert figures["models"]["m"]["alone_bound_ratio"] == pytest.approx(0.72)
