"""What the bench found, and how certain it is."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.seeing.switch import KINDS, Seen

Numbers = NDArray[np.float64]

READ_EVERY_SECONDS = 15.0
"""How often Prometheus reads the metrics unless told otherwise."""

SEND_EVERY_SECONDS = 5.0
"""How often OpenTelemetry sends traces unless told otherwise."""

TRIMMED = 0.2
"""Share of the rounds that does not count at either end: other programs add much in some."""

RESAMPLES, CONFIDENCE = 10_000, 0.95


@dataclass(frozen=True)
class Turn:
    """Some requests.

    Attributes:
        request_seconds: processor time of each, of all that takes part.
        other_seconds: the same without what the model itself computes.
        answers_per_second: how many were answered, by the clock.
    """

    request_seconds: float
    other_seconds: float
    answers_per_second: float


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
        turns: what was seen → turns, one for each round, in which all kinds follow each other.
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
        return statistics.median(turn.request_seconds for turn in self.turns["nothing"])

    def added_seconds(self, seen: Seen) -> list[float]:
        """Processor time that seeing so much adds to a request, by round.

        Computing is left out: it is the same, and its own ups and downs are larger than what is looked for.
        """
        rounds = zip(self.turns["nothing"], self.turns[seen], strict=True)
        return [with_it.other_seconds - without.other_seconds for without, with_it in rounds]

    def cost(self, seen: Seen) -> Interval:
        """Share of the throughput of a busy processor that seeing so much takes, what is done now and then included.

        The trimmed mean over the rounds, between percentiles of such means over rounds drawn again (bootstrap; Efron
        1979).
        """
        added = np.array(self.added_seconds(seen))
        draws = np.random.default_rng(0).integers(len(added), size=(RESAMPLES, len(added)))
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(_trimmed_means(added[draws]), (tail, 1 - tail))
        now_and_then = self.read_seconds / READ_EVERY_SECONDS
        if seen == "metrics and traces":
            now_and_then += self.send_seconds / SEND_EVERY_SECONDS
        value = float(_trimmed_means(added[None])[0])
        return Interval(*(float(seconds) / self.request_seconds + now_and_then for seconds in (value, low, high)))

    def figures(self) -> dict[str, Any]:
        """For ``--json``."""
        costs = {"metrics": self.cost("metrics"), "metrics_and_traces": self.cost("metrics and traces")}
        return {
            "request_seconds": self.request_seconds,
            "read_seconds": self.read_seconds,
            "send_seconds": self.send_seconds,
            "added_seconds": {
                seen: float(_trimmed_means(np.array([self.added_seconds(seen)]))[0]) for seen in KINDS[1:]
            },
            "answers_per_second": {
                seen: statistics.median(turn.answers_per_second for turn in self.turns[seen]) for seen in KINDS
            },
            **{f"{name}_cost": cost.value for name, cost in costs.items()},
            **{f"{name}_cost_low": cost.low for name, cost in costs.items()},
            **{f"{name}_cost_high": cost.high for name, cost in costs.items()},
            "rounds": len(self.turns["nothing"]),
        }


def _trimmed_means(values: Numbers) -> Numbers:
    """Of each row."""
    cut = int(values.shape[1] * TRIMMED)
    means: Numbers = np.sort(values, axis=1)[:, cut : values.shape[1] - cut].mean(axis=1)
    return means


def summary(results: Sequence[ModelResult]) -> dict[str, Any]:
    """The figures, the first model's as headline."""
    return {**results[0].figures(), "models": {one.model: one.figures() for one in results}}
