"""A sub-model opened for several requests computes each as if it were alone, or is refused."""

import numpy as np
import onnx
import pytest
from onnx import helper, parser

from core.errors import InvalidModelError
from core.profiles import RuntimeSettings
from inferencer.batching import REQUESTS, for_many
from inferencer.session import Session
from inferencer.together import _compare, session_for_many
from model_pool.admission import admit
from tests.unit.models import SMALL_MODELS, Builder, random_inputs

SETTINGS = RuntimeSettings()


def reshaping_model() -> onnx.ModelProto:
    """Heads of attention: the first dimension is said to be 1 in between, once by a shape that others use too."""
    net = Builder()
    shape = net.constant(np.array([1, 6, 2, 4]))
    heads = [net.node("Reshape", net.node("MatMul", "tokens", net.weight(8, 8)), shape) for _ in range(2)]
    joined = net.node("Reshape", net.node("Add", *heads), net.constant(np.array([1, -1, 8])))
    net.node("Softmax", joined, result="mixed")
    return net.model({"tokens": [1, 6, 8]}, {"mixed": [1, 6, 8]})


def joining_model() -> onnx.ModelProto:
    """A token for the answer before the others, whose positions are added, as vision transformers have it."""
    net = Builder()
    joined = net.node("Concat", net.weight(1, 1, 8), "tokens", axis=1)
    net.node("MatMul", net.node("Add", joined, net.weight(1, 7, 8)), net.weight(8, 4), result="found")
    return net.model({"tokens": [1, 6, 8]}, {"found": [1, 7, 4]})


@pytest.mark.parametrize("make", [*SMALL_MODELS.values(), reshaping_model, joining_model])
def test_each_of_several_requests_gets_what_it_gets_alone(make) -> None:
    data = admit(make().SerializeToString(), {}).data
    alone, many = Session(data, SETTINGS), Session(for_many(data), SETTINGS)
    model = onnx.load_model_from_string(data)
    for count in (1, 2, 5):
        requests = [random_inputs(model, seed) for seed in range(count)]
        for request, outputs in zip(requests, many.run_together(requests), strict=True):
            for name, expected in alone.run(request).items():
                assert outputs[name].shape == expected.shape
                np.testing.assert_allclose(outputs[name], expected, rtol=1e-4, atol=1e-5)


def test_only_the_first_dimension_is_opened() -> None:
    data = admit(SMALL_MODELS["chain"]().SerializeToString(), {}).data
    opened = onnx.load_model_from_string(for_many(data))
    for value in (*opened.graph.input, *opened.graph.output):
        first, *rest = value.type.tensor_type.shape.dim
        assert first.dim_param == REQUESTS
        assert all(dim.dim_value > 0 for dim in rest)


@pytest.mark.parametrize("shape", ["", "4", "2, 4"])
def test_tensors_without_such_a_dimension_are_refused(shape: str) -> None:
    model = parser.parse_model(f"""
        <ir_version: 8, opset_import: ["": 17]>
        plain (float[{shape}] x) => (float[{shape}] y) {{ y = Relu (x) }}
    """)
    with pytest.raises(InvalidModelError, match=r"'x'.*begin with 1"):
        for_many(model.SerializeToString())


def test_bytes_that_are_no_model_are_refused() -> None:
    with pytest.raises(InvalidModelError, match="cannot be opened"):
        for_many(b"\xff\xff no model")


@pytest.mark.parametrize(
    "body", ["y = Softmax <axis = 0> (x)", "a = ReduceSum <keepdims = 1> (x, zero) y = Add (a, x)"]
)
def test_a_layer_that_mixes_requests_is_found_out(body: str) -> None:
    """Both give the same as alone for one request, and something else for several."""
    model = parser.parse_model(f"""
        <ir_version: 8, opset_import: ["": 17]>
        mixing (float[1, 4] x) => (float[1, 4] y) <int64[1] zero = {{0}}> {{ {body} }}
    """)
    data = model.SerializeToString()
    alone = Session(data, SETTINGS)
    specs = admit(data, {}).inputs
    with pytest.raises(InvalidModelError, match="'y' differs by up to"):
        session_for_many(data, specs, alone, SETTINGS, 4)


