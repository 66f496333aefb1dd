"""Admission: what is refused and why, and the one form that is kept."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper, parser

from core.errors import InvalidModelError, TooLargeError
from core.graph import GENERATOR, RECEIVER
from core.tensors import TensorSpec
from model_pool.admission import METADATA_LIMIT, admit
from tests.unit.models import SMALL_MODELS, Builder, branching_model, chain_model, random_inputs, residual_model
from tests.unit.plans import run

HEADER = '<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1, "local": 1]>'


def parsed(text: str) -> onnx.ModelProto:
    return parser.parse_model(f"{HEADER} g {text}")


def admitted(model: onnx.ModelProto, **shapes: tuple[int, ...]) -> onnx.ModelProto:
    return onnx.load_model_from_string(admit(model.SerializeToString(), shapes).data)


@pytest.mark.parametrize("make", SMALL_MODELS.values(), ids=SMALL_MODELS)
def test_small_models_keep_signature_and_answers(make):
    model = make()
    result = admit(model.SerializeToString(), {})
    kept = onnx.load_model_from_string(result.data)
    onnx.checker.check_model(kept, full_check=True)
    assert [spec.name for spec in result.inputs] == [value.name for value in model.graph.input]
    assert [spec.name for spec in result.outputs] == [value.name for value in model.graph.output]
    inputs = random_inputs(model)
    for spec in result.inputs:
        spec.check(inputs[spec.name])
    before, after = run(model.SerializeToString(), inputs), run(result.data, inputs)
    for spec in result.outputs:
        spec.check(after[spec.name])
        np.testing.assert_allclose(after[spec.name], before[spec.name], rtol=1e-5, atol=1e-6)


def test_equal_bytes_give_equal_bytes_in_any_process():
    data = residual_model(batch="n").SerializeToString()
    script = (
        "import sys; from model_pool.admission import admit;"
        "sys.stdout.buffer.write(admit(sys.stdin.buffer.read(), {'images': (2, 3, 16, 16)}).data)"
    )
    results = {
        subprocess.run(
            [sys.executable, "-c", script],
            input=data,
            capture_output=True,
            check=True,
            cwd=Path(__file__).parents[3],
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert results == {admit(data, {"images": (2, 3, 16, 16)}).data}


def test_open_shapes_are_fixed_everywhere():
    model = residual_model(batch="n")
    result = admit(model.SerializeToString(), {"images": (2, 3, 16, 16)})
    assert result.inputs == (TensorSpec("images", "float32", (2, 3, 16, 16)),)
    assert result.outputs == (
        TensorSpec("mask", "float32", (2, 2, 16, 16)),
        TensorSpec("scores", "float32", (2, 5)),
    )
    kept = onnx.load_model_from_string(result.data)
    known = {value.name: value.type.tensor_type for value in (*kept.graph.value_info, *kept.graph.output)}
    for node in kept.graph.node:
        for name in node.output:
            assert known[name].elem_type == onnx.TensorProto.FLOAT
            assert known[name].shape.dim
            assert all(dim.dim_value > 0 for dim in known[name].shape.dim)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({}, r"'images' has the open shape \[n, 3, 16, 16\]; give its shape"),
        ({"image": (1, 3, 16, 16)}, "given for 'image', but the model's inputs are 'images'"),
        ({"images": (1, 3, 16)}, r"4 dimensions \[n, 3, 16, 16\], but the shape \[1, 3, 16\]"),
        ({"images": (1, 3, 32, 16)}, "dimension 2 is fixed at 16 in the model, 32 was given"),
        ({"images": (0, 3, 16, 16)}, "sizes must be positive"),
    ],
)
def test_shapes_that_do_not_fit_are_named(shapes, message):
    with pytest.raises(InvalidModelError, match=message):
        admit(residual_model(batch="n").SerializeToString(), shapes)


def test_a_size_of_minus_one_is_open():
    model = chain_model()
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = -1
    with pytest.raises(InvalidModelError, match=r"open shape \[\?, 3, 8, 8\]"):
        admit(model.SerializeToString(), {})
    assert admit(model.SerializeToString(), {"images": (1, 3, 8, 8)}).outputs[0].shape == (1, 4, 8, 8)


@pytest.mark.parametrize("data", [b"", b"\0", b"hello world" * 9, b"\x08\x08", b"PK\x03\x04" + bytes(50)])
def test_what_is_not_onnx_is_refused(data):
    with pytest.raises(InvalidModelError, match="not an ONNX model"):
        admit(data, {})


@given(length=st.integers(0, 2943))
@settings(max_examples=40, deadline=None)
def test_a_truncated_file_is_refused(length):
    data = chain_model().SerializeToString()
    assert len(data) > 2943
    with pytest.raises(InvalidModelError):
        admit(data[:length], {})


@given(position=st.integers(0, 600), value=st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_a_damaged_file_is_refused_or_still_a_model(position, value):
    data = bytearray(chain_model(depth=1).SerializeToString())
    data[position % len(data)] = value
    try:
        result = admit(bytes(data), {})
    except InvalidModelError:
        return
    run(result.data, {spec.name: np.zeros(spec.shape, spec.dtype) for spec in result.inputs})


def test_a_name_that_is_not_text_is_refused():
    data = chain_model().SerializeToString().replace(b"/conv_0", b"/c\xff\xfev_0")
    with pytest.raises(InvalidModelError, match="not UTF-8"):
        admit(data, {})


def test_sizes_above_the_limit_are_refused_with_both_values():
    data = chain_model().SerializeToString()
    with pytest.raises(TooLargeError, match=f"{len(data)} bytes, at most {len(data) - 1} are taken"):
        admit(data, {}, size_limit_bytes=len(data) - 1)
    grown = parsed("(float[1, 4] x) => (float[1000, 4] y) { s = Constant<value = int64[2] {1000, 4}>() "
                   "z = ConstantOfShape (s) y = Add (x, z) }")  # fmt: skip
    with pytest.raises(TooLargeError, match="at most 9000 are taken"):
        admit(grown.SerializeToString(), {}, size_limit_bytes=9000)


def external(tensor: onnx.TensorProto, location: str) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location


@pytest.mark.parametrize("location", ["weights.bin", "../../etc/passwd", "/dev/zero"])
@pytest.mark.parametrize("where", ["initialiser", "attribute", "body", "function"])
def test_data_outside_the_file_is_refused_and_never_opened(location, where):
    model = branching_model()
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "w")
    external(tensor, location)
    constant = helper.make_node("Constant", [], ["k"], value=tensor)
    if where == "initialiser":
        model.graph.initializer[0].CopyFrom(tensor)
    elif where == "attribute":
        model.graph.node.insert(0, constant)
    elif where == "body":
        model.graph.node[1].attribute[0].g.initializer.append(tensor)
    else:
        model.functions.append(helper.make_function("local", "f", [], ["k"], [constant], model.opset_import))
    with pytest.raises(InvalidModelError, match="keeps its data outside") as caught:
        admit(model.SerializeToString(), {})
    assert repr(location) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(float[1, 4] x) => (float[1, 4] y) { y = Foo (x) }", "'y' is 'Foo', which opset 17 does not know"),
        ("(float[1, 4] x) => (float[1, 4] y) { y = local.Foo (x) }", "'Foo' of the unknown domain 'local'"),
        ("(float[1, 4] x) => (float[1, 4] y) { y = com.microsoft.Foo (x) }", "com.microsoft:Foo"),
        ("(float[1, 4] x) => (int64[2, n] y) { y = NonZero (x) }", "tensor 'y' of layer .* has no fixed shape"),
        ("(string[1, 4] x) => (string[1, 4] y) { y = Identity (x) }", "'x' is of type .* not a tensor of numbers"),
        ("(seq(float[1]) x) => (seq(float[1]) y) { y = Identity (x) }", "'x' is of type sequence_type"),
        ("(float[1, 4] x) => (float[1, 4] y) { y = Relu (z) }", "breaks the ONNX rules"),
        ("(float[1, 4] x) => (float[1, 4] x) { }", "no layer between its inputs and outputs"),
        ("(float[1, 4] x) => (float[1, 4] y, float[4] w) <float[4] w = {1, 2, 3, 4}> { y = Relu (x) }",
         "output 'w' does not depend on any input"),
        ("(float[1, 4] x) => (float[2, 4] y) { r = RandomNormal <shape = [2, 4]> () y = Add (x, r) }",
         "random values"),
        ("(float[1, 4] x) => (float[1, 1] y) <float[3, 1] w = {1, 2, 3}> { y = MatMul (x, w) }",
         "Incompatible dimensions"),
    ],
)  # fmt: skip
def test_models_that_cannot_run_are_refused_with_the_reason(text, message):
    with pytest.raises(InvalidModelError, match=message):
        admitted(parsed(text))


def test_an_opset_from_the_future_is_named():
    model = chain_model()
    model.opset_import[0].version = 999
    with pytest.raises(InvalidModelError, match="opset 999, at most"):
        admitted(model)


def test_layers_get_unique_names_and_keep_their_own():
    net = Builder()
    tensor = "images"
    for _ in range(5):
        tensor = net.node("Relu", net.node("Neg", tensor))
    net.node("Abs", tensor, result="last")
    names = ["Neg_1", "same", "same", "", "", GENERATOR, RECEIVER, "", "Relu_9", "", "Neg_6"]
    model = net.model({"images": [1, 4]}, {"last": [1, 4]})
    for node, name in zip(model.graph.node, names, strict=True):
        node.name = name
    kept = [node.name for node in admitted(model).graph.node]
    assert len(kept) == len(names) == len(set(kept))
    assert all(kept)
    assert not {GENERATOR, RECEIVER} & set(kept)
    for index in (0, 1, 8, 10):
        assert kept[index] == names[index]


def test_every_layer_depends_on_an_input():
    kept = admitted(
        parsed("""(float[1, 4] x) => (float[1, 1] y) <int8[4, 1] w = {1, 2, 3, 4}, float s = {0.5}>
        { d = DequantizeLinear (w, s)  k = Constant <value = float[1] {2}> ()  e = Mul (d, k)  y = MatMul (x, e) }""")
    )
    assert [node.op_type for node in kept.graph.node] == ["MatMul"]
    assert len(kept.graph.initializer) == 1


def test_local_functions_are_inlined_and_operators_of_the_runtime_understood():
    model = parsed("""(float[1, 4] x) => (float[1, 4] y)
        { a = local.twice (x)  b = com.microsoft.Gelu (a)  y = Neg (b) }
        <domain: "local", opset_import: ["": 17]> twice (a) => (c) { b = Relu (a)  c = Add (b, b) }""")
    kept = admitted(model)
    assert [node.op_type for node in kept.graph.node] == ["Relu", "Add", "Gelu", "Neg"]
    assert not kept.functions
    known = {value.name for value in kept.graph.value_info}
    assert {name for node in kept.graph.node[:-1] for name in node.output} <= known


def test_inputs_stay_as_declared_even_if_unused_or_answers_and_weights_are_none():
    model = parsed("""(float[1, 4] x, float[2] unused, float[4] w) => (float[1, 4] y, float[1, 4] x)
        <float[4] w = {1, 2, 3, 4}> { y = Add (x, w) }""")
    model.graph.input.append(helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [4]))
    del model.graph.input[2:-1]
    result = admit(model.SerializeToString(), {})
    assert [spec.name for spec in result.inputs] == ["x", "unused"]
    assert [spec.name for spec in result.outputs] == ["y", "x"]


@pytest.mark.parametrize("choice", [True, False])
def test_bodies_keep_what_they_capture(choice):
    model = branching_model()
    inputs = {"x": np.float32([[1, -2, 3, -4]]), "choice": np.array([choice])}
    before = run(model.SerializeToString(), inputs)
    after = run(admit(model.SerializeToString(), {}).data, inputs)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)


def test_an_old_opset_is_raised_so_that_weights_can_be_int8_per_channel():
    model = parser.parse_model("""<ir_version: 3, opset_import: ["": 9]>
        old (float[1, 4, 2] x) => (float[1, 8] y)
        { a = Clip <min = 0.0, max = 1.0> (x)  s = Squeeze <axes = [0]> (a)  u = Unsqueeze <axes = [0]> (s)
          y = Flatten (u) }""")
    inputs = random_inputs(model)
    kept = admitted(model)
    assert kept.opset_import[0].version >= 13
    after = run(kept.SerializeToString(), inputs)["y"]
    np.testing.assert_array_equal(after, np.clip(inputs["x"], 0, 1).reshape(1, 8))


def test_nothing_is_printed_and_progress_ends_at_one(capfd):
    told: list[float] = []
    admit(residual_model().SerializeToString(), {}, progress=lambda fraction, _: told.append(fraction))
    assert told == sorted(told)
    assert told[-1] == 1
    assert capfd.readouterr() == ("", "")


def test_what_a_file_says_of_itself_is_kept() -> None:
    model = chain_model()
    helper.set_model_props(model, {"task": "detect", "names": "{0: 'person', 1: 'bicycle'}"})
    result = admit(model.SerializeToString(), {})
    again = admit(result.data, {})
    kept = {entry.key: entry.value for entry in onnx.load_model_from_string(result.data).metadata_props}
    assert result.metadata == again.metadata == kept == {"task": "detect", "names": "{0: 'person', 1: 'bicycle'}"}
    assert again.data == result.data


def test_metadata_that_would_not_fit_a_message_is_refused() -> None:
    model = chain_model()
    helper.set_model_props(model, {"names": "x" * METADATA_LIMIT})
    with pytest.raises(InvalidModelError, match="metadata has 1048581 characters"):
        admit(model.SerializeToString(), {})


def test_metadata_in_no_known_encoding_is_refused() -> None:
    model = chain_model()
    helper.set_model_props(model, {"names": "person"})
    with pytest.raises(InvalidModelError, match="not UTF-8"):
        admit(model.SerializeToString().replace(b"person", b"pers\xffn"), {})
