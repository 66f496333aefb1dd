"""What crossing from server to server costs in computing: measured on parts of the model, cut at random.

A part that runs alone starts a session's run, takes its inputs from memory that is not in any cache, changes their
layout, copies its outputs, and runs apart what the runtime fuses in the whole model. So it takes longer than its layers
take inside the whole, and how much longer follows from what crosses: the coefficients are fitted to many small parts.
"""

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from core.graph import ModelGraph, Tensor
from core.problem import BorderTime, LayerTime
from core.profiles import RuntimeSettings
from core.progress import Progress, no_progress
from core.tensors import Array
from inferencer.session import open_session, run_clock, session_options
from model_divider.cutting import Cut
from profilers.node_times import lower_quartile

_SPLITS, _PARTS = 4, 10
"""How often the model is cut, and into how many parts."""
_ROUNDS = (4, 7)
"""Fewest and most runs of each part, in turns with the whole model."""
_SECONDS = 2.0
"""How long the runs of one split go on between these bounds."""
_PAUSE_SECONDS = 0.01
"""Before each run, as a server pauses between components: the first of its work is slower than if it had gone on."""
_CERTAIN_SECONDS, _CERTAIN_SHARE = 20e-6, 0.04
"""How exactly the time of a part is known: to so many seconds and such a share of it."""
_USUAL = np.array([3e-4, 5e-4, 5e-4, 5e-4])
"""About how large coefficients are: seconds for each tensor that enters, and seconds for each megabyte."""
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
) -> dict[str, BorderTime]:
    """Cut the float model at random, time the parts, and find out what the borders of every tensor cost.

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
        Border times of every tensor that a layer makes for another; empty where the model has too few layers to cut.
    """
    tensors = {tensor.name: tensor for tensor in graph.tensors if tensor.source is not None and any(tensor.consumers)}
    order = [name for name in graph.topological_order if name in graph.by_name]
    dice = random.Random(seed)  # noqa: S311 - no secret
    samples: list[tuple[list[float], float, float]] = []
    whole = open_session(model.SerializeToString(), runtime, session_options(runtime))
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
            samples.append((crossing, seconds - sum(times[name].seconds for name in names), seconds))
    if not samples:
        return {}
    coefficients = fit(*(np.array(column, np.float64) for column in zip(*samples, strict=True)))
    return {name: coefficients.border(tensor, name in fused) for name, tensor in tensors.items()}


def fit(crossing: NDArray[np.float64], excess: NDArray[np.float64], seconds: NDArray[np.float64]) -> Coefficients:
    """Find the coefficients, none below zero, that explain best what parts take beyond their layers.

    Least squares, each part weighed by how exactly its time is known, with a prior: a coefficient of which the parts
    say little stays near zero, so that a few tiny tensors do not tell what large ones take. A coefficient that would
    be negative is left out, the worst one first.

    Args:
        crossing: parts × 4: tensors that enter, their bytes, bytes that leave, bytes that leave fused groups.
        excess: seconds of each part beyond the sum of its layers.
        seconds: of each part.
    """
    weights = 1 / (_CERTAIN_SECONDS + _CERTAIN_SHARE * seconds)
    # In megabytes, so that the columns are alike.
    scale = np.array([1.0, 1e-6, 1e-6, 1e-6])
    columns = [column for column in range(4) if crossing[:, column].any()]
    found = np.zeros(4)
    while columns:
        rows = np.vstack([(crossing * scale)[:, columns] * weights[:, None], np.diag(1 / _USUAL[columns])])
        solved = np.linalg.lstsq(rows, np.append(excess * weights, np.zeros(len(columns))), rcond=None)[0]
        if solved.min() >= 0:
            found[columns] = solved
            break
        del columns[int(np.argmin(solved))]
    return Coefficients(*(found * scale).tolist())


def _time_parts(
    cut: Cut, count: int, whole: ort.InferenceSession, runtime: RuntimeSettings, inputs: Mapping[str, Array]
) -> tuple[list[float], float]:
    """Lower quartiles of the seconds of each part and of the whole model, run in turns."""
    sessions = [
        open_session(cut.extract(index).SerializeToString(), runtime, session_options(runtime))
        for index in range(count)
    ]
    taken: list[list[float]] = [[] for _ in range(count + 1)]
    begin = time.perf_counter()
    least, most = _ROUNDS
    for round_ in range(most + 1):
        if round_ > least and time.perf_counter() - begin > _SECONDS:
            break
        for index, seconds in enumerate(_run_once([*sessions, whole], run_clock(runtime), inputs)):
            if round_:  # the first one warms up
                taken[index].append(seconds)
    *parts, all_at_once = map(lower_quartile, taken)
    return parts, all_at_once


def _run_once(
    sessions: Sequence[ort.InferenceSession], clock: Callable[[], float], inputs: Mapping[str, Array]
) -> Iterator[float]:
    values = dict(inputs)
    for session in sessions:
        # Copies, as if they had just arrived.
        read = {value.name: values[value.name].copy() for value in session.get_inputs()}
        names = [value.name for value in session.get_outputs()]
        time.sleep(_PAUSE_SECONDS)
        start = clock()
        outputs = session.run(names, read)
        yield clock() - start
        values.update(zip(names, outputs, strict=True))
