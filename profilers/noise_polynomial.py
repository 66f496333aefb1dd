"""Fitting a polynomial in the quantisation choices to measured noise (thesis eq. 3.1.4, 4.6.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from core.problem import NoiseModel, NoiseTerm
from core.profiles import NoiseFit

_Floats = NDArray[np.float64]
_FOLDS = 5
_NEGLIGIBLE = 1e-9
_EXACT = 1e-10
_CENTRES = (0.0, 0.5)
_GROWTHS = (1.0, 3.0, 10.0)
_PENALTIES = 10.0 ** np.arange(-6, 4)


@dataclass(frozen=True)
class _Shape:
    """How a fit that has more coefficients than samples prefers some polynomials to others.

    Coefficients of degree k in (q − centre) are penalised with penalty · growth^(k − 1).
    """

    centre: float
    growth: float
    penalty: float


def fit_polynomial(
    layers: Sequence[str], masks: NDArray[np.bool_], noise: _Floats, degree: int, seed: int, complete: bool
) -> NoiseFit:
    """Fit η(q) = Σ_{C ⊆ V_Q, 1 ≤ |C| ≤ degree} ρ_C Π_{i∈C} q_i + c to masks with at least one layer each.

    The coefficients may be many more than the masks, so the fit is a ridge regression whose centre, penalty and
    growth of the penalty with the degree are chosen by cross-validation. R² and residual are those of predictions
    for masks that the fit, its choices included, had not seen: each fifth of the masks is predicted from the rest.
    The polynomial returned is then fitted to all masks.

    Args:
        layers: names of the columns.
        masks: sample × layer, true where quantised.
        noise: of each sample.
        degree: of the polynomial.
        seed: of the division into fifths.
        complete: the masks are all that exist; then least squares, and R² and residual are those of the fit itself,
            because no mask is left to predict.
    """
    choices = masks.astype(np.float64)
    monomials = [group for size in range(1, degree + 1) for group in combinations(range(len(layers)), size)]
    if complete or len(noise) < 2 * _FOLDS:
        intercept, coefficients = _fit(choices, noise, monomials, _Shape(0.0, 1.0, _EXACT))
        predicted = intercept + _products(choices, monomials, 0.0) @ coefficients
    else:
        folds = np.random.default_rng(seed).permutation(len(noise)) % _FOLDS
        predicted = np.empty_like(noise)
        for fold in range(_FOLDS):
            seen, unseen = folds != fold, folds == fold
            shape = _choose(choices[seen], noise[seen], monomials)
            intercept, coefficients = _fit(choices[seen], noise[seen], monomials, shape)
            predicted[unseen] = intercept + _products(choices[unseen], monomials, 0.0) @ coefficients
        intercept, coefficients = _fit(choices, noise, monomials, _choose(choices, noise, monomials))
    errors = np.abs(predicted - noise)
    spread = float(((noise - noise.mean()) ** 2).sum())
    unexplained = float((errors**2).sum())
    floor = _NEGLIGIBLE * float(noise.max(initial=0.0))
    terms = tuple(
        NoiseTerm(tuple(layers[index] for index in group), float(value))
        for group, value in zip(monomials, coefficients, strict=True)
        if abs(value) > floor
    )
    r2 = 1 - unexplained / spread if spread > len(noise) * floor**2 else 1.0
    return NoiseFit(NoiseModel(float(intercept), terms), r2, float(errors.max(initial=0.0)), len(noise))


def _choose(choices: _Floats, noise: _Floats, monomials: Sequence[tuple[int, ...]]) -> _Shape:
    """Find the shape whose predictions for each fifth, made from the rest, are best."""
    folds = np.arange(len(noise)) % _FOLDS
    sizes = np.array([len(group) for group in monomials])
    errors: dict[_Shape, float] = {}
    for centre, growth in product(_CENTRES, _GROWTHS):
        columns = _products(choices, monomials, centre)
        kernel = (columns / growth ** (sizes - 1.0)) @ columns.T
        squares = np.sum([_squared_errors(kernel, noise, folds == fold) for fold in range(_FOLDS)], axis=0)
        errors.update(
            (_Shape(centre, growth, penalty), float(squares[index])) for index, penalty in enumerate(_PENALTIES)
        )
    return min(errors, key=lambda shape: errors[shape])


def _squared_errors(kernel: _Floats, values: _Floats, unseen: NDArray[np.bool_]) -> _Floats:
    """Sum the squared errors on ``unseen`` samples of the ridge fits to the others, for each of the penalties."""
    seen = ~unseen
    means = kernel[seen][:, seen].mean(axis=0)
    within = kernel[seen][:, seen] - means - means[:, None] + means.mean()
    across = kernel[unseen][:, seen]
    across = across - across.mean(axis=1, keepdims=True) - means + means.mean()
    eigenvalues, vectors = np.linalg.eigh(within)
    mean = values[seen].mean()
    rotated = (vectors.T @ (values[seen] - mean))[:, None] / (np.maximum(eigenvalues, 0)[:, None] + _PENALTIES)
    predicted = mean + across @ vectors @ rotated
    return np.asarray(((predicted - values[unseen][:, None]) ** 2).sum(axis=0))


def _fit(
    choices: _Floats, noise: _Floats, monomials: Sequence[tuple[int, ...]], shape: _Shape
) -> tuple[float, _Floats]:
    """Return the intercept and the coefficients of the plain monomials."""
    sizes = np.array([len(group) for group in monomials])
    columns = _products(choices, monomials, shape.centre)
    intercept, centred = _ridge(columns, noise, shape.growth ** (sizes - 1.0), shape.penalty)
    if shape.centre == 0:
        return intercept, centred
    # Π_{i∈C} (q_i − centre) = Σ_{S⊆C} (−centre)^(|C|−|S|) Π_{i∈S} q_i
    position = {group: index for index, group in enumerate(monomials)}
    coefficients = np.zeros_like(centred)
    for group, value in zip(monomials, centred, strict=True):
        intercept += float(value) * (-shape.centre) ** len(group)
        for size in range(1, len(group) + 1):
            for part in combinations(group, size):
                coefficients[position[part]] += value * (-shape.centre) ** (len(group) - size)
    return intercept, coefficients


def _products(choices: _Floats, monomials: Sequence[tuple[int, ...]], centre: float) -> _Floats:
    return np.stack([(choices[:, group] - centre).prod(axis=1) for group in monomials], axis=1)


def _ridge(columns: _Floats, values: _Floats, weights: _Floats, penalty: float) -> tuple[float, _Floats]:
    """Minimise |values − intercept − columns·β|² + penalty Σ weights β², solved among samples, not coefficients."""
    means, mean = columns.mean(axis=0), float(values.mean())
    centred = columns - means
    scaled = centred / weights
    kernel = centred @ scaled.T
    kernel[np.diag_indices_from(kernel)] += penalty
    coefficients = scaled.T @ np.linalg.solve(kernel, values - mean)
    return mean - float(means @ coefficients), coefficients
