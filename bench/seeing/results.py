"""What the bench found, and how certain it is."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.seeing.switch import Seen
from services.runtime.trace_sampler import TRACES_PER_SECOND

Numbers = NDArray[np.float64]

READ_EVERY_SECONDS = 15.0
"""How often Prometheus reads the metrics unless told otherwise."""

SEND_EVERY_SECONDS = 5.0
"""How often OpenTelemetry sends traces unless told otherwise."""

TRIMMED = 0.2
"""Share of the rounds that does not count at either end: other programs add much to some."""

RESAMPLES, CONFIDENCE = 1000, 0.95


@dataclass(frozen=True)
class Turn:
    """A request.

    Attributes:
        seconds: processor time of all that takes part.
        other_seconds: the same without what the model itself computes.
    """

    seconds: float
    other_seconds: float


@dataclass(frozen=True)
class Interval:
    """A share of the processor time of a request, and between which limits it is with 95 % confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ModelResult:
    """One model's measurements.

    Attributes:
        model: its name.
        turns: what was seen → requests, one for each round, in which all kinds follow each other.
        read_seconds: processor time of reading the metrics once.
        send_seconds: of sending the traces of ``SEND_EVERY_SECONDS``.
    """

    model: str
    turns: Mapping[Seen, Sequence[Turn]]
    read_seconds: float
    send_seconds: float

    @property
    def request_seconds(self) -> float:
        """Processor time of a request of which nothing is seen."""
        return statistics.median(turn.seconds for turn in self.turns["nothing"])

    @property
    def traced_share(self) -> float:
        """Of the requests that a processor answers which does nothing else."""
        return min(1.0, TRACES_PER_SECOND * self.request_seconds)

    def added_seconds(self, seen: Seen) -> Numbers:
        """Processor time that seeing so much adds to a request, by round.

        Computing is left out: it is the same, and its own ups and downs are larger than what is looked for.
        """
        without, with_it = ([turn.other_seconds for turn in self.turns[kind]] for kind in ("nothing", seen))
        added: Numbers = np.array(with_it) - np.array(without)
        return added

    def cost(self, seen: Seen) -> Interval:
        """Share of a busy processor that seeing so much takes, and so of the throughput.

        What is done now and then is part of it, and traces count as often as requests are traced.
        """
        counted, traced = self.added_seconds("metrics"), self.added_seconds("metrics and traces")
        now_and_then = self.read_seconds / READ_EVERY_SECONDS
        if seen == "metrics and traces":
            counted = (1 - self.traced_share) * counted + self.traced_share * traced
            now_and_then += self.send_seconds / SEND_EVERY_SECONDS
        value, low, high = (seconds / self.request_seconds + now_and_then for seconds in mean_and_limits(counted))
        return Interval(value, low, high)

    def figures(self) -> dict[str, Any]:
        """For ``--json``."""
        traces = self.added_seconds("metrics and traces") - self.added_seconds("metrics")
        costs = {"metrics": self.cost("metrics"), "metrics_and_traces": self.cost("metrics and traces")}
        return {
            "request_seconds": self.request_seconds,
            "read_seconds": self.read_seconds,
            "send_seconds": self.send_seconds,
            "counting_seconds": mean_and_limits(self.added_seconds("metrics")),
            "tracing_seconds": mean_and_limits(traces),
            "traced_share": self.traced_share,
            **{f"{name}_cost": cost.value for name, cost in costs.items()},
            **{f"{name}_cost_low": cost.low for name, cost in costs.items()},
            **{f"{name}_cost_high": cost.high for name, cost in costs.items()},
            "requests": len(self.turns["nothing"]),
        }


def mean_and_limits(values: Numbers) -> tuple[float, float, float]:
    """The trimmed mean, and percentiles of such means over values drawn again (bootstrap; Efron 1979)."""
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(_trimmed_means(values[draws]), (tail, 1 - tail))
    return float(_trimmed_means(values[None])[0]), float(low), float(high)


def _trimmed_means(values: Numbers) -> Numbers:
    """Of each row."""
    cut = int(values.shape[1] * TRIMMED)
    means: Numbers = np.sort(values, axis=1)[:, cut : values.shape[1] - cut].mean(axis=1)
    return means


def summary(results: Sequence[ModelResult]) -> dict[str, Any]:
    """The figures, the first model's as headline."""
    return {**results[0].figures(), "models": {one.model: one.figures() for one in results}}
