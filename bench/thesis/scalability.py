"""Thesis 6.6: how planning time grows, for a given model on ever more servers and for random models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench.planning.apart import Ended, run_apart
from bench.planning.generator import branched
from bench.planning.measure import measure_literal, measure_plan
from bench.planning.yolo import yolo
from core.documents import loads
from core.objective import Objective
from core.problem import LayerTime, Link, Problem

LIMIT_SECONDS = 300.0
"""When a run is stopped."""

THESIS_LAYERS, THESIS_SERVERS = 652, 3
"""Of the thesis's large model."""

_SLOWER = 1.1
"""How many times longer each further copy of a server takes: no two are equal."""


@dataclass(frozen=True)
class PlanningTime:
    """One plan.

    Attributes:
        kind: ``static``: a given model; ``random``: a random one.
        model: which.
        method: ``exact``, or ``literal``: the thesis's own program, solved by HiGHS.
        seconds: by the clock, on one thread; a lower bound where it was stopped.
        stopped: by the time limit.
        components: of the plan; 0 where there is none.
    """

    kind: str
    model: str
    layers: int
    servers: int
    seed: int
    method: str
    seconds: float
    stopped: bool
    components: int


def time_static(path: Path, model: str, servers: int) -> PlanningTime:
    """Plan a measured model for so many servers: its own, and slower copies of its edge and cloud servers.

    Args:
        path: the problem of that model on all of the testbed's servers.
        model: its name.
        servers: how many, the device included.
    """
    return _exact("static", model, servers, 0, partial(static_problem, path, servers))


def time_random(layers: int, servers: int, seed: int) -> PlanningTime:
    """Plan a random branched model."""
    return _exact("random", f"random {layers}", servers, seed, partial(branched, layers, servers, seed))


def time_yolo() -> PlanningTime:
    """Plan a model like the thesis's largest: some 650 layers on three servers, 12 of which may be int8."""
    return _exact("static", "YOLO-like", THESIS_SERVERS, 0, yolo)


def time_literal(path: Path, model: str, servers: int, limit_seconds: float) -> PlanningTime:
    """Solve the thesis's own program for the same problem as ``time_static``."""
    problem = static_problem(path, servers)
    plan = run_apart(measure_plan, partial(static_problem, path, servers), "exact", limit_seconds=LIMIT_SECONDS)
    table = plan.value.normalization if isinstance(plan, Ended) else None
    found = run_apart(measure_literal, partial(static_problem, path, servers), table, limit_seconds=limit_seconds)
    seconds = found.value.seconds if isinstance(found, Ended) else found.seconds
    layers = len(problem.model.layers)
    return PlanningTime("static", model, layers, servers, 0, "literal", seconds, not isinstance(found, Ended), 0)


def _exact(kind: str, model: str, servers: int, seed: int, make: Callable[[], Problem]) -> PlanningTime:
    found = run_apart(measure_plan, make, "exact", limit_seconds=LIMIT_SECONDS)
    if isinstance(found, Ended):
        one = found.value
        return PlanningTime(kind, model, one.layers, servers, seed, "exact", one.seconds, False, one.components)
    return PlanningTime(kind, model, 0, servers, seed, "exact", found.seconds, True, 0)


def static_problem(path: Path, servers: int) -> Problem:
    """A measured problem for another number of servers, with equal weights of latency and energy."""
    return on_servers(loads(path.read_bytes(), Problem), servers)


def on_servers(problem: Problem, count: int) -> Problem:
    """The first ``count`` servers of a problem; where it has fewer, each server but the device is copied, in turns.

    A copy has its original's watts and links, to the other originals and their copies alike, and takes a tenth longer
    with each round; copies of one server are linked as it is to the device.
    """
    first = [server.name for server in problem.servers]
    origin = {name: name for name in first[:count]}
    factor = dict.fromkeys(origin, 1.0)
    for number in range(len(first), count):
        source = first[1 + (number - len(first)) % (len(first) - 1)]
        copies = 2 + (number - len(first)) // (len(first) - 1)
        origin[f"{source}-{copies}"] = source
        factor[f"{source}-{copies}"] = _SLOWER ** (copies - 1)
    by_name = problem.server_by_name
    return replace(
        problem,
        servers=tuple(replace(by_name[source], name=name) for name, source in origin.items()),
        links=tuple(_links(problem, origin)),
        execution={
            name: {layer: _times(time, factor[name]) for layer, time in problem.execution[source].items()}
            for name, source in origin.items()
        },
        borders={name: problem.borders[source] for name, source in origin.items() if source in problem.borders},
        objective=Objective(0.5, 0.5),
    )


def _links(problem: Problem, origin: dict[str, str]) -> Sequence[Link]:
    device = problem.device
    found = []
    for one, source in origin.items():
        for other, target in origin.items():
            same = source == target
            link = problem.link_by_pair.get((source, device) if same else (source, target))
            if one != other and link is not None:
                found.append(replace(link, source=one, target=other))
    return found


def _times(time: LayerTime, factor: float) -> LayerTime:
    quantized = time.quantized_seconds
    return LayerTime(time.seconds * factor, None if quantized is None else quantized * factor)
