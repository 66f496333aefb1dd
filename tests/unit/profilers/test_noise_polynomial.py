from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profilers.noise import draw_masks
from profilers.noise_polynomial import fit_polynomial


def names(count: int) -> list[str]:
    return [f"/layer{index}" for index in range(count)]


def predictions(fit, masks):
    columns = names(masks.shape[1])
    return [fit.model.predict(frozenset(columns[index] for index in np.flatnonzero(mask))) for mask in masks]


def polynomial(layers: int, degree: int, seed: int):
    """A random polynomial with an intercept, as a function of one mask."""
    random = np.random.default_rng(seed)
    groups = [group for size in range(1, degree + 1) for group in combinations(range(layers), size)]
    coefficients = random.normal(size=len(groups)) / np.array([len(group) ** 2 for group in groups])
    intercept = random.normal()
    return lambda mask: (
        intercept + sum(value for value, group in zip(coefficients, groups, strict=True) if mask[list(group)].all())
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.integers(1, 3), st.integers(0, 2**16))
def test_a_polynomial_measured_on_all_masks_is_found(layers, degree, seed):
    masks = draw_masks(layers, 2**layers, 0)
    noise = np.array([polynomial(layers, degree, seed)(mask) for mask in masks])
    fit = fit_polynomial(names(layers), masks, noise, degree, 0, complete=True)
    assert predictions(fit, masks) == pytest.approx(noise, abs=1e-4)
    assert fit.r2 > 0.9999
    assert fit.residual < 1e-4
    assert fit.samples == len(masks)
    assert fit.model.predict(frozenset()) == 0


def test_a_quadratic_is_predicted_on_masks_never_seen():
    masks = draw_masks(8, 200, 3)
    noise = np.array([polynomial(8, 2, 5)(mask) for mask in masks])
    fit = fit_polynomial(names(8), masks[:80], noise[:80], 2, 0, complete=False)
    errors = np.abs(np.array(predictions(fit, masks[80:])) - noise[80:])
    assert fit.r2 > 0.999
    assert errors.max() < 0.1 * np.ptp(noise)


def test_many_more_coefficients_than_samples_still_generalise():
    """Independent errors add up like squares: what noise is made of, and no polynomial."""
    masks = draw_masks(12, 500, 1)
    sizes = np.random.default_rng(2).exponential(size=12)
    noise = np.sqrt((masks * sizes**2).sum(axis=1))
    fit = fit_polynomial(names(12), masks[:120], noise[:120], 3, 0, complete=False)
    unseen = np.array(predictions(fit, masks[120:]))
    r2 = 1 - ((unseen - noise[120:]) ** 2).sum() / ((noise[120:] - noise[120:].mean()) ** 2).sum()
    assert r2 > 0.97
    assert fit.r2 == pytest.approx(r2, abs=0.03)


def test_many_layers_keep_the_terms_that_matter():
    random = np.random.default_rng(4)
    masks = draw_masks(18, 260, 1)
    sizes, pair = random.exponential(size=18), random.normal(size=(18, 18)) * 0.1
    noise = masks @ sizes + np.einsum("si,ij,sj->s", masks, pair, masks)
    fit = fit_polynomial(names(18), masks[:160], noise[:160], 3, 0, complete=False)
    assert len(fit.model.terms) < 700  # of 987
    unseen = np.array(predictions(fit, masks[160:]))
    assert 1 - ((unseen - noise[160:]) ** 2).sum() / ((noise[160:] - noise[160:].mean()) ** 2).sum() > 0.97


def test_what_cannot_be_predicted_is_not_claimed_to_be():
    masks = draw_masks(8, 60, 1)
    noise = np.random.default_rng(0).random(60)
    fit = fit_polynomial(names(8), masks, noise, 3, 0, complete=False)
    assert fit.r2 < 0.3
    assert fit.residual > 0.3


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_constant_noise(value):
    masks = draw_masks(5, 20, 1)
    fit = fit_polynomial(names(5), masks, np.full(len(masks), value), 3, 0, complete=False)
    assert fit.r2 == 1
    assert fit.residual == pytest.approx(0, abs=1e-9)
    assert fit.model.predict(frozenset(names(2))) == pytest.approx(value)
