"""What the bench found, and its figures."""

import statistics
from collections.abc import Mapping, Sequence
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
        whole: loads of the whole model on one server, where the callers have its core too.
        helped: the same where they have the other core.
        halves: loads of the same in two halves on two servers, a core each, the callers on one of them.
        independent: answers per second of two whole models, one on each core, at the same time.
        curve: loads of the two halves, from one request in flight to many, each the best of its turns.
        link: loads of the two halves where the link between them is slower than both.
        link_seconds: what that link needs for the tensors of a request.
    """

    model: str
    crossing_bytes: int
    cut_bound: float
    whole: Sequence[Load]
    helped: Sequence[Load]
    halves: Sequence[Load]
    independent: Sequence[float]
    curve: Sequence[Load]
    link: Sequence[Load]
    link_seconds: float

    @property
    def speedup(self) -> float:
        """Answers per second of two cores by those of one, each in the turn in which it gave most.

        Other programs and the host's other guests only ever take, and two cores are both left alone less often than
        one: the best of several turns says what the system does, as the least time of several runs does.
        """
        return best(self.halves) / best(self.whole)

    @property
    def median_speedup(self) -> float:
        """The same as the median over the turns: what came of it on this machine, with all else that ran there."""
        rates = zip(self.whole, self.halves, strict=True)
        return statistics.median(two.answers_per_second / one.answers_per_second for one, two in rates)

    @property
    def helped_speedup(self) -> float:
        """``speedup`` by the whole model where a second core serves the callers."""
        return best(self.halves) / best(self.helped)

    @property
    def independent_speedup(self) -> float:
        """``speedup`` of two whole models side by side: what the machine's two cores can do."""
        return max(self.independent) / best(self.whole)

    @property
    def processor_speedup(self) -> float:
        """Processor time of an answer on the busier core, whole by divided: the gain if nothing ever waited.

        Other programs disturb it less than they do rates.
        """
        return statistics.median(
            one.busiest_core_seconds / two.busiest_core_seconds
            for one, two in zip(self.whole, self.halves, strict=True)
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
            "whole_answers_per_second": best(self.whole),
            "answers_per_second": best(self.halves),
            "latency_seconds": statistics.median(one.latency_seconds for one in self.halves),
            "in_flight": self.halves[0].in_flight,
            "two_core_speedup": self.speedup,
            "median_speedup": self.median_speedup,
            "helped_speedup": self.helped_speedup,
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
        "median_speedup": min(one.median_speedup for one in results),
        "bound_ratio": min(min(one.bound_ratio, one.link_bound_ratio) for one in results),
        "independent_speedup": min(one.independent_speedup for one in results),
        "models": models,
    }
