"""Where the components of a plan stand in its picture: a lane for each server, columns from left to right."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.cost import size_factor
from core.plan import Plan, PlannedComponent
from core.problem import Problem


@dataclass(frozen=True)
class Edge:
    """The tensors that one component sends to another.

    Attributes:
        source: id of the sending component.
        target: id of the receiving component.
        tensors: how many there are.
        byte_count: their size as sent, where the problem is known.
    """

    source: int
    target: int
    tensors: int
    byte_count: float | None


@dataclass(frozen=True)
class Layout:
    """A picture's grid.

    Attributes:
        lanes: server names from top to bottom.
        columns: component id → column, the longest path to it.
        rows: component id → row within its lane.
        row_counts: server → rows of its lane.
        tracks: (source, target) of an edge that passes other columns → its track above the target's lane.
        track_counts: server → tracks above its lane.
        edges: all edges.
    """

    lanes: tuple[str, ...]
    columns: Mapping[int, int]
    rows: Mapping[int, int]
    row_counts: Mapping[str, int]
    tracks: Mapping[tuple[int, int], int]
    track_counts: Mapping[str, int]
    edges: tuple[Edge, ...]

    @property
    def column_count(self) -> int:
        """How many columns there are."""
        return max(self.columns.values(), default=-1) + 1


def arrange(plan: Plan, problem: Problem | None = None) -> Layout:
    """Find a place for each component; those on the way from one to another stand between them."""
    edges = plan_edges(plan, problem)
    columns = _columns(plan.components, edges)
    taken: Counter[tuple[str, int]] = Counter()
    rows: dict[int, int] = {}
    for component in plan.components:
        place = (component.server, columns[component.id])
        rows[component.id] = taken[place]
        taken[place] += 1
    used = dict.fromkeys(component.server for component in plan.components)
    # A prediction names the servers in the problem's order.
    known = plan.predicted.memory_bytes if plan.predicted else ()
    lanes = tuple(dict.fromkeys([*(name for name in known if name in used), *used]))
    row_counts = {lane: max(count for (server, _), count in taken.items() if server == lane) for lane in lanes}
    tracks, track_counts = _tracks(plan.components, edges, columns)
    return Layout(lanes, columns, rows, row_counts, tracks, track_counts, edges)


def plan_edges(plan: Plan, problem: Problem | None = None) -> tuple[Edge, ...]:
    """Who sends how much to whom; sizes are known where the problem is."""
    sizes: dict[str, float] = {}
    if problem is not None:
        quantized = frozenset(plan.quantized)
        sizes = {
            tensor.name: tensor.bytes * size_factor(problem, tensor.producer in quantized)
            for tensor in problem.model.tensors
        }
    sent: dict[tuple[int, int], list[str]] = defaultdict(list)
    for component in plan.components:
        for tensor, targets in component.outputs.items():
            for target in targets:
                sent[component.id, target].append(tensor)
    return tuple(
        Edge(source, target, len(names), sum(sizes[name] for name in names) if set(names) <= sizes.keys() else None)
        for (source, target), names in sent.items()
    )


def _columns(components: Sequence[PlannedComponent], edges: Sequence[Edge]) -> dict[int, int]:
    columns = {component.id: 0 for component in components}
    arriving: dict[int, list[int]] = defaultdict(list)
    for edge in edges:
        arriving[edge.target].append(edge.source)
    # Components come in topological order, so that sources have their column already.
    for component in components:
        columns[component.id] = max((columns[source] + 1 for source in arriving[component.id]), default=0)
    return columns


def _tracks(
    components: Sequence[PlannedComponent], edges: Sequence[Edge], columns: Mapping[int, int]
) -> tuple[dict[tuple[int, int], int], dict[str, int]]:
    """Give edges that pass other columns tracks above the target's lane, such that none overlap."""
    server = {component.id: component.server for component in components}
    ends: dict[str, list[int]] = defaultdict(list)
    tracks: dict[tuple[int, int], int] = {}
    passing = [edge for edge in edges if columns[edge.target] - columns[edge.source] > 1]
    for edge in sorted(passing, key=lambda edge: (columns[edge.source], columns[edge.target])):
        lane = ends[server[edge.target]]
        track = next((index for index, end in enumerate(lane) if end <= columns[edge.source]), len(lane))
        if track == len(lane):
            lane.append(0)
        lane[track] = columns[edge.target]
        tracks[edge.source, edge.target] = track
    return tracks, {name: len(lane) for name, lane in ends.items()}
