"""Quantising: what it rounds, what it leaves alone, and that the runtime can use it."""

import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from core.errors import InvalidArgumentError
from core.profiles import QuantizationSettings, Range
from model_divider.quantize import QUANTIZABLE_OPERATORS, calibrate, quantize
from model_divider.rounding import activation_parameters, round_bias, round_weight, smallest_weight_scale
from tests.unit.models import SMALL_MODELS, Builder, chain_model, random_inputs, residual_model
from tests.unit.plans import run

SETTINGS = [QuantizationSettings(kind, channel) for kind in ("uint8", "int8") for channel in (False, True)]


def inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def quantizable(model: onnx.ModelProto) -> list[str]:
    return [node.name for node in model.graph.node if node.op_type in QUANTIZABLE_OPERATORS]


def noise(model: onnx.ModelProto, changed: onnx.ModelProto, seed: int = 2) -> float:
    inputs = random_inputs(model, seed)
    before, after = (run(each.SerializeToString(), inputs) for each in (model, changed))
    return float(np.mean([np.abs(before[name] - after[name]).mean() for name in before]))


def all_quantized(model: onnx.ModelProto, settings: QuantizationSettings) -> onnx.ModelProto:
    layers = quantizable(model)
    ranges = calibrate(model, layers, [random_inputs(model, seed) for seed in range(3)])
    return quantize(model, layers, ranges, settings)


finite = st.floats(-1e6, 1e6, width=32)


@given(finite, finite, st.sampled_from(["uint8", "int8"]))
def test_zero_is_exact_and_the_range_is_covered(one, other, kind):
    seen = Range(min(one, other), max(one, other))
    scale, zero_point = activation_parameters(seen, kind)
    limits = np.iinfo(zero_point.dtype)
    assert limits.min <= zero_point <= limits.max
    assert scale > 0
    for value in (0.0, seen.low, seen.high):
        rounded = np.clip(np.rint(np.float32(value) / scale) + zero_point, limits.min, limits.max)
        error = abs(float((rounded - zero_point) * scale) - value)
        assert error == 0 if value == 0 else error <= float(scale) * 1.01


@given(st.integers(0, 2**32 - 1), st.sampled_from([None, 0, 1]))
def test_weights_are_rounded_to_the_nearest_step(seed, axis):
    weight = np.random.default_rng(seed).standard_normal((4, 3, 2)).astype(np.float32)
    rounded = round_weight(weight, axis)
    assert rounded.values.dtype == np.int8
    assert np.abs(rounded.values.astype(int)).max() <= 127
    assert rounded.scale.shape == (() if axis is None else (weight.shape[axis],))
    spread = rounded.scale if axis is None else np.expand_dims(rounded.scale, [i for i in range(3) if i != axis])
    assert np.all(np.abs(rounded.values * spread - weight) <= spread * 0.5001)


def test_weights_of_zero_stay_zero():
    rounded = round_weight(np.zeros((2, 3), np.float32), 0)
    assert not rounded.values.any()
    assert np.all(rounded.scale > 0)


