"""The limit on noise as rows of the integer program.

With few quantisable layers the sets of int8 layers that the limit allows are enumerated and covered by boxes
low ≤ q ≤ high; q = Σ_j λ_j q_j with q_j in box j describes exactly their convex hull, so that noise costs the
solver next to nothing. With more layers, each monomial of the polynomial is a variable, bounded from the side
that its coefficient's sign needs (thesis eq. 4.6.1–4.6.2), and p = 1 iff any layer is int8 (eq. 4.6.3).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import pulp
from numpy.typing import NDArray

from core.problem import NoiseModel
from optimizer.rows import Rows

ENUMERATED = 12
"""Up to this many quantisable layers every set of them is looked at."""

TOLERANCE = 1e-9
"""Relative slack of limits that are checked in floating point."""

Masks = NDArray[np.bool_]


def all_masks(count: int) -> Masks:
    """Every subset of ``count`` layers, one a row; row r holds the binary digits of r, lowest first."""
    return (np.arange(2**count)[:, None] >> np.arange(count) & 1).astype(bool)


@lru_cache(maxsize=8)
def allowed_masks(noise: NoiseModel | None, layers: tuple[str, ...], limit: float | None) -> Masks:
    """Which rows of ``all_masks(len(layers))`` the limit allows, as booleans."""
    masks = all_masks(len(layers))
    predicted = np.zeros(len(masks))
    for chosen, coefficient in _monomials(noise, layers).items():
        columns = [index for index, layer in enumerate(layers) if layer in chosen]
        quantized = masks[:, columns].all(axis=1) if chosen else masks.any(axis=1)
        predicted += coefficient * quantized
    if limit is None:
        return np.ones(len(masks), dtype=bool)
    allowed: Masks = predicted <= limit + TOLERANCE * abs(limit)
    return allowed


def covering_boxes(allowed: Masks) -> list[tuple[int, int]]:
    """Cover the allowed masks by boxes (low, high): every mask between low and high, bit by bit, is allowed."""
    count = len(allowed).bit_length() - 1
    uncovered = allowed.copy()
    boxes = []
    for mask in sorted(np.flatnonzero(allowed).tolist(), key=lambda number: -number.bit_count()):
        if not uncovered[mask]:
            continue
        inside = np.array([mask])
        free = 0
        for bit in sorted((1 << index for index in range(count)), key=lambda bit: not mask & bit):
            mirrored = inside ^ bit
            if allowed[mirrored].all():
                inside = np.concatenate((inside, mirrored))
                free |= bit
        uncovered[inside] = False
        boxes.append((mask & ~free, mask | free))
    return boxes


def add_noise_limit(
    rows: Rows, noise: NoiseModel | None, quantized: Mapping[str, pulp.LpVariable], limit: float
) -> bool:
    """Add rows that keep the predicted noise within ``limit``.

    Returns:
        False where no set of layers is within the limit, not even the empty one.
    """
    if len(quantized) > ENUMERATED:
        terms = noise_terms(rows, noise, quantized)
        scale = max(map(abs, terms.values()), default=0.0) or 1.0
        rows.at_most(((variable, value / scale) for variable, value in terms.items()), limit / scale)
        return bool(terms) or limit >= 0
    boxes = covering_boxes(allowed_masks(noise, tuple(quantized), limit))
    weights = [rows.variable() for _ in boxes]
    if boxes:
        rows.equal(((weight, 1.0) for weight in weights), 1.0)
    for index, variable in enumerate(quantized.values()):
        for side, add in ((0, rows.at_least), (1, rows.at_most)):
            chosen = [weight for weight, box in zip(weights, boxes, strict=True) if box[side] >> index & 1]
            add([(variable, 1.0), *((weight, -1.0) for weight in chosen)], 0.0)
    return bool(boxes)


def noise_terms(
    rows: Rows, noise: NoiseModel | None, quantized: Mapping[str, pulp.LpVariable]
) -> dict[pulp.LpVariable, float]:
    """Add the polynomial's monomials; noise is the sum of coefficient times variable.

    The variables are right only where noise is minimised or bounded from above.
    """
    terms: dict[pulp.LpVariable, float] = defaultdict(float)
    for layers, coefficient in _monomials(noise, list(quantized)).items():
        factors = [variable for name, variable in quantized.items() if name in layers]
        product = _all_of(rows, factors, coefficient) if layers else _any_of(rows, quantized, coefficient)
        terms[product] += coefficient
    return terms


def _monomials(noise: NoiseModel | None, layers: Sequence[str]) -> dict[frozenset[str], float]:
    """Coefficients by set of layers; the empty set counts as soon as any layer is int8."""
    coefficients: dict[frozenset[str], float] = defaultdict(float)
    if noise is not None and layers:
        coefficients[frozenset()] = noise.intercept
        for term in noise.terms:
            if set(layers) >= set(term.layers):
                coefficients[frozenset(term.layers)] += term.coefficient
    return coefficients


def _any_of(rows: Rows, quantized: Mapping[str, pulp.LpVariable], coefficient: float) -> pulp.LpVariable:
    if coefficient > 0:
        return rows.largest(quantized.values())
    some = rows.variable()
    rows.at_most([(some, 1.0), *((factor, -1.0) for factor in quantized.values())], 0.0)
    return some


def _all_of(rows: Rows, factors: list[pulp.LpVariable], coefficient: float) -> pulp.LpVariable:
    if len(factors) == 1:
        return factors[0]
    product = rows.variable()
    if coefficient > 0:
        rows.at_least([(product, 1.0), *((factor, -1.0) for factor in factors)], 1.0 - len(factors))
    else:
        for factor in factors:
            rows.at_most(((product, 1.0), (factor, -1.0)), 0.0)
    return product
