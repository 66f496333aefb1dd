"""What the bench found, and its figures."""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.pipeline.load import Load


@dataclass(frozen=True)
class ModelResult:
    """One model's measurements, taken in turns.

    Attributes:
        model: its name.
        crossing_bytes: of the tensors between the two servers, there and back.
        cut_bound: what both servers take by what the slower one takes, each alone: no gain is above it.
        whole: loads of the whole model on the first core, which the callers have too.
        second: the same on the second core.
        halves: loads of the same in two halves on two servers, a core each, the callers on one of them.
        independent: answers per second of two whole models, one on each core, at the same time.
        curve: loads of the two halves, from one request in flight to many, each the median of its turns.
        link: loads of the two halves where the link between them is slower than both.
        link_seconds: what that link needs for the tensors of a request.
    """

    model: str
    crossing_bytes: int
    cut_bound: float
    whole: Sequence[Load]
    second: Sequence[Load]
    halves: Sequence[Load]
    independent: Sequence[float]
    curve: Sequence[Load]
    link: Sequence[Load]
    link_seconds: float

    @property
    def one_core(self) -> Sequence[float]:
        """Answers per second of a core that has the whole model, in each turn: the mean of the two, just as fast.

        On a shared host one or the other is slower for seconds at a time.
        """
        pairs = zip(self.whole, self.second, strict=True)
        return [statistics.fmean((one.answers_per_second, other.answers_per_second)) for one, other in pairs]

    @property
    def speedup(self) -> float:
        """Answers per second of two cores by those of one, median over the turns."""
        return statistics.median(self._speedups(one.answers_per_second for one in self.halves))

    @property
    def best_speedup(self) -> float:
        """The same, each in the turn in which other programs and the host's other guests took least from it."""
        return best(self.halves) / statistics.fmean((best(self.whole), best(self.second)))

    @property
    def independent_speedup(self) -> float:
        """``speedup`` of two whole models side by side: what the machine's two cores can do."""
        return statistics.median(self._speedups(self.independent))

    def _speedups(self, rates: Iterable[float]) -> Iterator[float]:
        return (two / one for one, two in zip(self.one_core, rates, strict=True))

    @property
    def processor_speedup(self) -> float:
        """Processor time of an answer on the busier core, whole by divided: the gain if nothing ever waited.

        Other programs disturb it less than they do rates.
        """
        return statistics.median(
            statistics.fmean((one.busiest_core_seconds, other.busiest_core_seconds)) / two.busiest_core_seconds
            for one, other, two in zip(self.whole, self.second, self.halves, strict=True)
        )

    @property
    def bound_ratio(self) -> float:
        """Answers per second by the inverse of what the busiest server computed for one, median over the turns."""
        return statistics.median(one.answers_per_second * one.busiest_seconds for one in self.halves)

    @property
    def alone_bound_ratio(self) -> float:
        """The same where computing is timed while one request alone is in flight, and the other core idles."""
        alone = min(self.curve, key=lambda one: one.in_flight).busiest_seconds
        return statistics.median(one.answers_per_second for one in self.halves) * alone

    @property
    def link_bound_ratio(self) -> float:
        """Answers per second by what the slow link lets through, or a server that was even slower then; median."""
        return statistics.median(
            one.answers_per_second * max(self.link_seconds, one.busiest_seconds) for one in self.link
        )

    @property
    def core_busy_share(self) -> float:
        """Share of the time in which the busier core works, median over the turns.

        On handling requests and tensors too, which ``bound_ratio`` counts only where it holds up computing; what the
        host gives to other machines is missing.
        """
        return statistics.median(one.answers_per_second * one.busiest_core_seconds for one in self.halves)

    def figures(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "crossing_bytes": self.crossing_bytes,
            "whole_answers_per_second": statistics.median(self.one_core),
            "answers_per_second": statistics.median(one.answers_per_second for one in self.halves),
            "latency_seconds": statistics.median(one.latency_seconds for one in self.halves),
            "in_flight": self.halves[0].in_flight,
            "two_core_speedup": self.speedup,
            "best_speedup": self.best_speedup,
            "processor_speedup": self.processor_speedup,
            "core_seconds": {
                "whole": _medians([one.core_seconds for one in self.whole]),
                "divided": _medians([one.core_seconds for one in self.halves]),
            },
            "cut_bound": self.cut_bound,
            "independent_speedup": self.independent_speedup,
            "bound_ratio": self.bound_ratio,
            "alone_bound_ratio": self.alone_bound_ratio,
            "link_bound_ratio": self.link_bound_ratio,
            "core_busy_share": self.core_busy_share,
            "by_requests_in_flight": {one.in_flight: one.answers_per_second for one in self.curve},
            "core_seconds_by_requests_in_flight": {one.in_flight: one.busiest_core_seconds for one in self.curve},
        }


def best(loads: Sequence[Load]) -> float:
    """Most answers per second of several turns."""
    return max(one.answers_per_second for one in loads)


def _medians(seconds: Sequence[Mapping[int, float]]) -> dict[int, float]:
    return {core: statistics.median(one[core] for one in seconds) for core in seconds[0]}


def summary(results: Sequence[ModelResult]) -> dict[str, Any]:
    """The headline figures, each the least over the models, and every model's own."""
    models: Mapping[str, Any] = {one.model: one.figures() for one in results}
    return {
        "two_core_speedup": min(one.speedup for one in results),
        "best_speedup": min(one.best_speedup for one in results),
        "bound_ratio": min(min(one.bound_ratio, one.link_bound_ratio) for one in results),
        "independent_speedup": min(one.independent_speedup for one in results),
        "models": models,
    }
