"""What parts of a model take, cut at random: that corrects its layers' times, and tells what crossing costs.

A part that runs alone starts a session's run, takes its inputs from memory that is not in any cache, changes their
layout, copies its outputs, and runs apart what the runtime fuses in the whole model. So it takes longer than its layers
take inside the whole, and how much longer follows from what crosses: the coefficients are fitted to many small parts.

The runtime's profiler goes by the time of day, which runs on while other programs have the processor: on a busy machine
they meet the long layers in every run and the short ones in few. Parts are timed by the processor's time where that is
possible (``run_clock``). So the profiler says how a part's time divides among its layers, and the parts how much it is.

In half of the cuts random layers are int8. What an int8 layer takes depends on whether those around it are int8 too:
its input may have to be rounded, and its result be made float again. Plans know one time of it, which is therefore
fitted to random company rather than to that of all others. But where each is cut off from its company they seem to take
more than they do together, so that what the whole model takes with all of them in int8 is kept to as well.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.graph import ModelGraph, Tensor
from core.problem import BorderTime, LayerTime
from profilers.random_parts import Part

_CERTAIN_SECONDS, _CERTAIN_SHARE = 20e-6, 0.04
"""How exactly the time of a part is known: to so many seconds and such a share of it."""
_USUAL = np.array([3e-4, 1e-4, 5e-4, 5e-4, 5e-4])
"""About how large coefficients are: seconds to start, for each tensor that enters, and for each megabyte."""
_WRONG_SHARE = 0.5
"""By about which share of itself the profiler's time of a layer may be wrong."""
_CERTAIN_SUM = 0.01
"""How exactly it is known what all layers take together."""
_LEAST_FACTOR = 0.05
"""No layer's time is corrected to less than this share of itself."""
_LEAST_INT8 = 0.1
"""An int8 layer's time is at least this share of its float time, before it is corrected."""
_INT8_SHARE = 0.25
"""Size of an int8 tensor beside a float32 one."""


@dataclass(frozen=True)
class Coefficients:
    """What crossing costs.

    Attributes:
        start_seconds: of a part.
        tensor_seconds: for each tensor that enters.
        entering_seconds_per_byte: of float tensors and int8 ones alike.
        leaving_seconds_per_byte: the same.
        breaking_seconds_per_byte: of a tensor that leaves a group of layers which the runtime fuses in the whole model.
    """

    start_seconds: float
    tensor_seconds: float
    entering_seconds_per_byte: float
    leaving_seconds_per_byte: float
    breaking_seconds_per_byte: float

    def border(self, tensor: Tensor, fused: bool, share: float) -> BorderTime:
        """Times of a tensor that bears a share of the start.

        Where its producer is int8 it is smaller, and nothing behind it is fused.
        """
        start = self.start_seconds * share + self.tensor_seconds
        small = tensor.bytes * _INT8_SHARE
        breaking = self.breaking_seconds_per_byte if fused else 0.0
        return BorderTime(
            tensor.bytes * (self.leaving_seconds_per_byte + breaking),
            start + tensor.bytes * self.entering_seconds_per_byte,
            small * self.leaving_seconds_per_byte,
            start + small * self.entering_seconds_per_byte,
        )


def explain(
    parts: Sequence[Part],
    graph: ModelGraph,
    times: Mapping[str, LayerTime],
    fused: Collection[str],
    mixed_seconds: float | None = None,
) -> tuple[dict[str, BorderTime], dict[str, LayerTime]]:
    """What do borders cost, and what do layers really take?

    Args:
        parts: of the model, timed.
        graph: the model.
        times: seconds of its layers, among others, inside the whole, as the runtime's profiler says.
        fused: tensors inside groups of layers that the runtime fuses.
        mixed_seconds: of the whole model with all layers in int8 that have int8 times; ``None`` where none has.

    Returns:
        Border times of every tensor that a layer makes for another, empty where there are no parts; and the layers'
        times, corrected, whose float seconds have the same sum.
    """
    floats = {name: times[name].seconds for name in graph.by_name}
    expected = sum(floats.values())
    if not parts or not expected:
        return {}, {name: times[name] for name in floats}
    integers = {
        name: max(quantized, _LEAST_INT8 * times[name].seconds)
        for name in graph.by_name
        if (quantized := times[name].quantized_seconds) is not None
    }
    crossings = [_crossing(part, fused) for part in parts]
    layers = [
        [
            *(seconds * (name in part.layers and name not in part.quantized) for name, seconds in floats.items()),
            *(seconds * (name in part.quantized) for name, seconds in integers.items()),
        ]
        for part in parts
    ]
    # At the speed that the machine had when the layers were timed.
    seconds = np.array([part.share * expected for part in parts])
    own = np.array([*floats.values(), *integers.values()])
    known = [(own * ([True] * len(floats) + [False] * len(integers)), expected)]
    if mixed_seconds is not None:
        known.append((own * ([name not in integers for name in floats] + [True] * len(integers)), mixed_seconds))
    coefficients, factors = fit(np.array(crossings), np.array(layers), seconds, known)
    scaled = dict(zip(floats, (factors[: len(floats)] * np.array([*floats.values()])).tolist(), strict=True))
    scale = expected / sum(scaled.values())
    rounded = dict(zip(integers, (factors[len(floats) :] * np.array([*integers.values()])).tolist(), strict=True))
    return (
        {
            tensor.name: coefficients.border(tensor, tensor.name in fused, share)
            for tensor, share in _shares(graph).items()
        },
        {name: LayerTime(seconds * scale, rounded.get(name)) for name, seconds in scaled.items()},
    )


