"""Learning a polynomial of 0/1 choices from few measurements: Gaussian process regression on all its monomials.

A polynomial of degree 3 in 12 choices has 299 coefficients, in 32 choices 5,489; measured are some hundred sets. So
a coefficient of Π_{i∈C} (q_i − ½) is expected to be of size √(w_|C| Π_{i∈C} s_i): layers differ in how much they
matter (s_i), and products of many matter less (w_k = growth^(k−1)). These and the share of what no polynomial explains
are chosen by greatest marginal likelihood (Rasmussen and Williams 2006, section 5.4.1; the prior's overall
scale in closed form), so no coefficient needs a measurement of its own. The posterior mean is the polynomial.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Masks = NDArray[np.bool_]

CENTRE = 0.5
"""Products are of choices less this, so that those of random sets are uncorrelated."""

_CONSTANT = 10.0
"""Prior variance of the constant term, in those of a product."""
_STEPS = 40
_PATIENCE, _ENOUGH = 4, 0.1
"""Choosing ends when so many steps have not raised the log likelihood by so much."""
_FIRST_STEP, _LARGEST_STEP, _SMALLEST_STEP = 0.4, 1.0, 0.01
_MOST_SAMPLES = 96
"""Scales are chosen on no more samples than these, drawn at random: steps stay in milliseconds,
below the size from which linear algebra takes several threads, which wait for each other on a busy machine."""
_LIMIT = 9.0
"""Logarithms of what is chosen stay within this of 0."""


@dataclass(frozen=True)
class Regression:
    """A fitted polynomial.

    Attributes:
        masks: what it was fitted to: sample × layer.
        scales: s, by layer.
        degree_weights: w, by number of factors from 0 to the degree.
        weights: of each sample's kernel function.
        mean: constant part, the kernel's constant included.
        unit: size of the noise, by which ``weights`` are divided.
        unexplained: variance of what no polynomial explains, in ``unit``.
        chosen: logarithms of scales, growth and ``unexplained``.
    """

    masks: _Masks
    scales: _Floats
    degree_weights: _Floats
    weights: _Floats
    mean: float
    unit: float
    unexplained: float
    chosen: _Floats

    def predict(self, masks: _Masks) -> _Floats:
        """Noise of each row of ``masks``."""
        kernel = self._kernel(masks) - self.degree_weights[0]
        return np.asarray(self.mean + self.unit * (kernel @ self.weights))

    def errors_without(self, folds: NDArray[np.int64]) -> _Floats:
        """Errors on each fold's samples of a fit to the other folds, with what was chosen from all kept.

        That costs no more than one fit. It flatters a little, for the choice has seen every sample.
        """
        covariance = self._kernel(self.masks) + self.unexplained * np.eye(len(self.masks))
        inverse = np.linalg.inv(covariance)
        errors = np.empty(len(folds))
        for fold in np.unique(folds):
            left = np.flatnonzero(folds == fold)
            errors[left] = np.linalg.solve(inverse[np.ix_(left, left)], self.weights[left])
        return errors * self.unit

    def _kernel(self, masks: _Masks) -> _Floats:
        sums = _symmetric_sums(_factors(masks, self.masks, self.scales), len(self.degree_weights) - 1)
        return _kernel(sums, self.degree_weights)

    def coefficients(self, monomials: Sequence[tuple[int, ...]]) -> _Floats:
        """Coefficient of Π_{i∈C} (q_i − ½) for each C of ``monomials``; none of them is empty."""
        centred = self.masks - CENTRE
        return np.array(
            [
                self.unit
                * self.degree_weights[len(group)]
                * self.scales[list(group)].prod()
                * float(self.weights @ centred[:, group].prod(axis=1))
                for group in monomials
            ]
        )


def regress(masks: _Masks, noise: _Floats, degree: int, start: Regression | None = None) -> Regression:
    """Fit a polynomial of ``degree`` to the noise of masks (sample × layer).

    Args:
        masks: sample × layer, true where quantised.
        noise: of each sample.
        degree: of the polynomial.
        start: a fit to some of the samples, from which the search begins.
    """
    mean, unit = float(noise.mean()), float(noise.std()) or 1.0
    values = (noise - mean) / unit
    layers = masks.shape[1]
    chosen = np.concatenate([np.zeros(layers), [np.log(0.2), np.log(0.1)]]) if start is None else start.chosen
    steps, before = np.full_like(chosen, _FIRST_STEP), np.zeros_like(chosen)
    best, least, idle = chosen, np.inf, 0
    rows = np.random.default_rng(0).permutation(len(values))[:_MOST_SAMPLES]
    for _ in range(_STEPS):
        loss, slope = _loss(chosen, masks[rows], values[rows], degree)
        idle = 0 if loss < least - _ENOUGH else idle + 1
        if loss < least:
            best, least = chosen, loss
        if idle == _PATIENCE:
            break
        agreeing = np.sign(slope) * before
        steps = np.clip(np.where(agreeing > 0, 1.2, np.where(agreeing < 0, 0.5, 1.0)) * steps, _SMALLEST_STEP, None)
        steps = np.minimum(steps, _LARGEST_STEP)
        before = np.where(agreeing < 0, 0.0, np.sign(slope))
        chosen = np.clip(chosen - before * steps, -_LIMIT, _LIMIT)
    scales, weights, share = _unpacked(best, degree)
    kernel = _kernel(_symmetric_sums(_factors(masks, masks, scales), degree), weights)
    solved = np.asarray(np.linalg.solve(kernel + share * np.eye(len(values)), values), np.float64)
    return Regression(masks, scales, weights, solved, mean + unit * float(weights[0] * solved.sum()), unit, share, best)


def _unpacked(chosen: _Floats, degree: int) -> tuple[_Floats, _Floats, float]:
    """Scales by layer, weights by number of factors, and the variance of what no polynomial explains."""
    weights = np.concatenate([[_CONSTANT], np.exp(chosen[-2] * np.arange(degree))])
    return np.exp(chosen[:-2]), weights, float(np.exp(chosen[-1]))


def _factors(masks: _Masks, others: _Masks, scales: _Floats) -> _Floats:
    """s_i (q_i − ½)(q'_i − ½): layer × sample × sample."""
    mine, theirs = (masks - CENTRE).T, (others - CENTRE).T
    return np.asarray((mine * scales[:, None])[:, :, None] * theirs[:, None, :])


def _symmetric_sums(factors: _Floats, degree: int) -> list[_Floats]:
    """Elementary symmetric polynomials e_0 … e_degree of the factors: the sums of all products of k of them."""
    sums = [np.ones(factors.shape[1:]), *(np.zeros(factors.shape[1:]) for _ in range(degree))]
    for factor in factors:
        for size in range(degree, 0, -1):
            sums[size] = sums[size] + factor * sums[size - 1]
    return sums


def _kernel(sums: Sequence[_Floats], weights: _Floats) -> _Floats:
    return np.asarray(sum(weight * part for weight, part in zip(weights, sums, strict=True)))


def _loss(chosen: _Floats, masks: _Masks, values: _Floats, degree: int) -> tuple[float, _Floats]:
    """Negative log marginal likelihood, up to a constant, and its gradient by the logarithms ``chosen``."""
    scales, weights, share = _unpacked(chosen, degree)
    factors = _factors(masks, masks, scales)
    sums = _symmetric_sums(factors, degree)
    count = len(values)
    covariance = _kernel(sums, weights) + share * np.eye(count)
    inverse = np.linalg.inv(covariance)
    solved = inverse @ values
    scale = float(values @ solved) / count
    if scale <= 0:
        return 0.0, np.zeros_like(chosen)
    determinant = float(np.linalg.slogdet(covariance)[1])
    # d loss = ½ Σ (A⁻¹ − α αᵀ / scale) ∘ dA, symmetric
    outer = 0.5 * (inverse - np.outer(solved, solved) / scale)
    slope = np.empty_like(chosen)
    for layer, factor in enumerate(factors):
        without = sums[0]  # the symmetric sums without this layer, size by size
        change = weights[1] * without
        for size in range(1, degree):
            without = sums[size] - factor * without
            change = change + weights[size + 1] * without
        slope[layer] = float((outer * factor * change).sum())
    grown = sum(size * weights[size + 1] * sums[size + 1] for size in range(1, degree))
    slope[-2] = float((outer * grown).sum())
    slope[-1] = share * float(np.trace(outer))
    return 0.5 * count * float(np.log(scale)) + 0.5 * determinant, slope
