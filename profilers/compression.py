"""How small a model's tensors become, and how long that takes: on real values, by what will compress them."""

import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx

from core.graph import ModelGraph, Tensor
from core.problem import Compression
from core.profiles import QuantizationSettings, Range, RuntimeSettings
from core.tensors import Array
from inferencer.compression import BLOCK_BYTES, compress, decompress
from inferencer.session import open_session, session_options
from model_divider.rounding import round_activation

LEAST_BYTES = 2**16
"""Smaller tensors are not compressed: sending them takes hardly longer than sending nothing."""

MOST_SAMPLES = 3

_LEAST_SAVING = 0.03
"""Tensors of which more is left are not worth mentioning."""

_ROUNDS = 5

_AT_ONCE_BYTES = 2**28
"""Of tensors, about, that are looked at in one run of the model."""


def measure_compression(
    model: onnx.ModelProto,
    graph: ModelGraph,
    ranges: Mapping[str, Range],
    samples: Sequence[Mapping[str, Array]],
    settings: QuantizationSettings,
) -> tuple[dict[str, Compression], dict[str, Compression]]:
    """Compress every tensor that may cross, on a few samples; the one counts of which most is left.

    Of a page of text half as much is left as of a photo, say. Seconds are those of this machine;
    ``reference_seconds`` tells how others compare with it.

    Args:
        model: an admitted model, wire layers included.
        graph: its layers and tensors.
        ranges: of what its int8 layers round.
        samples: real inputs of the model, of which the first ``MOST_SAMPLES`` are used.
        settings: how layers become int8.

    Returns:
        By tensor, of those that become smaller: as made in float, and as made by an int8 layer.
    """
    able = [tensor for tensor in graph.tensors if tensor.dtype is not None and tensor.bytes >= LEAST_BYTES]
    floating: dict[str, Compression] = {}
    rounded: dict[str, Compression] = {}
    int8 = frozenset(graph.quantizable)
    for tensor, values in _values(model, able, samples[:MOST_SAMPLES]):
        _keep_larger(floating, tensor.name, measure_tensor(values))
        if tensor.producer in int8 and tensor.name in ranges and tensor.bytes >= 4 * LEAST_BYTES:
            whole = round_activation(values.astype(np.float32), ranges[tensor.name], settings.activation_type)
            _keep_larger(rounded, tensor.name, measure_tensor(whole))
    return _smaller(floating), _smaller(rounded)


def reference_seconds() -> float:
    """Time of compressing and decompressing a block that is the same everywhere: compares machines."""
    values = np.random.default_rng(0).standard_normal(BLOCK_BYTES // 4).astype(np.float32)
    measured = [measure_tensor(values) for _ in range(_ROUNDS)]
    return min(one.compress_seconds + one.decompress_seconds for one in measured)


def _values(
    model: onnx.ModelProto, tensors: Sequence[Tensor], samples: Sequence[Mapping[str, Array]]
) -> Iterator[tuple[Tensor, Array]]:
    """The tensors' values on the samples, of a few tensors at a time."""
    groups: list[list[Tensor]] = []
    room = 0
    for tensor in tensors:
        if tensor.source is None:
            yield from ((tensor, sample[tensor.name]) for sample in samples)
            continue
        if room < tensor.bytes:
            groups.append([])
            room = _AT_ONCE_BYTES
        groups[-1].append(tensor)
        room -= tensor.bytes
    for group in groups:
        names = [tensor.name for tensor in group]
        shown = onnx.ModelProto()
        shown.CopyFrom(model)
        del shown.graph.output[:]
        shown.graph.output.extend(map(onnx.helper.make_empty_tensor_value_info, names))
        runtime = RuntimeSettings()
        session = open_session(shown.SerializeToString(), runtime, session_options(runtime))
        for sample in samples:
            yield from zip(group, session.run(names, dict(sample)), strict=True)


def measure_tensor(values: Array) -> Compression:
    """Compress one tensor, and read it again, on this machine."""
    data = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
    left, compressing, decompressing = 0, 0.0, 0.0
    memory = np.empty(min(BLOCK_BYTES, data.nbytes), np.uint8)
    for start in range(0, data.nbytes, BLOCK_BYTES):
        block = data[start : start + BLOCK_BYTES]
        begun = time.thread_time()
        made = compress(block, values.itemsize)
        compressed = time.thread_time()
        if made is not None:
            decompress(memoryview(made), memory[: block.nbytes], values.itemsize)
        compressing += compressed - begun
        decompressing += time.thread_time() - compressed
        left += block.nbytes if made is None else len(made)
    return Compression(left / data.nbytes, compressing, decompressing)


def _keep_larger(known: dict[str, Compression], name: str, found: Compression) -> None:
    if name not in known or known[name].ratio < found.ratio:
        known[name] = found


def _smaller(measured: Mapping[str, Compression]) -> dict[str, Compression]:
    return {name: one for name, one in measured.items() if one.ratio <= 1 - _LEAST_SAVING}
