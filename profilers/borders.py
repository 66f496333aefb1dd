"""What parts of a model take, cut at random: that corrects its layers' times, and tells what crossing costs.

A part that runs alone starts a session's run, takes its inputs from memory that is not in any cache, changes their
layout, copies its outputs, and runs apart what the runtime fuses in the whole model. So it takes longer than its layers
take inside the whole, and how much longer follows from what crosses: the coefficients are fitted to many small parts.

The runtime's profiler goes by the time of day, which runs on while other programs have the processor: on a busy machine
they meet the long layers in every run and the short ones in few. Parts are timed by the processor's time where that is
possible (``run_clock``). So the profiler says how a part's time divides among its layers, and the parts how much it is.
"""

import random
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from core.graph import ModelGraph, Tensor
from core.problem import BorderTime, LayerTime
from core.profiles import RuntimeSettings
from core.progress import Progress, no_progress
from core.tensors import Array
from model_divider.cutting import Cut
from profilers.node_times import lower_quartile
from profilers.served_runs import ServedModel

_SPLITS, _PARTS = 4, 10
"""How often the model is cut, and into how many parts."""
_ROUNDS = (4, 7)
"""Fewest and most runs of each part, in turns with the whole model."""
_SECONDS = 2.0
"""How long the runs of one split go on between these bounds."""
_CERTAIN_SECONDS, _CERTAIN_SHARE = 20e-6, 0.04
"""How exactly the time of a part is known: to so many seconds and such a share of it."""
_USUAL = np.array([3e-4, 5e-4, 5e-4, 5e-4])
"""About how large coefficients are: seconds for each tensor that enters, and seconds for each megabyte."""
_WRONG_SHARE = 0.5
"""By about which share of itself the profiler's time of a layer may be wrong."""
_CERTAIN_SUM = 0.01
"""How exactly the sum of all layers' times is known."""
_LEAST_FACTOR = 0.05
"""No layer's time is corrected to less than this share of itself."""
_INT8_SHARE = 0.25
"""Size of an int8 tensor beside a float32 one."""


@dataclass(frozen=True)
class Coefficients:
    """What crossing costs.

    Attributes:
        start_seconds: for each tensor that enters.
        entering_seconds_per_byte: of float tensors and int8 ones alike.
        leaving_seconds_per_byte: the same.
        breaking_seconds_per_byte: of a tensor that leaves a group of layers which the runtime fuses in the whole model.
    """

    start_seconds: float
    entering_seconds_per_byte: float
    leaving_seconds_per_byte: float
    breaking_seconds_per_byte: float

    def border(self, tensor: Tensor, fused: bool) -> BorderTime:
        """Times of a tensor; where its producer is int8 it is smaller, and nothing behind it is fused."""
        small = tensor.bytes * _INT8_SHARE
        breaking = self.breaking_seconds_per_byte if fused else 0.0
        return BorderTime(
            tensor.bytes * (self.leaving_seconds_per_byte + breaking),
            self.start_seconds + tensor.bytes * self.entering_seconds_per_byte,
            small * self.leaving_seconds_per_byte,
            self.start_seconds + small * self.entering_seconds_per_byte,
        )


