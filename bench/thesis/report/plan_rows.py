"""Distinct plans: the cases that ask differently and get the same plan, together."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.thesis.measured import Measurement
from bench.thesis.plans import PlannedCase
from bench.thesis.results import ModelResults


@dataclass(frozen=True)
class DistinctPlan:
    """A plan of a set of servers, and everything that was asked and answered by it.

    Attributes:
        model: its results.
        case: one of those asked.
        measured: the plan in force.
        asked: weights and limits on noise that led to it, in words.
    """

    model: ModelResults
    case: PlannedCase
    measured: Measurement
    asked: str


def distinct(models: Sequence[ModelResults]) -> list[DistinctPlan]:
    """All plans that were measured, once for each set of servers that they were made for."""
    found = []
    for model in models:
        together: dict[tuple[str, str], list[PlannedCase]] = {}
        for case in model.cases:
            together.setdefault((case.servers, case.signature), []).append(case)
        for cases in together.values():
            measured = model.measurement(cases[0])
            if measured is not None:
                found.append(DistinctPlan(model, cases[0], measured, asked(cases)))
    return found


def asked(cases: Sequence[PlannedCase]) -> str:
    """Weights and limits in words, for example ``ω 0, 0.5: η 0.1–0.5; ω 1: η 0``."""
    levels: dict[float, list[float]] = {}
    for case in cases:
        levels.setdefault(case.latency_weight, []).append(case.noise_level)
    weights: dict[tuple[float, ...], list[float]] = {}
    for weight, found in levels.items():
        weights.setdefault(tuple(sorted(found)), []).append(weight)
    return "; ".join(
        f"ω {', '.join(f'{weight:g}' for weight in sorted(same))}: η {_range(found)}" for found, same in weights.items()
    )


def _range(levels: Sequence[float]) -> str:
    return f"{levels[0]:g}" if len(levels) == 1 else f"{levels[0]:g}–{levels[-1]:g}"
