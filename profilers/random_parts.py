"""What parts of a model take on this server: it is cut at random, in float and with random layers in int8.

Cuts are more likely beside layers that take long: parts tell of one layer what it takes only where it is cut from its
neighbours, and few layers may take most of the time (two of GoogLeNet's 142 half of it).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from core.graph import ModelGraph, Tensor
from core.profiles import RuntimeSettings
from core.progress import Progress
from core.tensors import Array
from model_divider.cutting import Cut
from model_divider.silu import fuse_silu
from profilers.served_runs import ServedModel, usual

_SPLITS, _PARTS = 4, 10
"""How often the model is cut at most, in float and as often with int8 layers, and into how many parts."""
_ROUNDS = (4, 7)
"""Fewest and most runs of each part, in turns with the whole model."""
_SECONDS = 4.0
"""How long the runs of one split go on between these bounds."""

Quantize = Callable[[Sequence[str]], onnx.ModelProto]
"""Makes the model with these layers in int8."""


@dataclass(frozen=True)
class Part:
    """Layers that ran as one component.

    Attributes:
        layers: their names.
        quantized: those in int8.
        made_in_int8: the int8 layers of all parts.
        entering: tensors that came from other parts.
        leaving: tensors that went to other parts.
        share: seconds of its run as a share of the whole float model's, timed in turns with it.
    """

    layers: tuple[str, ...]
    quantized: frozenset[str]
    made_in_int8: frozenset[str]
    entering: tuple[Tensor, ...]
    leaving: tuple[Tensor, ...]
    share: float


def time_random_parts(
    graph: ModelGraph,
    quantize: Quantize,
    runtime: RuntimeSettings,
    inputs: Mapping[str, Array],
    seconds: Mapping[str, float],
    seed: int,
    progress: Progress,
) -> list[Part]:
    """Cut the model at random and time the parts; the slow-down of ``runtime`` is not applied.

    Args:
        graph: of the admitted model.
        quantize: makes it with some of the quantisable layers in int8.
        runtime: how this server runs models.
        inputs: one input of the whole model.
        seconds: about what each layer takes in float.
        seed: makes cuts repeatable for the same ``seconds``.
        progress: told what is being done.

    Returns:
        The parts of all cuts; none where the model has too few layers to cut.
    """
    order = [name for name in graph.topological_order if name in graph.by_name]
    dice = np.random.default_rng(seed)
    likely = _likely_cuts(np.array([seconds[name] for name in order]))
    whole = ServedModel(quantize(()).SerializeToString(), runtime)
    # Few layers need few parts to explain them.
    splits = min(_SPLITS, 2 + len(order) // _PARTS) * (1 + bool(graph.quantizable)) if len(order) > 1 else 0
    found: list[Part] = []
    for split in range(splits):
        progress(split / splits, f"timing parts of the model, cut at random ({split + 1} of {splits})")
        count = min(_PARTS, len(order)) - 1
        borders = sorted(dice.choice(np.arange(1, len(order)), count, replace=False, p=likely).tolist())
        parts = [order[begin:end] for begin, end in zip([0, *borders], [*borders, len(order)], strict=True)]
        quantized = [name for name in graph.quantizable if split % 2 and dice.random() < 0.5]
        homes = {name: index for index, names in enumerate(parts) for name in names}
        cut = Cut(quantize(quantized), homes, frozenset(quantized))
        models = [fuse_silu(cut.extract(index)).SerializeToString() for index in range(len(parts))]
        shares = _shares([ServedModel(model, runtime) for model in models], whole, inputs)
        found += _parts(graph, parts, homes, frozenset(quantized), shares)
    return found


def _likely_cuts(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """How likely a cut is between each layer and the next one: half of it alike, half by what these two take."""
    beside = seconds[:-1] + seconds[1:]
    likely = np.full(len(beside), 1 / max(1, len(beside)))
    return (likely + beside / beside.sum()) / 2 if beside.any() else likely


def _parts(
    graph: ModelGraph,
    parts: Sequence[Sequence[str]],
    homes: Mapping[str, int],
    quantized: frozenset[str],
    shares: Sequence[float],
) -> list[Part]:
    entering: list[list[Tensor]] = [[] for _ in parts]
    leaving: list[list[Tensor]] = [[] for _ in parts]
    for tensor in graph.tensors:
        if tensor.source is not None:
            home = homes[tensor.source]
            others = {homes[name] for name in tensor.consumers if name is not None} - {home}
            for other in others:
                entering[other].append(tensor)
            if others:
                leaving[home].append(tensor)
    return [
        Part(tuple(names), quantized & frozenset(names), quantized, tuple(comes), tuple(goes), share)
        for names, comes, goes, share in zip(parts, entering, leaving, shares, strict=True)
    ]


def _shares(parts: Sequence[ServedModel], whole: ServedModel, inputs: Mapping[str, Array]) -> list[float]:
    """Usual seconds of each part, run in turns with the whole model, as shares of the whole's."""
    taken: list[list[float]] = [[] for _ in range(len(parts) + 1)]
    begin = time.perf_counter()
    least, most = _ROUNDS
    for round_ in range(most + 1):
        if round_ > least and time.perf_counter() - begin > _SECONDS:
            break
        values = dict(inputs)
        for index, model in enumerate([*parts, whole]):
            seconds, outputs = model.run(values)
            values |= outputs
            if round_:  # the first one warms up
                taken[index].append(seconds)
    *alone, together = map(usual, taken)
    return [seconds / together for seconds in alone]
