"""Fitting a polynomial in the quantisation choices to measured noise (thesis eq. 3.1.4, 4.6.3)."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from core.problem import NoiseModel, NoiseTerm
from core.profiles import NoiseFit
from profilers.noise_regression import CENTRE, Regression, regress

_Floats = NDArray[np.float64]
_Masks = NDArray[np.bool_]
_Groups = Sequence[tuple[int, ...]]

CONFIDENCE = 0.95
"""Share of sets of layers whose noise is to lie within the stated error of its prediction."""

FOLDS = 5
"""Into so many parts the measured sets are divided, to predict each part from the others."""

_NEGLIGIBLE = 1e-9
_MOST_TERMS = 600
"""Polynomials of more terms lose those of least effect: planners go through all terms of every set they think of."""


def fit_polynomial(
    layers: Sequence[str], masks: _Masks, noise: _Floats, degree: int, seed: int, complete: bool
) -> NoiseFit:
    """Fit η(q) = Σ_{C ⊆ V_Q, 1 ≤ |C| ≤ degree} ρ_C Π_{i∈C} q_i + c to masks with at least one layer each.

    The coefficients may be many more than the masks; ``profilers.noise_regression`` prefers some to others. R²,
    residual and error are those of predictions for masks that the fit had not seen: each fifth of the masks is
    predicted from the rest, which is given no more than a polynomial from all of them needs. The polynomial returned
    is then fitted to all masks.

    Args:
        layers: names of the columns.
        masks: sample × layer, true where quantised.
        noise: of each sample.
        degree: of the polynomial.
        seed: of the division into fifths.
        complete: the masks are all that exist; then least squares, and R², residual and error are those of the fit
            itself, because no mask is left to predict.
    """
    monomials = [group for size in range(1, degree + 1) for group in combinations(range(len(layers)), size)]
    if complete or len(noise) < 2 * FOLDS:
        intercept, coefficients = _least_squares(masks, noise, monomials)
        predicted = intercept + _products(masks.astype(np.float64), monomials) @ coefficients
    else:
        folds = np.random.default_rng(seed).permutation(len(noise)) % FOLDS
        predicted = np.empty_like(noise)
        for fold in range(FOLDS):
            seen = folds != fold
            predicted[~seen] = regress(masks[seen], noise[seen], degree).predict(masks[~seen])
        intercept, coefficients = _plain(regress(masks, noise, degree), monomials)
    errors = np.abs(predicted - noise)
    floor = _NEGLIGIBLE * float(np.abs(noise).max(initial=0.0))
    terms = tuple(
        NoiseTerm(tuple(layers[index] for index in group), float(value))
        for group, value in zip(monomials, coefficients, strict=True)
        if abs(value) > floor
    )
    return NoiseFit(
        NoiseModel(float(intercept), terms),
        r2=_explained(errors, noise),
        residual=float(errors.max(initial=0.0)),
        samples=len(noise),
        confidence=CONFIDENCE,
        error=_bound(errors, CONFIDENCE),
    )


class Watch:
    """Tells from time to time, at the cost of one fit, the R² that ``fit_polynomial`` would state by now."""

    def __init__(self, degree: int, seed: int) -> None:
        self._degree = degree
        self._seed = seed
        self._last: Regression | None = None

    def r2(self, masks: _Masks, noise: _Floats) -> float:
        """Estimate it for what has been measured: masks (sample × layer), those of the last time first, and noise."""
        if len(noise) < 2 * FOLDS:
            return -np.inf
        folds = np.random.default_rng(self._seed).permutation(len(noise)) % FOLDS
        self._last = regress(masks, noise, self._degree, self._last)
        return _explained(self._last.errors_without(folds), noise)


def _explained(errors: _Floats, noise: _Floats) -> float:
    """R², and 1 where the noise is the same everywhere."""
    spread = float(((noise - noise.mean()) ** 2).sum())
    floor = _NEGLIGIBLE * float(np.abs(noise).max(initial=0.0))
    return 1 - float((errors**2).sum()) / spread if spread > len(noise) * floor**2 else 1.0


def _bound(errors: _Floats, confidence: float) -> float:
    """What one more error, drawn like these, does not exceed with at least ``confidence``; at best their largest.

    The ⌈(n + 1)·confidence⌉-th smallest of n, as in conformal prediction (Vovk et al. 2005).
    """
    rank = int(np.ceil((len(errors) + 1) * confidence))
    return float(np.sort(errors)[min(rank, len(errors)) - 1]) if len(errors) else 0.0


def _least_squares(masks: _Masks, noise: _Floats, monomials: _Groups) -> tuple[float, _Floats]:
    columns = _products(masks.astype(np.float64), monomials)
    found = np.asarray(
        np.linalg.lstsq(np.column_stack([np.ones(len(noise)), columns]), noise, rcond=None)[0], np.float64
    )
    return float(found[0]), found[1:]


def _plain(fitted: Regression, monomials: _Groups) -> tuple[float, _Floats]:
    """Return the intercept and the coefficients of the plain monomials Π q_i, of the most important ones.

    Products of q − ½ are uncorrelated over random masks, so that leaving out one adds its square, times 4^−|C|, to
    the error; the terms of least effect are left out.
    """
    centred = fitted.coefficients(monomials)
    sizes = np.array([len(group) for group in monomials])
    effects = np.abs(centred) * 0.5**sizes
    effects[sizes < max(sizes)] = np.inf
    kept = np.argsort(-effects, kind="stable")[:_MOST_TERMS]
    # Π_{i∈C} (q_i − ½) = Σ_{S⊆C} (−½)^(|C|−|S|) Π_{i∈S} q_i
    position = {group: index for index, group in enumerate(monomials)}
    coefficients = np.zeros(len(monomials))
    intercept = fitted.mean
    for index in kept:
        group, value = monomials[index], float(centred[index])
        intercept += value * (-CENTRE) ** len(group)
        for size in range(1, len(group) + 1):
            for part in combinations(group, size):
                coefficients[position[part]] += value * (-CENTRE) ** (len(group) - size)
    return intercept, coefficients


def _products(choices: _Floats, monomials: _Groups) -> _Floats:
    return np.stack([choices[:, group].prod(axis=1) for group in monomials], axis=1)
