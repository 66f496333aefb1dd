"""Ranges that leave out rare extremes: the percentile and entropy calibrations of ONNX Runtime's library.

The library finds the range in a histogram of each tensor's values. It writes to standard output while it works,
which is kept from the user here.
"""

import io
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from typing import Literal

from onnxruntime.quantization.calibrate import HistogramCollector

from core.profiles import Range
from core.tensors import Array

PERCENTILE = 99.99
"""Share of the values, in percent, that the percentile calibration keeps."""

_BINS = {"percentile": 2048, "entropy": 512}
"""Bins of a tensor's histogram. The entropy method tries half of them as ranges, at milliseconds each."""

_QUANTIZED_BINS = 128


def histogram_ranges(
    values: Iterable[Mapping[str, Array]], method: Literal["percentile", "entropy"]
) -> dict[str, Range]:
    """Find a range for each tensor.

    Args:
        values: for each input the tensors' values, by name.
        method: ``percentile`` keeps ``PERCENTILE`` percent of the values, ``entropy`` chooses the range whose rounded
            distribution is nearest to the values' by Kullback-Leibler divergence.
    """
    collector = HistogramCollector(method, False, _BINS[method], _QUANTIZED_BINS, PERCENTILE, "same")
    with redirect_stdout(io.StringIO()):
        for tensors in values:
            collector.collect(tensors)
        found = collector.compute_collection_result()
    return {name: Range(float(low), float(high)) for name, (low, high, *_) in found.items()}
