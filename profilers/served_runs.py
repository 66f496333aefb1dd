"""Runs of models as a server makes them for requests, so that what is measured holds there.

A server's run takes its inputs from memory that is in no cache, in the way of ``inferencer.session``, and after a
pause, in which others compute or tensors are on their way: a tiny component takes 0.2 ms so, against 0.02 ms of the
runtime's bare run in a hot loop, and a tenth of a transformer takes 0.5 ms longer after 50 ms than after 5.
"""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from core.profiles import RuntimeSettings
from core.tensors import Array
from inferencer.session import Session, run_clock

PAUSE_SECONDS = 0.05
"""Before each run: the first of a processor's work is slower than if it had gone on; longer pauses add nothing."""


class ServedModel:
    """One loaded model, at the machine's own speed: the slow-down of ``runtime`` is not applied."""

    def __init__(self, model: bytes, runtime: RuntimeSettings) -> None:
        """Load ``model``, an ONNX file's bytes.

        Raises:
            InvalidModelError: the runtime refuses the model or the provider is not there.
        """
        self._session = Session(model, replace(runtime, slowdown=1.0))
        self._clock = run_clock(runtime)

    def run(self, values: Mapping[str, Array]) -> tuple[float, dict[str, Array]]:
        """Run once; returns the seconds and the outputs.

        Args:
            values: the model's inputs among others.
        """
        # Copies, as if they had just arrived.
        inputs = {name: values[name].copy() for name in self._session.inputs}
        time.sleep(PAUSE_SECONDS)
        start = self._clock()
        outputs = self._session.run(inputs)
        return self._clock() - start, outputs


def usual(seconds: Sequence[float]) -> float:
    """The mean without the slowest fifth, in which something else was at work.

    Of a processor that is now faster, now slower, a quantile says less of long runs, in which both average out, than of
    short ones: the lower quartiles of parts add up to less than the whole's.
    """
    return statistics.fmean(sorted(seconds)[: -(len(seconds) // 5) or None])