def test_a_layer_that_cannot_run_for_several_is_found_out() -> None:
    net = Builder()
    flat = net.node("Reshape", "x", net.constant(np.array([8])))
    net.node("Reshape", net.node("Relu", flat), net.constant(np.array([1, 8])), result="y")
    data = net.model({"x": [1, 8]}, {"y": [1, 8]}).SerializeToString()
    with pytest.raises(InvalidModelError, match="does not run for several"):
        session_for_many(data, admit(data, {}).inputs, Session(data, SETTINGS), SETTINGS, 4)


def test_whole_numbers_must_be_the_same() -> None:
    """An index that is off by one is no matter of rounding, however many there are."""
    mixing = parser.parse_model("""
        <ir_version: 8, opset_import: ["": 17]>
        mixing (float[1, 4] x) => (int64[1, 4] y)
        { a = CumSum (x, axis) b = Mul (a, hundred) y = Cast <to = 7> (b) }
    """)
    mixing.graph.initializer.extend(
        [helper.make_tensor("axis", onnx.TensorProto.INT64, [], [0]), helper.make_tensor("hundred", 1, [], [0.01])]
    )
    data = mixing.SerializeToString()
    alone, many = Session(data, SETTINGS), Session(for_many(data), SETTINGS)
    low, high = (np.full((1, 4), value, np.float32) for value in (10.0, 95.0))
    high[0, 0] = 1e6
    _compare([{"x": low}], alone, many)
    with pytest.raises(InvalidModelError, match="'y' differs by up to 1 "):
        _compare([{"x": low}, {"x": high}], alone, many)


@pytest.mark.parametrize(
    ("seconds", "most", "expected"),
    [
        ({1: 1.0, 2: 0.8, 4: 0.6, 8: 0.7}, 8, 4),
        ({1: 1.0, 2: 0.8, 4: 0.6, 6: 0.5}, 6, 6),
        ({1: 1.0, 2: 0.9}, 2, 2),
    ],
)
def test_as_many_at_once_as_are_quickest_for_each(
    seconds: dict[int, float], most: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inferencer.together._seconds", lambda _, examples: seconds[len(examples)] * len(examples))
    data = admit(SMALL_MODELS["chain"]().SerializeToString(), {}).data
    alone = Session(data, SETTINGS)
    many, count = session_for_many(data, admit(data, {}).inputs, alone, SETTINGS, most)
    assert count == expected
    assert many is not alone


@pytest.mark.parametrize("seconds", [{1: 1.0, 2: 1.1}, {1: 1.0, 2: 0.96, 4: 0.97}])
def test_where_several_at_once_are_hardly_quicker_each_runs_alone(
    seconds: dict[int, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inferencer.together._seconds", lambda _, examples: seconds[len(examples)] * len(examples))
    data = admit(SMALL_MODELS["chain"]().SerializeToString(), {}).data
    with pytest.raises(InvalidModelError, match=r"not quicker: each takes 1000\.00 ms for 1"):
        session_for_many(data, admit(data, {}).inputs, Session(data, SETTINGS), SETTINGS, 4)


def test_a_layer_that_refuses_random_inputs_leaves_requests_alone() -> None:
    picking = parser.parse_model("""
        <ir_version: 8, opset_import: ["": 17]>
        picking (float[1, 4] x) => (float[1, 1] y) <float[9] table = {0, 1, 2, 3, 4, 5, 6, 7, 8}, int64[1] last = {1}>
        { a, b = TopK (x, last) c = Cast <to = 7> (a) d = Mul (c, hundred) y = Gather (table, d) }
    """)
    picking.graph.initializer.append(helper.make_tensor("hundred", onnx.TensorProto.INT64, [], [100]))
    data = picking.SerializeToString()
    with pytest.raises(InvalidModelError, match="does not run for several"):
        session_for_many(data, admit(data, {}).inputs, Session(data, SETTINGS), SETTINGS, 2)
