import json
import math
import subprocess
import sys
from dataclasses import replace

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.prediction.deployed import Measured
from bench.prediction.models import inception, transformer
from bench.prediction.placements import Placement, random_placements
from bench.prediction.predicted import Predicted, predicted
from bench.prediction.results import PlacementResult, summary
from core.graph import Layer, ModelGraph, Tensor
from core.problem import BorderTime, LayerTime, Link
from core.profiles import ExecutionProfile
from model_pool.admission import admit
from optimizer.components import plan_components

SERVERS = ("device", "edge", "cloud")


def chain(count: int) -> ModelGraph:
    names = [f"/{index}" for index in range(count)]
    tensors = [Tensor("in", 1000, None, (names[0],))]
    tensors += [Tensor(f"t{i}", 1000, names[i], (names[i + 1],)) for i in range(count - 1)]
    tensors.append(Tensor("out", 1000, names[-1], (None,)))
    return ModelGraph("chain", tuple(Layer(name, quantizable=True) for name in names), tuple(tensors))


@settings(deadline=None)
@given(st.integers(2, 40), st.integers(1, 12), st.integers(0, 1000))
def test_placements_are_complete_repeatable_and_cut(layers, count, seed):
    graph = chain(layers)
    drawn = random_placements(graph, SERVERS, count, seed)
    assert drawn == random_placements(graph, SERVERS, count, seed)
    for placement in drawn:
        assert placement.servers.keys() == graph.by_name.keys()
        assert set(placement.servers.values()) <= set(SERVERS)
        assert set(placement.quantized) <= set(graph.quantizable)
        assert placement.scattered or len(set(placement.servers.values())) > 1
    assert sum(placement.scattered for placement in drawn) == count // 5


def test_a_prediction_adds_up_what_the_layers_and_links_take():
    graph = chain(3)
    placement = Placement({"/0": "edge", "/1": "edge", "/2": "device"}, ("/0",), scattered=False)
    execution = ExecutionProfile("hash", "print", {name: LayerTime(1.0, 0.5) for name in graph.by_name}, 3.0, 1.5, 3.0)
    links = [Link("device", "edge", 1000, 0.25), Link("edge", "device", 1000, 0.25)]
    components = plan_components(graph, placement.servers, "device")
    found = predicted(graph, execution, {"device": 4.0, "edge": 2.0}, links, components, placement, speed=1.5)
    expected = [1.5 * 2 * (0.5 + 1.0), 1.5 * 4 * 1.0]
    assert list(found.components.values()) == pytest.approx(expected)
    assert found.seconds == pytest.approx(sum(expected) + 2.5)
    with_borders = replace(execution, borders={"t1": BorderTime(0.25, 0.5)})
    found = predicted(graph, with_borders, {"device": 4.0, "edge": 2.0}, links, components, placement, speed=1.5)
    bordered = [expected[0] + 1.5 * 2 * 0.25, expected[1] + 1.5 * 4 * 0.5]
    assert list(found.components.values()) == pytest.approx(bordered)
    assert found.seconds == pytest.approx(sum(bordered) + 2.5)


def result(measured: float, ours: float, thesis: float, part: float = 1.0) -> PlacementResult:
    return PlacementResult(
        model="one",
        scattered=False,
        components=1,
        quantized=0,
        speeds={"ours": 1.0, "thesis": 1.0},
        measured=Measured(measured, {1: 1.0, 2: 1e-5}),
        predicted={"ours": Predicted(ours, {1: part, 2: 5.0}), "thesis": Predicted(thesis, {1: 1.0, 2: 5.0})},
        unscaled_seconds={"ours": 2 * measured, "thesis": measured},
    )


def test_errors_are_relative_and_tiny_components_do_not_count():
    figures = summary([result(1.0, 1.1, 0.5), result(2.0, 1.8, 1.0, part=0.75), result(4.0, 4.0, 2.0)])
    assert figures["plans"] == 3
    assert figures["median_error"] == pytest.approx(0.1)
    assert figures["thesis_median_error"] == figures["thesis_p95_error"] == pytest.approx(0.5)
    assert figures["component_p95_error"] == pytest.approx(0.225)
    assert figures["component_median_error"] == 0
    assert figures["unscaled_median_error"] == pytest.approx(1.0)
    assert figures["models"]["one"]["median_error"] == pytest.approx(0.1)


def test_models_can_be_admitted_and_have_branches():
    small = onnx.load_model_from_string(admit(transformer(blocks=1), {}).data)
    assert {"MatMul", "Softmax", "Erf"} <= {node.op_type for node in small.graph.node}
    branched = onnx.load_model_from_string(inception())
    onnx.checker.check_model(branched)
    assert sum(node.op_type == "Concat" for node in branched.graph.node) == 9
    assert not any(node.op_type == "ConstantOfShape" for node in branched.graph.node)


def test_the_quick_bench_runs_for_real_and_draws(tmp_path):
    picture = tmp_path / "prediction.png"
    command = [sys.executable, "-m", "partita.cli.main", "bench", "prediction", "--quick", "--json"]
    command += ["--placements", "1", "--requests", "1", "--picture", str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["plans"] == 1
    for name in ("median_error", "p95_error", "thesis_median_error", "thesis_p95_error"):
        assert math.isfinite(figures[name])
    assert figures["placements"][0]["measured_seconds"] > 0
    assert picture.read_bytes()[:4] == b"\x89PNG"
