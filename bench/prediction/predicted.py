"""What a profile says of a placement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.prediction.placements import Placement
from core.cost import compute_seconds
from core.graph import ModelGraph
from core.plan import PlannedComponent
from core.problem import NO_BORDER, Link, Problem, Server
from core.profiles import ExecutionProfile
from core.simulation import simulate


@dataclass(frozen=True)
class Predicted:
    """What a placement should take.

    Attributes:
        seconds: from the first input's sending to the last output's arrival.
        components: id → seconds of its run on its server.
    """

    seconds: float
    components: Mapping[int, float]


def predicted(
    graph: ModelGraph,
    execution: ExecutionProfile,
    slowdowns: Mapping[str, float],
    links: Sequence[Link],
    components: Sequence[PlannedComponent],
    placement: Placement,
    speed: float,
) -> Predicted:
    """Predict as the planner does, by the simulation of one request.

    Args:
        execution: timed at the machine's own speed.
        slowdowns: server → how many times longer it takes.
        links: between the servers.
        components: of the placement.
        speed: how many times longer the machine takes now than when ``execution`` was timed.
    """
    problem = Problem(
        model=graph,
        servers=tuple(Server(name) for name in slowdowns),
        links=tuple(links),
        execution={
            server: {name: time.times(factor * speed) for name, time in execution.layers.items()}
            for server, factor in slowdowns.items()
        },
        borders={
            server: {name: border.times(factor * speed) for name, border in execution.borders.items()}
            for server, factor in slowdowns.items()
            if execution.borders
        },
    )
    seconds = {one.id: _component_seconds(problem, components, one, placement) for one in components if one.layers}
    return Predicted(simulate(problem, components, placement.quantized).latency_seconds, seconds)


def _component_seconds(
    problem: Problem, components: Sequence[PlannedComponent], one: PlannedComponent, placement: Placement
) -> float:
    """The component's layers, and what its own borders take on its server."""
    homes = {component.id: component.server for component in components}
    tensors = {tensor.name: tensor for tensor in problem.model.tensors}
    borders = problem.borders.get(one.server, {})
    seconds = sum(compute_seconds(problem, name, one.server, name in placement.quantized) for name in one.layer_names)
    for source in components:
        for name, receivers in source.outputs.items():
            made = tensors[name].producer in placement.quantized
            targets = {homes[receiver] for receiver in receivers} - {source.server}
            if source is one:
                seconds += borders.get(name, NO_BORDER).leaving[made] if targets else 0.0
            elif one.id in receivers and source.server != one.server:
                seconds += borders.get(name, NO_BORDER).entering[made]
    return seconds
