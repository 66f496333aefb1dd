"""The bench's headline figures."""

from typing import Any

import numpy as np

from bench.noise.run import THESIS_SETS, Fast, NoiseResults


def summary(results: NoiseResults) -> dict[str, Any]:
    """Everything as plain data; ``speedup``, ``r2``, ``thesis_r2`` and ``seconds`` first.

    The thesis's seconds are those of a set, measured on ``thesis_sampled_sets``, times 1,000.
    """
    sample, sizes = results.sample, results.sizes
    return {
        "speedup": thesis_seconds(results) / results.fast.seconds,
        "r2": results.fast.unseen.r2,
        "thesis_r2": results.thesis_unseen.r2,
        "seconds": results.fast.seconds,
        "thesis_seconds": thesis_seconds(results),
        "thesis_seconds_by_set": {
            "quantize": sample.quantize_seconds,
            "load": sample.load_seconds,
            "run": sample.run_seconds,
        },
        "thesis_sampled_sets": len(sample.noise),
        "thesis_trained_sets": sizes.trained,
        "agreement_r2": agreement(results),
        "agreement_median_difference": float(np.median(np.abs(results.sample_noise / sample.noise - 1))),
        "inputs": sizes.inputs,
        "unseen_sets": sizes.unseen,
        "fast": _figures(results.fast),
        "wide": _figures(results.wide),
    }


def thesis_seconds(results: NoiseResults) -> float:
    """What 1,000 sets would take in the thesis's way."""
    return results.sample.seconds * THESIS_SETS


def agreement(results: NoiseResults) -> float:
    """Squared correlation of both ways' noise over the sampled sets."""
    return float(np.corrcoef(results.sample_noise, results.sample.noise)[0, 1] ** 2)


def _figures(one: Fast) -> dict[str, Any]:
    return {
        "layers": one.layers,
        "sets": one.fit.samples,
        "seconds": one.seconds,
        "terms": len(one.fit.model.terms),
        "mean_noise": one.mean_noise,
        "stated_r2": one.fit.r2,
        "r2": one.unseen.r2,
        "confidence": one.fit.confidence,
        "error": one.fit.error,
        "covered": one.unseen.covered,
        "mean_relative_error": one.unseen.error,
    }
