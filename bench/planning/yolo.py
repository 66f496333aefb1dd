"""YOLO-like models: the blocks, resolutions and channels of a large YOLO11 with masks, as ONNX exports them.

Every convolution is a Conv whose output goes to a Sigmoid and, with the Sigmoid's, into a Mul. C3k2 blocks nest
bottlenecks with residual additions, SPPF pools three times, a C2PSA block attends, an FPN/PAN neck joins three
resolutions by long skips, and a head reads each of them.
"""

import itertools
import random

from bench.planning.generator import log_uniform
from bench.planning.graph_builder import GraphBuilder
from core.graph import ModelGraph
from core.objective import Limits, Objective
from core.problem import LayerTime, Link, NoiseModel, NoiseTerm, Problem, Server

FLOAT_BYTES = 4
IMAGE_SIDE = 640

FLOPS_PER_SECOND = (70e9, 170e9, 900e9)
"""Of device, edge and cloud in convolutions."""

BYTES_PER_SECOND = (2.5e9, 7e9, 40e9)
"""Of their memories, which bound all other layers."""

OVERHEAD_SECONDS = (60e-6, 30e-6, 10e-6)
"""Least time of a layer."""

QUANTIZED_SHARE = (0.3, 0.35, 0.5)
"""Time of an int8 convolution relative to float."""

SERVERS = (
    Server("device", compute_watts=2.9, transmit_watts=3.5),
    Server("edge", compute_watts=5.8, transmit_watts=2.3),
    Server("cloud", compute_watts=35.0, transmit_watts=0.02),
)

LINKS = (
    Link("device", "edge", 5.2e6, 0.005),
    Link("device", "cloud", 2.6e6, 0.055),
    Link("edge", "device", 21e6, 0.005),
    Link("edge", "cloud", 21e6, 0.05),
    Link("cloud", "device", 105e6, 0.055),
    Link("cloud", "edge", 105e6, 0.05),
)


def yolo(
    quantizable: int = 12,
    repeats: int = 2,
    noise_limit: float | None = 0.06,
    device_energy_limit: float | None = 4.0,
    seed: int = 0,
) -> Problem:
    """About 650 layers on device, edge and cloud, with ``quantizable`` layers that may become int8.

    Args:
        quantizable: how many of the heaviest convolutions may become int8.
        repeats: bottlenecks in each block; 2 gives the 650 layers.
        noise_limit: cap on the predicted noise.
        device_energy_limit: cap on the device's joules per request.
        seed: of times and noise.
    """
    dice = random.Random(f"yolo {quantizable} {seed}")  # noqa: S311 - no secret
    model = _Yolo(repeats).build(quantizable)
    return Problem(
        model=model,
        servers=SERVERS,
        links=LINKS,
        execution=_execution(model, dice),
        noise=noise_polynomial(model.quantizable, dice),
        objective=Objective(0.5, 0.5),
        limits=Limits(noise=noise_limit, device_energy_joules=device_energy_limit),
    )


def noise_polynomial(layers: tuple[str, ...], dice: random.Random) -> NoiseModel:
    """A cubic polynomial like those fitted to YOLO11: 298 terms for 12 layers.

    One layer dominates, the others add little, pairs and triples mostly take a part of that away again.
    """
    linear = [dice.uniform(0.12, 0.2), *(log_uniform(dice, 0.003, 0.03) for _ in layers[1:])][: len(layers)]
    dice.shuffle(linear)
    terms = [NoiseTerm((layer,), value) for layer, value in zip(layers, linear, strict=True)]
    weight = dict(zip(layers, linear, strict=True))

    def least(names: tuple[str, ...]) -> float:
        return min(weight[name] for name in names)

    pairs, triples = itertools.combinations(layers, 2), itertools.combinations(layers, 3)
    terms += [NoiseTerm(pair, -dice.uniform(-0.1, 0.4) * least(pair)) for pair in pairs]
    terms += [NoiseTerm(triple, dice.uniform(-0.05, 0.06) * least(triple)) for triple in triples]
    return NoiseModel(0.014, tuple(terms))


