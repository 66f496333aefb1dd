"""Random placement problems for property tests.

All times, sizes, watts and limits are small multiples of powers of two, so that sums are exact: two plans cost
either exactly the same or clearly not the same, and a limit is met exactly or clearly missed.
"""

from hypothesis import strategies as st

from core.graph import Layer, ModelGraph, Tensor
from core.objective import Limits, Objective
from core.problem import BorderTime, Compression, LayerTime, Link, NoiseModel, NoiseTerm, Problem, Server

SERVERS = ("device", "edge", "cloud", "far")


def eighths(low: int, high: int) -> st.SearchStrategy[float]:
    """Multiples of 1/8 from low/8 to high/8."""
    return st.integers(low, high).map(lambda number: number / 8)


@st.composite
def model_graphs(
    draw: st.DrawFn, least_layers: int = 1, most_layers: int = 5, most_quantizable: int = 3, servers: int = 3
) -> ModelGraph:
    """Chains, skips, branches, tensors with many consumers, layers with several outputs, loose ends, pins."""
    count = draw(st.integers(least_layers, most_layers))
    names = [f"l{index}" for index in range(count)]
    wiring = draw(st.sampled_from(["chain", "random"]))
    producers: list[int | None] = [None] * draw(st.integers(1, 2))
    consumers: list[list[str | None]] = [[] for _ in producers]
    for index, name in enumerate(names):
        if wiring == "chain" and index:
            inputs = {len(producers) - 1}
        else:
            inputs = draw(st.sets(st.integers(0, len(producers) - 1), min_size=index == 0, max_size=3))
        for position in inputs:
            consumers[position].append(name)
        for _ in range(1 if wiring == "chain" else draw(st.sampled_from([1, 1, 1, 2]))):
            producers.append(index)
            consumers.append([])
    for receivers in consumers:
        if draw(st.integers(0, 7)) < (1 if receivers else 7):
            receivers.append(None)
    quantizable = draw(st.sets(st.sampled_from(names), max_size=most_quantizable))
    rules = st.none() | st.sets(st.sampled_from(SERVERS[:servers]), min_size=1).map(sorted).map(tuple)
    return ModelGraph(
        "random",
        tuple(
            Layer(
                name,
                weight_bytes=draw(st.integers(0, 4)) * 64,
                quantizable=name in quantizable,
                servers=draw(rules) if draw(st.integers(0, 5)) == 0 else None,
            )
            for name in names
        ),
        tuple(
            Tensor(f"t{position}", draw(st.integers(0, 8)) * 16, None if source is None else names[source], tuple(to))
            for position, (source, to) in enumerate(zip(producers, consumers, strict=True))
        ),
    )


@st.composite
def problems(
    draw: st.DrawFn,
    least_layers: int = 1,
    most_layers: int = 5,
    most_quantizable: int = 3,
    most_servers: int = 3,
    limited: float = 0.2,
) -> Problem:
    """Problems with every kind of limit, missing and costed links, and layers that some servers cannot run.

    ``limited`` is how often each limit is set.
    """
    count = draw(st.integers(1, most_servers))
    names = SERVERS[:count]
    model = draw(model_graphs(least_layers, most_layers, most_quantizable, count))
    sometimes = st.floats(0, 1).map(lambda number: number < limited)
    servers = tuple(
        Server(
            name,
            compute_watts=draw(st.integers(0, 4)),
            self_transmit_watts=draw(st.integers(0, 2)),
            transmit_watts=draw(st.integers(0, 4)),
            memory_bytes=draw(st.integers(1, 10)) * 64 if draw(sometimes) else None,
        )
        for name in names
    )
    pairs = [(source, target) for source in names for target in names]
    listed = [pair for pair in pairs if draw(st.integers(0, 9)) >= (8 if pair[0] == pair[1] else 1)]
    with_tables = draw(st.integers(0, 3)) == 0
    links = tuple(
        Link(
            *(source, target, draw(st.sampled_from([32.0, 128.0, 512.0])), (rtt := draw(eighths(0, 4)))),
            seconds_by_bytes=draw(st.none() | tables(rtt)) if with_tables else None,
        )
        for source, target in listed
    )
    execution = {
        name: {layer.name: draw(layer_times()) for layer in model.layers if draw(st.integers(0, 39)) > 0}
        for name in names
    }
    with_energy_limit = draw(sometimes)
    weight = draw(st.sampled_from([0.0, 0.25, 0.5, 1.0]))
    return Problem(
        model=model,
        servers=servers,
        links=links,
        execution=execution,
        noise=draw(st.none() | noise_models(model.quantizable)),
        objective=Objective(weight, 1 - weight),
        limits=Limits(
            noise=draw(eighths(0, 8)) if draw(sometimes) or draw(sometimes) else None,
            device_energy_joules=draw(eighths(0, 96)) if with_energy_limit else None,
        ),
        quantized_size_ratio=draw(st.sampled_from([1.0, 2.0, 4.0])),
        borders={name: draw(borders(model)) for name in names} if draw(st.integers(0, 3)) == 0 else {},
        compression=draw(compression(model)) if (smaller := draw(st.integers(0, 3)) == 0) else {},
        quantized_compression=draw(compression(model)) if smaller else {},
    )


@st.composite
def compression(draw: st.DrawFn, model: ModelGraph) -> dict[str, Compression]:
    """What compressing some tensors brings."""
    chosen = [tensor.name for tensor in model.tensors if draw(st.booleans())]
    return {name: Compression(draw(eighths(0, 8)), draw(eighths(0, 4)), draw(eighths(0, 4))) for name in chosen}


@st.composite
def borders(draw: st.DrawFn, model: ModelGraph) -> dict[str, BorderTime]:
    """Times of leaving and entering of some tensors."""
    chosen = [tensor.name for tensor in model.tensors if draw(st.booleans())]
    return {name: BorderTime(*(draw(eighths(0, 4)) for _ in range(4))) for name in chosen}


@st.composite
def tables(draw: st.DrawFn, rtt_seconds: float) -> tuple[tuple[float, float], ...]:
    """Measured times of a link: sizes and steps between them whose slopes are exact."""
    pairs = [(0, rtt_seconds)]
    for size in (16, 32, 64):
        if draw(st.booleans()):
            pairs.append((size, pairs[-1][1] + draw(eighths(0, 8)) * (size - pairs[-1][0]) / 16))
    return tuple(pairs[1:])


@st.composite
def layer_times(draw: st.DrawFn) -> LayerTime:
    """Times where int8 gains, loses, is free or is unknown."""
    quantized = draw(st.none() | eighths(-1, 32))
    return LayerTime(draw(eighths(0, 32)), quantized)


@st.composite
def noise_models(draw: st.DrawFn, layers: tuple[str, ...]) -> NoiseModel:
    """Polynomials with coefficients of both signs; some terms name a layer that cannot be quantised."""
    sets = st.sets(st.sampled_from(layers), max_size=3) if layers else st.just(set())
    terms = draw(st.lists(st.tuples(sets.map(sorted), eighths(-2, 4)), max_size=6))
    extra = [NoiseTerm(("l0",), -1.0)] if draw(st.booleans()) else []
    return NoiseModel(draw(eighths(-2, 2)), tuple(NoiseTerm(tuple(one), value) for one, value in terms) + tuple(extra))
