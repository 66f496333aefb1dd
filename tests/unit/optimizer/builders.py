"""Short ways to write small problems by hand."""

from core.graph import Layer, ModelGraph, Tensor
from core.objective import Limits
from core.problem import LayerTime, Link, Problem, Server


def chain(
    seconds: dict[str, list[float]],
    limits: Limits = Limits(),  # noqa: B008 - frozen
    tensor_bytes: int = 100,
    links: tuple[tuple[str, str], ...] | None = None,
    rules: dict[int, tuple[str, ...]] | None = None,
    memory: dict[str, int] | None = None,
    watts: float = 1.0,
) -> Problem:
    """Layers l0, l1, … in a row, each of 10 weight bytes; seconds by server; links of 100 bytes per second."""
    names = list(seconds)
    count = len(seconds[names[0]])
    layers = [f"l{index}" for index in range(count)]
    ends: list[str | None] = [None, *layers, None]
    pairs = [(one, other) for one in names for other in names if one != other] if links is None else links
    return Problem(
        model=ModelGraph(
            "chain",
            tuple(Layer(name, weight_bytes=10, servers=(rules or {}).get(i)) for i, name in enumerate(layers)),
            tuple(Tensor(f"t{i}", tensor_bytes, ends[i], (ends[i + 1],)) for i in range(count + 1)),
        ),
        servers=tuple(Server(name, watts, 0.0, watts, (memory or {}).get(name)) for name in names),
        links=tuple(Link(source, target, 100.0, 0.0) for source, target in pairs),
        execution={
            name: {layer: LayerTime(value) for layer, value in zip(layers, values, strict=True)}
            for name, values in seconds.items()
        },
        limits=limits,
    )