def _execution(model: ModelGraph, dice: random.Random) -> dict[str, dict[str, LayerTime]]:
    read = dict.fromkeys(model.by_name, 0)
    written = dict.fromkeys(model.by_name, 0)
    for tensor in model.tensors:
        if tensor.source is not None:
            written[tensor.source] += tensor.bytes
        for target in tensor.consumers:
            if target is not None:
                read[target] += tensor.bytes
    execution: dict[str, dict[str, LayerTime]] = {}
    for index, server in enumerate(SERVERS):
        execution[server.name] = {}
        for layer in model.layers:
            moved = (read[layer.name] + written[layer.name] + layer.weight_bytes) / BYTES_PER_SECOND[index]
            seconds = OVERHEAD_SECONDS[index] + layer.flops / FLOPS_PER_SECOND[index] + moved
            seconds *= log_uniform(dice, 0.9, 1.1)
            share = QUANTIZED_SHARE[index] * log_uniform(dice, 0.85, 1.2)
            execution[server.name][layer.name] = LayerTime(seconds, seconds * share if layer.quantizable else None)
    return execution


class _Yolo:
    """Tensors are (layer, channels, side)."""

    _Value = tuple[str | None, int, int]

    def __init__(self, repeats: int) -> None:
        self._repeats = repeats
        self._graph = GraphBuilder("yolo-like", 3 * IMAGE_SIDE**2 * FLOAT_BYTES)

    def build(self, quantizable: int) -> ModelGraph:
        value = self._convolution((None, 3, IMAGE_SIDE), 96, 3, 2)
        stages: list[_Yolo._Value] = []
        for channels in (192, 384, 768, 768):
            value = self._convolution(value, channels, 3, 2)
            value = self._c3k2(value, channels)
            stages.append(value)
        fine, middle, coarse = stages[1], stages[2], self._attention(self._pyramid_pooling(stages[3]))
        middle = self._c3k2(self._concat([self._simple("Resize", coarse, side=coarse[2] * 2), middle]), 768)
        fine = self._c3k2(self._concat([self._simple("Resize", middle, side=middle[2] * 2), fine]), 384)
        lower = self._c3k2(self._concat([self._convolution(fine, 384, 3, 2), middle]), 768)
        lowest = self._c3k2(self._concat([self._convolution(lower, 768, 3, 2), coarse]), 768)
        return self._graph.build([*self._heads([fine, lower, lowest]), self._prototypes(fine)], quantizable)

    def _heads(self, scales: list["_Yolo._Value"]) -> list[str]:
        boxes, masks = [], []
        for scale in scales:
            place = self._conv(self._convolution(self._convolution(scale, 96, 3), 96, 3), 64, 1)
            kind = scale
            for _ in range(2):
                kind = self._convolution(self._depthwise(kind), 384, 1)
            both = self._concat([place, self._conv(kind, 80, 1)])
            boxes.append(self._simple("Reshape", both))
            mask = self._conv(self._convolution(self._convolution(scale, 96, 3), 96, 3), 32, 1)
            masks.append(self._simple("Reshape", mask))
        found = self._split(self._concat(boxes))
        value = found
        for operator in ("Reshape", "Transpose", "Softmax"):
            value = self._simple(operator, value)
        value = self._simple("Reshape", self._conv(value, 4, 1))
        corner, other = self._simple("Slice", value), self._simple("Slice", value)
        corner, other = self._join("Sub", [corner]), self._join("Add", [other])
        middle = self._join("Div", [self._join("Add", [corner, other])])
        placed = self._join("Mul", [self._concat([middle, self._join("Sub", [other, corner])])])
        answer = self._concat([placed, self._simple("Sigmoid", found), self._concat(masks)])
        return [str(answer[0])]

    def _prototypes(self, value: "_Yolo._Value") -> str:
        name, channels, side = self._convolution(value, 384, 3)
        value = self._conv((name, channels, side * 2), channels, 2)
        return str(self._convolution(self._convolution(value, 384, 3), 32, 1)[0])

    def _c3k2(self, value: "_Yolo._Value", channels: int) -> "_Yolo._Value":
        parts = [self._split(self._convolution(value, channels, 1))]
        for _ in range(self._repeats):
            parts.append(self._c3k(parts[-1], channels // 2))
        return self._convolution(self._concat(parts), channels, 1)

    def _c3k(self, value: "_Yolo._Value", channels: int) -> "_Yolo._Value":
        inner = self._convolution(value, channels // 2, 1)
        for _ in range(2):
            twice = self._convolution(self._convolution(inner, channels // 2, 3), channels // 2, 3)
            inner = self._join("Add", [inner, twice])
        beside = self._convolution(value, channels // 2, 1)
        return self._convolution(self._concat([inner, beside]), channels, 1)

    def _pyramid_pooling(self, value: "_Yolo._Value") -> "_Yolo._Value":
        pooled = [self._convolution(value, value[1] // 2, 1)]
        for _ in range(3):
            pooled.append(self._simple("MaxPool", pooled[-1]))
        return self._convolution(self._concat(pooled), value[1], 1)

    def _attention(self, value: "_Yolo._Value") -> "_Yolo._Value":
        kept = self._split(self._convolution(value, value[1], 1))
        inner = kept
        for _ in range(2):
            mixed = self._split(self._simple("Reshape", self._conv(inner, inner[1] * 2, 1)))
            scores = self._simple("Transpose", mixed)
            for operator in ("MatMul", "Mul", "Softmax", "Transpose"):
                scores = self._simple(operator, scores)
            seen = self._simple("Reshape", self._join("MatMul", [mixed, scores]))
            seen = self._join("Add", [seen, self._depthwise(self._simple("Reshape", mixed))])
            inner = self._join("Add", [inner, self._conv(seen, inner[1], 1)])
            inner = self._join("Add", [inner, self._conv(self._convolution(inner, inner[1] * 2, 1), inner[1], 1)])
        return self._convolution(self._concat([kept, inner]), value[1], 1)

    def _convolution(self, value: "_Yolo._Value", channels: int, kernel: int, stride: int = 1) -> "_Yolo._Value":
        return self._activated(self._conv(value, channels, kernel, stride))

    def _depthwise(self, value: "_Yolo._Value") -> "_Yolo._Value":
        return self._activated(self._conv(value, value[1], 3, groups=value[1]))

    def _activated(self, value: "_Yolo._Value") -> "_Yolo._Value":
        return self._join("Mul", [value, self._simple("Sigmoid", value)])

    def _conv(
        self, value: "_Yolo._Value", channels: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> "_Yolo._Value":
        source, depth, side = value
        side //= stride
        weights = depth // groups * channels * kernel**2
        size = channels * side**2 * FLOAT_BYTES
        name = self._graph.add("Conv", [source], size, 2.0 * weights * side**2, weights * FLOAT_BYTES)
        return name, channels, side

    def _simple(self, operator: str, value: "_Yolo._Value", side: int | None = None) -> "_Yolo._Value":
        return self._made(operator, [value], value[1], side or value[2])

    def _split(self, value: "_Yolo._Value") -> "_Yolo._Value":
        return self._made("Split", [value], value[1] // 2, value[2])

    def _join(self, operator: str, values: list["_Yolo._Value"]) -> "_Yolo._Value":
        return self._made(operator, values, values[0][1], values[0][2])

    def _concat(self, values: list["_Yolo._Value"]) -> "_Yolo._Value":
        side = max(value[2] for value in values)
        channels = sum(value[1] * value[2] ** 2 for value in values) // side**2
        return self._made("Concat", values, channels, side)

    def _made(self, operator: str, values: list["_Yolo._Value"], channels: int, side: int) -> "_Yolo._Value":
        sources = [value[0] for value in values]
        return self._graph.add(operator, sources, channels * side**2 * FLOAT_BYTES), channels, side