def time_borders(
    model: onnx.ModelProto,
    graph: ModelGraph,
    times: Mapping[str, LayerTime],
    fused: Collection[str],
    runtime: RuntimeSettings,
    inputs: Mapping[str, Array],
    seed: int,
    progress: Progress = no_progress,
) -> tuple[dict[str, BorderTime], dict[str, float]]:
    """Cut the float model at random and time the parts: what do borders cost, and what do layers really take?

    The slow-down of ``runtime`` is not applied.

    Args:
        model: the admitted model.
        graph: its graph.
        times: seconds of its layers inside the whole, as they are to be planned with.
        fused: tensors inside groups of layers that the runtime fuses.
        runtime: how this server runs models.
        inputs: one input of the whole model.
        seed: makes cuts repeatable.
        progress: told what is being done.

    Returns:
        Border times of every tensor that a layer makes for another, empty where the model has too few layers to cut;
        and the layers' float seconds, corrected, with the same sum.
    """
    tensors = {tensor.name: tensor for tensor in graph.tensors if tensor.source is not None and any(tensor.consumers)}
    order = [name for name in graph.topological_order if name in graph.by_name]
    dice = random.Random(seed)  # noqa: S311 - no secret
    samples: list[tuple[list[float], list[float], float]] = []
    whole = ServedModel(model.SerializeToString(), runtime)
    expected = sum(times[name].seconds for name in order)
    for split in range(_SPLITS if len(order) > 1 else 0):
        progress(split / _SPLITS, f"timing parts of the model, cut at random ({split + 1} of {_SPLITS})")
        borders = sorted(dice.sample(range(1, len(order)), min(_PARTS, len(order)) - 1))
        parts = [order[begin:end] for begin, end in zip([0, *borders], [*borders, len(order)], strict=True)]
        cut = Cut(model, {name: index for index, names in enumerate(parts) for name in names}, frozenset())
        taken, whole_taken = _time_parts(cut, len(parts), whole, runtime, inputs)
        for index, names in enumerate(parts):
            entering = [tensors[name] for name in cut.inputs(index) if name in tensors]
            leaving = [tensor for name, tensor in tensors.items() if cut.source(name) == index and cut.receivers(name)]
            crossing = [
                float(len(entering)),
                float(sum(tensor.bytes for tensor in entering)),
                float(sum(tensor.bytes for tensor in leaving)),
                float(sum(tensor.bytes for tensor in leaving if tensor.name in fused)),
            ]
            # At the speed that the machine had when the layers were timed.
            seconds = taken[index] * expected / whole_taken
            inside = set(names)
            samples.append((crossing, [times[name].seconds * (name in inside) for name in order], seconds))
    floats = {name: times[name].seconds for name in order}
    if not samples or not expected:
        return {}, floats
    crossings, layers, taken_ = (np.array(column, np.float64) for column in zip(*samples, strict=True))
    coefficients, factors = fit(crossings, layers, taken_)
    corrected = {name: floats[name] * factor for name, factor in zip(order, factors.tolist(), strict=True)}
    scale = expected / sum(corrected.values())
    found = {name: coefficients.border(tensor, name in fused) for name, tensor in tensors.items()}
    return found, {name: seconds * scale for name, seconds in corrected.items()}


def fit(
    crossing: NDArray[np.float64], layers: NDArray[np.float64], seconds: NDArray[np.float64]
) -> tuple[Coefficients, NDArray[np.float64]]:
    """Find the coefficients, none below zero, and the layers' factors that explain best what parts take.

    Least squares, each part weighed by how exactly its time is known, with a prior: a coefficient of which the parts
    say little stays near zero, so that a few tiny tensors do not tell what large ones take, and factors of layers near
    one. The factors leave the sum of all layers as it is. A coefficient that would be negative is left out, the worst
    one first.

    Args:
        crossing: parts × 4: tensors that enter, their bytes, bytes that leave, bytes that leave fused groups.
        layers: parts × layers: seconds of each layer in its part, 0 in the others.
        seconds: of each part.

    Returns:
        The coefficients, and a factor for each layer.
    """
    weights = 1 / (_CERTAIN_SECONDS + _CERTAIN_SHARE * seconds)
    excess = seconds - layers.sum(axis=1)
    count = layers.shape[1]
    each = layers.max(axis=0, initial=0.0)
    balance = each / (_CERTAIN_SUM * max(each.sum(), 1e-12))
    changes = np.zeros(count)
    # In megabytes, so that the columns are alike.
    scale = np.array([1.0, 1e-6, 1e-6, 1e-6])
    columns = [column for column in range(4) if crossing[:, column].any()]
    found = np.zeros(4)
    while True:
        used = len(columns)
        rows = np.vstack(
            [
                np.hstack([(crossing * scale)[:, columns], layers]) * weights[:, None],
                np.diag(np.concatenate([1 / _USUAL[columns], np.full(count, 1 / _WRONG_SHARE)])),
                np.concatenate([np.zeros(used), balance]),
            ]
        )
        solved = np.linalg.lstsq(rows, np.append(excess * weights, np.zeros(used + count + 1)), rcond=None)[0]
        changes = solved[used:]
        if not used or solved[:used].min() >= 0:
            found[columns] = solved[:used]
            break
        del columns[int(np.argmin(solved[:used]))]
    return Coefficients(*(found * scale).tolist()), np.maximum(1 + changes, _LEAST_FACTOR)


def _time_parts(
    cut: Cut, count: int, whole: ServedModel, runtime: RuntimeSettings, inputs: Mapping[str, Array]
) -> tuple[list[float], float]:
    """Lower quartiles of the seconds of each part and of the whole model, run in turns."""
    parts = [ServedModel(cut.extract(index).SerializeToString(), runtime) for index in range(count)]
    taken: list[list[float]] = [[] for _ in range(count + 1)]
    begin = time.perf_counter()
    least, most = _ROUNDS
    for round_ in range(most + 1):
        if round_ > least and time.perf_counter() - begin > _SECONDS:
            break
        values = dict(inputs)
        for index, part in enumerate([*parts, whole]):
            seconds, outputs = part.run(values)
            values |= outputs
            if round_:  # the first one warms up
                taken[index].append(seconds)
    *alone, together = map(lower_quartile, taken)
    return alone, together
