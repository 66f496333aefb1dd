"""How far predictions are off."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bench.prediction.deployed import Measured
from bench.prediction.predicted import Predicted

Method = Literal["ours", "thesis"]

COMPONENT_SECONDS = 0.001
"""Components that take less say more of the clock than of the prediction; they count end to end only."""


@dataclass(frozen=True)
class PlacementResult:
    """One placement, measured and predicted by each method.

    Attributes:
        model: name.
        scattered: whether single layers were moved elsewhere on top of contiguous parts.
        components: how many.
        quantized: how many layers were int8.
        speeds: by method: how many times longer the machine took during the measurement than during the profile.
        measured: what it took.
        predicted: by method, at the speed during the measurement.
        unscaled_seconds: by method: end to end, at the speed during the profile.
    """

    model: str
    scattered: bool
    components: int
    quantized: int
    speeds: Mapping[Method, float]
    measured: Measured
    predicted: Mapping[Method, Predicted]
    unscaled_seconds: Mapping[Method, float]

    def error(self, method: Method) -> float:
        """Absolute relative error of the latency end to end."""
        return abs(self.predicted[method].seconds / self.measured.seconds - 1)

    def unscaled_error(self, method: Method) -> float:
        """The same of the prediction that knows nothing of the machine's speed during the measurement."""
        return abs(self.unscaled_seconds[method] / self.measured.seconds - 1)

    def component_errors(self, method: Method) -> list[float]:
        """Absolute relative errors of the components of ``COMPONENT_SECONDS`` and more."""
        seconds = self.predicted[method].components
        return [
            abs(seconds[component] / taken - 1)
            for component, taken in self.measured.components.items()
            if taken >= COMPONENT_SECONDS
        ]


@dataclass(frozen=True)
class Errors:
    """Median and 95th percentile of absolute relative errors; 0.03 is 3 %."""

    median: float
    p95: float

    @classmethod
    def of(cls, errors: Iterable[float]) -> "Errors":
        """Summarise; nan where there is nothing."""
        values = list(errors)
        return cls(*map(float, np.quantile(values, (0.5, 0.95)))) if values else cls(float("nan"), float("nan"))


def end_to_end(results: Sequence[PlacementResult], method: Method) -> Errors:
    """Errors of the latency of requests."""
    return Errors.of(result.error(method) for result in results)


def of_components(results: Sequence[PlacementResult], method: Method) -> Errors:
    """Errors of the components' times."""
    return Errors.of(error for result in results for error in result.component_errors(method))


def summary(results: Sequence[PlacementResult]) -> dict[str, Any]:
    """The run as one JSON object; errors are absolute, relative and end to end unless named otherwise.

    ``noise`` is how far two measurements of the same placement, in turns, are apart: no prediction can be surer. Errors
    named ``unscaled`` are of predictions that are not scaled by the machine's speed during the measurement.
    """
    figures = _errors(results)
    noise = Errors.of(result.measured.noise for result in results)
    models = dict.fromkeys(result.model for result in results)
    return {
        **figures,
        "plans": len(results),
        "noise_median": noise.median,
        "noise_p95": noise.p95,
        "models": {name: _errors([one for one in results if one.model == name]) for name in models},
        "placements": [_placement(result) for result in results],
    }


def _errors(results: Sequence[PlacementResult]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    prefixes: dict[Method, str] = {"ours": "", "thesis": "thesis_"}
    for method, prefix in prefixes.items():
        whole, parts = end_to_end(results, method), of_components(results, method)
        found |= {f"{prefix}median_error": whole.median, f"{prefix}p95_error": whole.p95}
        unscaled = Errors.of(result.unscaled_error(method) for result in results)
        found |= {f"{prefix}unscaled_median_error": unscaled.median, f"{prefix}unscaled_p95_error": unscaled.p95}
        found |= {f"{prefix}component_median_error": parts.median, f"{prefix}component_p95_error": parts.p95}
    return found


def _placement(result: PlacementResult) -> dict[str, Any]:
    return {
        "model": result.model,
        "scattered": result.scattered,
        "components": result.components,
        "quantized": result.quantized,
        "speeds": dict(result.speeds),
        "measured_seconds": result.measured.seconds,
        "predicted_seconds": {method: one.seconds for method, one in result.predicted.items()},
        "measured_computing_seconds": sum(result.measured.components.values()),
        "predicted_computing_seconds": {
            method: sum(one.components.values()) for method, one in result.predicted.items()
        },
    }