def _shares(graph: ModelGraph) -> dict[Tensor, float]:
    """Which share of a start each tensor between layers bears, so that those that cross together bear one.

    A plan pays for tensors, not for components. Where a model is cut between two layers of its order, n tensors cross;
    a tensor that crosses at several such places bears the mean of their 1 / n.
    """
    position = {name: index for index, name in enumerate(graph.topological_order)}
    crossing = {
        tensor: slice(position[tensor.source], max(position[name] for name in tensor.consumers if name is not None))
        for tensor in graph.tensors
        if tensor.source is not None and any(tensor.consumers)
    }
    together = np.zeros(len(position))
    for places in crossing.values():
        together[places] += 1
    return {tensor: float((1 / together[places]).mean()) for tensor, places in crossing.items()}


def _crossing(part: Part, fused: Collection[str]) -> tuple[float, float, float, float, float]:
    """Whether any tensor enters, how many do, their bytes, bytes that leave, bytes that leave fused groups."""
    entering = sum(_bytes(tensor, tensor.source in part.made_in_int8) for tensor in part.entering)
    leaving = {tensor.name: _bytes(tensor, tensor.source in part.quantized) for tensor in part.leaving}
    broken = sum(
        leaving[tensor.name] for tensor in part.leaving if tensor.name in fused and tensor.source not in part.quantized
    )
    return float(bool(part.entering)), float(len(part.entering)), entering, sum(leaving.values()), broken


def _bytes(tensor: Tensor, quantized: bool) -> float:
    return tensor.bytes * (_INT8_SHARE if quantized else 1.0)


def fit(
    crossing: NDArray[np.float64],
    layers: NDArray[np.float64],
    seconds: NDArray[np.float64],
    known: Sequence[tuple[NDArray[np.float64], float]] | None = None,
) -> tuple[Coefficients, NDArray[np.float64]]:
    """Find the coefficients, none below zero, and the layers' factors that explain best what parts take.

    Least squares, each part weighed by how exactly its time is known, with a prior: a coefficient of which the parts
    say little stays near zero, so that a few tiny tensors do not tell what large ones take, and factors of layers near
    one. A coefficient that would be negative is left out, the worst one first.

    Args:
        crossing: parts × 5: whether tensors enter, how many, their bytes, bytes that leave, bytes that leave fused
            groups.
        layers: parts × layers: seconds of each layer in its part, 0 in the others.
        seconds: of each part.
        known: sums of layers that are known: the seconds of each, 0 of those that are no part of it, and what they
            really take together; ``None``: all layers, whose sum is right.

    Returns:
        The coefficients, and a factor for each layer.
    """
    weights = 1 / (_CERTAIN_SECONDS + _CERTAIN_SHARE * seconds)
    excess = seconds - layers.sum(axis=1)
    count = layers.shape[1]
    if known is None:
        each = layers.max(axis=0, initial=0.0)
        known = [(each, each.sum())]
    sums = np.array([row for row, _ in known])
    totals = np.array([total for _, total in known])
    certain = 1 / (_CERTAIN_SUM * np.maximum(totals, 1e-12))
    wrong = np.concatenate([excess * weights, (totals - sums.sum(axis=1)) * certain])
    changes = np.zeros(count)
    # In megabytes, so that the columns are alike.
    scale = np.array([1.0, 1.0, 1e-6, 1e-6, 1e-6])
    columns = [column for column in range(len(scale)) if crossing[:, column].any()]
    found = np.zeros(len(scale))
    while True:
        used = len(columns)
        rows = np.vstack(
            [
                np.hstack([(crossing * scale)[:, columns], layers]) * weights[:, None],
                np.hstack([np.zeros((len(sums), used)), sums * certain[:, None]]),
                np.diag(np.concatenate([1 / _USUAL[columns], np.full(count, 1 / _WRONG_SHARE)])),
            ]
        )
        solved = np.linalg.lstsq(rows, np.append(wrong, np.zeros(used + count)), rcond=None)[0]
        changes = solved[used:]
        if not used or solved[:used].min() >= 0:
            found[columns] = solved[:used]
            break
        del columns[int(np.argmin(solved[:used]))]
    return Coefficients(*(found * scale).tolist()), np.maximum(1 + changes, _LEAST_FACTOR)