@pytest.mark.parametrize("groups", [None, 1, 2])
def test_a_large_bias_on_tiny_weights_still_fits_int32(groups):
    bias = np.array([1e4, -2e4, 0, 5], np.float32)
    least = smallest_weight_scale(bias, np.float32(1e-4), groups)
    weight = np.full((3, 4 // (groups or 1)), 1e-9, np.float32)
    scale = round_weight(weight, None if groups is None else 1, least).scale * np.float32(1e-4)
    rounded = round_bias(bias, np.tile(scale, groups or 1) if scale.ndim else scale)
    assert rounded.values.dtype == np.int32
    np.testing.assert_allclose(rounded.values * rounded.scale.astype(np.float64), bias, rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("make", SMALL_MODELS.values(), ids=SMALL_MODELS)
def test_calibration_finds_the_true_ranges(make):
    model = inferred(make())
    samples = [random_inputs(model, seed) for seed in range(3)]
    layers = quantizable(model)
    ranges = calibrate(model, layers, samples)
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in ranges if name not in samples[0])
    seen = [sample | run(shown.SerializeToString(), sample) for sample in samples]
    for name, found in ranges.items():
        assert found.low == pytest.approx(min(float(values[name].min()) for values in seen), rel=1e-5)
        assert found.high == pytest.approx(max(float(values[name].max()) for values in seen), rel=1e-5)
    outputs = {node.output[0] for node in model.graph.node if node.name in layers}
    assert outputs <= ranges.keys()
    assert calibrate(model, layers[:1], samples).items() <= ranges.items()


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_calibrations_that_leave_out_extremes_stay_within_them(method, capsys):
    model = inferred(residual_model())
    samples = [random_inputs(model, seed) for seed in range(2)]
    layers = quantizable(model)
    widest, narrower = calibrate(model, layers, samples), calibrate(model, layers, samples, method)
    assert narrower.keys() == widest.keys()
    for name, found in narrower.items():
        assert widest[name].low - 1e-6 <= found.low < found.high <= widest[name].high + 1e-6
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_a_rare_extreme_is_left_out(method):
    net = Builder()
    net.conv("images", 1, 1, 1)
    net.node("Relu", net.nodes[-1].output[0], result="features")
    model = inferred(net.model({"images": [1, 1, 200, 200]}, {"features": [1, 1, 200, 200]}))
    sample = random_inputs(model)
    sample["images"][0, 0, 0, 0] = 1000
    found = calibrate(model, quantizable(model), [sample], method)["images"]
    assert 2 < found.high < 600
    assert calibrate(model, quantizable(model), [sample])["images"].high == 1000


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_a_constant_tensor_is_calibrated(method):
    model = inferred(chain_model(2))
    zeros = {"images": np.zeros((1, 3, 8, 8), np.float32)}
    assert calibrate(model, quantizable(model), [zeros], method)["images"] == Range(0, 0)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("make", SMALL_MODELS.values(), ids=SMALL_MODELS)
def test_the_quantised_model_is_valid_and_near_the_float_one(make, settings):
    model = inferred(make())
    quantized = all_quantized(model, settings)
    onnx.checker.check_model(quantized, full_check=True)
    assert [*quantized.graph.input] == [*model.graph.input]
    assert [*quantized.graph.output] == [*model.graph.output]
    scale = np.mean(
        [np.abs(value).mean() for value in run(model.SerializeToString(), random_inputs(model, 2)).values()]
    )
    assert 0 < noise(model, quantized) < 0.1 * scale


@pytest.mark.parametrize("make", SMALL_MODELS.values(), ids=SMALL_MODELS)
def test_only_the_chosen_layers_change(make):
    model = inferred(make())
    layers = quantizable(model)
    ranges = calibrate(model, layers, [random_inputs(model)])
    untouched = quantize(model, [], ranges, QuantizationSettings())
    assert [*untouched.graph.node] == [*model.graph.node]
    assert noise(model, untouched) == 0
    for layer in layers:
        quantized = quantize(model, [layer], ranges, QuantizationSettings())
        kept = {node.name: node for node in quantized.graph.node}
        changed = [node.name for node in model.graph.node if kept[node.name] != node]
        assert changed == [layer]


def test_a_float_consumer_of_a_quantised_layers_input_sees_it_unrounded():
    net = Builder()
    activation = net.node("Relu", "images")
    net.conv(activation, 3, 3)
    net.node("Neg", activation, result="copy")
    model = inferred(net.model({"images": [1, 3, 4, 4]}, {"copy": [1, 3, 4, 4]}))
    quantized = all_quantized(model, QuantizationSettings())
    assert noise(model, quantized) == 0


def test_a_tensor_between_quantised_layers_is_rounded_once():
    net = Builder()
    middle = net.node("MatMul", "tokens", net.weight(4, 4))
    net.node("MatMul", middle, net.weight(4, 4), result="last")
    net.node("MatMul", middle, net.weight(4, 4), result="other")
    model = inferred(net.model({"tokens": [1, 4]}, {"last": [1, 4], "other": [1, 4]}))
    operators = [node.op_type for node in all_quantized(model, QuantizationSettings()).graph.node]
    assert operators.count("QuantizeLinear") == 4  # tokens, middle, last, other


class Samples(CalibrationDataReader):
    def __init__(self, samples):
        self._samples = iter(samples)

    def get_next(self):
        return next(self._samples, None)


@pytest.mark.parametrize("make", SMALL_MODELS.values(), ids=SMALL_MODELS)
@pytest.mark.parametrize("settings", [QuantizationSettings(), QuantizationSettings("int8")], ids=str)
def test_the_noise_is_that_of_the_runtimes_own_quantiser(make, settings, tmp_path: Path):
    ratios = []
    for seed in range(4):
        model = inferred(make(seed=seed))
        onnx.save(model, tmp_path / "float.onnx")
        quantize_static(
            tmp_path / "float.onnx",
            tmp_path / "int8.onnx",
            Samples([random_inputs(model, sample) for sample in range(3)]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=sorted(QUANTIZABLE_OPERATORS),
            nodes_to_quantize=quantizable(model),
            activation_type=QuantType.QUInt8 if settings.activation_type == "uint8" else QuantType.QInt8,
            weight_type=QuantType.QInt8,
            extra_options={"ActivationSymmetric": settings.activation_type == "int8", "WeightSymmetric": True},
        )
        theirs = noise(model, onnx.load(tmp_path / "int8.onnx"))
        ratios.append(noise(model, all_quantized(model, settings)) / theirs)
    # The library also rounds for float consumers; luck of single roundings evens out over seeds.
    assert 0.6 < math.prod(ratios) ** (1 / len(ratios)) < 1.2


def test_the_runtime_fuses_every_convolution(tmp_path: Path):
    quantized = all_quantized(inferred(chain_model()), QuantizationSettings())
    # The input's, and each result's; a Relu lies between a result and the next layer's input.
    assert [node.op_type for node in quantized.graph.node].count("QuantizeLinear") == 8
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(quantized.SerializeToString(), options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(tmp_path / "fused.onnx").graph.node]
    assert operators.count("QLinearConv") == 4
    assert "Conv" not in operators


def test_one_scale_per_channel_is_finer_where_channels_differ():
    net = Builder()
    net.weights.append(
        onnx.numpy_helper.from_array(
            np.random.default_rng(0).standard_normal((4, 3, 1, 1)).astype(np.float32)
            * np.float32([1, 0.1, 0.01, 0.001])[:, None, None, None],
            "uneven",
        )
    )
    sums = net.node("Conv", "images", "uneven")
    net.node("Mul", sums, net.constant(np.float32([1, 10, 100, 1000])[:, None, None]), result="even")
    model = inferred(net.model({"images": [1, 3, 6, 6]}, {"even": [1, 4, 6, 6]}))
    layer = quantizable(model)
    ranges = calibrate(model, layer, [random_inputs(model)])
    plain, channels = (quantize(model, layer, ranges, QuantizationSettings(per_channel=flag)) for flag in (False, True))
    weight = {flag: dequantized_weight(each) for flag, each in ((False, plain), (True, channels))}
    true = onnx.numpy_helper.to_array(model.graph.initializer[0])
    errors = {flag: np.abs(weight[flag] - true).max(axis=(1, 2, 3)) for flag in weight}
    assert np.all(errors[True][1:] < errors[False][1:] / 3)


def dequantized_weight(model: onnx.ModelProto) -> np.ndarray:
    node = next(node for node in model.graph.node if "uneven" in node.name)
    graph = onnx.helper.make_graph([node], "weight", [], [onnx.ValueInfoProto(name=node.output[0])])
    graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in node.input)
    alone = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=8)
    return next(iter(run(alone.SerializeToString(), {}).values()))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_gemm_factors_and_grouped_transposed_convolutions_are_handled(settings):
    net = Builder(3)
    up = net.node("ConvTranspose", "images", net.weight(4, 3, 2, 2), net.weight(6), strides=[2, 2], group=2)
    flat = net.node("Flatten", up)
    net.node("Gemm", flat, net.weight(96, 5), net.weight(5), result="scores", alpha=0.25, beta=3.0)
    model = inferred(net.model({"images": [1, 4, 2, 2]}, {"scores": [1, 5]}))
    quantized = all_quantized(model, settings)
    onnx.checker.check_model(quantized, full_check=True)
    scores = run(model.SerializeToString(), random_inputs(model, 2))["scores"]
    assert noise(model, quantized) < 0.03 * np.abs(scores).max()


@pytest.mark.parametrize(("operator", "message"), [("Add", r"\(Add\) cannot become int8"), (None, "has no layer")])
def test_layers_that_cannot_be_quantised_are_named(operator, message):
    model = inferred(residual_model())
    layers = ["/nowhere", *(node.name for node in model.graph.node if node.op_type == operator)][-1:]
    for attempt in (
        lambda: quantize(model, layers, {}, QuantizationSettings()),
        lambda: calibrate(model, layers, [random_inputs(model)]),
    ):
        with pytest.raises(InvalidArgumentError, match=message) as caught:
            attempt()
        assert layers[0] in str(caught.value)


def test_a_missing_range_names_the_tensor():
    model = inferred(chain_model())
    with pytest.raises(InvalidArgumentError, match="no calibrated range of tensor 'images'"):
        quantize(model, quantizable(model)[:1], {}, QuantizationSettings())


def test_calibration_needs_finite_inputs():
    model = inferred(chain_model())
    with pytest.raises(InvalidArgumentError, match="at least one input"):
        calibrate(model, quantizable(model), [])
    with pytest.raises(InvalidArgumentError, match="not finite"):
        calibrate(model, quantizable(model), [{"images": np.full((1, 3, 8, 8), np.inf, np.float32)}])


def test_an_old_opset_has_one_scale_per_tensor_or_no_integers():
    net = Builder()
    net.conv("images", 3, 3)
    net.node("Relu", net.nodes[-1].output[0], result="features")
    model = inferred(net.model({"images": [1, 3, 4, 4]}, {"features": [1, 3, 4, 4]}, opset=12))
    plain, channels = (all_quantized(model, QuantizationSettings(per_channel=flag)) for flag in (False, True))
    assert channels == plain
    assert noise(model, plain) > 0
    model.opset_import[0].version = 9
    with pytest.raises(InvalidArgumentError, match="needs opset 10, the model has 9"):
        all_quantized(model, QuantizationSettings())
