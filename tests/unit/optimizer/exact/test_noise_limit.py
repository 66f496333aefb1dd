import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.problem import NoiseModel, NoiseTerm
from optimizer.exact.network import Network
from optimizer.exact.noise_limit import NoiseLimit
from optimizer.measures import NOISE
from optimizer.noise import all_masks

LAYERS = [f"l{index}" for index in range(14)]


@st.composite
def noise_models(draw: st.DrawFn) -> NoiseModel:
    sets = st.sets(st.sampled_from(LAYERS), max_size=3).map(sorted).map(tuple)
    terms = draw(st.lists(st.tuples(sets, st.integers(-8, 16)), max_size=30))
    alone = [NoiseTerm((layer,), draw(st.integers(0, 16)) / 8) for layer in LAYERS]
    return NoiseModel(draw(st.integers(-4, 8)) / 8, (*alone, *(NoiseTerm(names, value / 8) for names, value in terms)))


def predicted(noise: NoiseModel, choices: np.ndarray) -> float:  # type: ignore[type-arg]
    return noise.predict(frozenset(layer for layer, chosen in zip(LAYERS, choices, strict=True) if chosen))


@settings(deadline=None, max_examples=60)
@given(noise_models(), st.data())
def test_an_estimate_is_never_above_the_noise_and_exact_at_the_guess(noise: NoiseModel, data: st.DataObject) -> None:
    network = Network((NOISE,), [2] * len(LAYERS))
    limit = NoiseLimit(noise, {layer: index for index, layer in enumerate(LAYERS)}, 1.0)
    guess = np.array(data.draw(st.lists(st.integers(0, 1), min_size=14, max_size=14)))
    imposed, whole = limit.imposed(network, [np.arange(2)] * len(LAYERS), guess)
    assert not whole
    constant = sum(float(table.values[0]) for table in imposed.tables if not table.scope)
    slopes = np.zeros(len(LAYERS))
    for table in imposed.tables:
        if table.scope:
            slopes[table.scope[0]] += table.values[0, 1]
    masks = all_masks(len(LAYERS))[:: data.draw(st.integers(1, 40))]
    for mask in masks[:400]:
        assert constant + slopes @ mask <= predicted(noise, mask) + 1e-9
    # But for the intercept, which no sum over layers can follow.
    gap = predicted(noise, guess) - (constant + slopes @ guess)
    extra = sum(term.coefficient for term in noise.terms if not term.layers)
    assert gap <= max(noise.intercept + extra, 0.0) - min(noise.intercept + extra, 0.0) + 1e-9


@settings(deadline=None, max_examples=60)
@given(noise_models(), st.integers(-1, 60), st.data())
def test_few_open_choices_are_enumerated(noise: NoiseModel, eighths: int, data: st.DataObject) -> None:
    settled = data.draw(st.lists(st.integers(0, 1), min_size=8, max_size=8))
    network = Network((NOISE,), [2] * 6 + [1] * 8)
    limit = NoiseLimit(noise, {layer: index for index, layer in enumerate(LAYERS)}, eighths / 8)
    states = [np.arange(2)] * 6 + [np.array([choice]) for choice in settled]
    assert limit.can_settle(states)
    imposed, whole = limit.imposed(network, states)
    assert whole
    for mask in all_masks(6):
        choices = np.array([*mask, *settled], dtype=np.int64)
        forbidden = any(
            table.forbidden is not None and table.forbidden[tuple(choices[v] for v in table.scope)]
            for table in imposed.tables
        )
        assert forbidden == (predicted(noise, choices) > eighths / 8 + 1e-9)
        assert limit.accepts(choices) == (not forbidden)
        mended = limit.mended(choices)
        assert (mended <= choices).all()
        assert limit.accepts(mended) or not mended.any()
