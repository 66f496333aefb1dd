"""A plan as a picture: its component graph in swim lanes, one for each server."""

from collections import Counter
from itertools import pairwise
from pathlib import Path as FilePath
from typing import BinaryIO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path

from core.errors import InvalidArgumentError
from core.plan import Plan, PlannedComponent
from core.problem import Problem
from partita import units
from partita.picture_layout import Edge, Layout, arrange

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#666666")
"""Okabe and Ito's colours, which colour-blind people can tell apart."""

INK = "#222222"
# All in inches: the axes cover the figure, one unit an inch.
NODE_WIDTH, NODE_HEIGHT, ROW_GAP = 0.86, 0.52, 0.16
WIDE_GAP, NARROW_GAP, MANY_COLUMNS = 0.74, 0.34, 14
LANE_MARGIN, TRACK, NAME_WIDTH, TITLE_HEIGHT, EDGE_MARGIN = 0.18, 0.2, 1.25, 0.62, 0.15
DPI = 160


def draw_plan(plan: Plan, path: FilePath | str | BinaryIO, problem: Problem | None = None) -> None:
    """Draw a plan's components, coloured by server, and the tensors that pass between them, as a PNG file.

    Args:
        path: or an open file.
        problem: what the plan solves; with it, the arrows between servers tell how many bytes they carry.

    Raises:
        InvalidArgumentError: the plan is infeasible.
        OSError: the file cannot be written.
    """
    if not plan.components:
        raise InvalidArgumentError(f"the plan for {plan.model!r} is {plan.status}: there are no components to draw")
    _Picture(plan, arrange(plan, problem)).save(path)


class _Picture:
    def __init__(self, plan: Plan, layout: Layout) -> None:
        self.plan, self.layout = plan, layout
        self.component = {component.id: component for component in plan.components}
        self.color = {lane: PALETTE[index % len(PALETTE)] for index, lane in enumerate(layout.lanes)}
        self.gap = NARROW_GAP if layout.column_count > MANY_COLUMNS else WIDE_GAP
        self.top: dict[str, float] = {}
        bottom = 0.0
        for lane in reversed(layout.lanes):
            bottom += self.lane_height(lane)
            self.top[lane] = bottom
        self.width = NAME_WIDTH + layout.column_count * (NODE_WIDTH + self.gap) + EDGE_MARGIN
        self.height = bottom + TITLE_HEIGHT
        self.figure = Figure(figsize=(self.width, self.height), facecolor="white")
        self.axes = self.figure.add_axes((0, 0, 1, 1), xlim=(0, self.width), ylim=(0, self.height))
        self.axes.set_axis_off()

    def lane_height(self, lane: str) -> float:
        rows = self.layout.row_counts[lane]
        nodes = rows * NODE_HEIGHT + (rows - 1) * ROW_GAP
        return nodes + 2 * LANE_MARGIN + self.layout.track_counts.get(lane, 0) * TRACK

    def place(self, component: PlannedComponent) -> tuple[float, float]:
        """The middle of a component's node."""
        column, row = self.layout.columns[component.id], self.layout.rows[component.id]
        first = self.top[component.server] - LANE_MARGIN - NODE_HEIGHT / 2
        first -= self.layout.track_counts.get(component.server, 0) * TRACK
        x = NAME_WIDTH + column * (NODE_WIDTH + self.gap) + self.gap / 2 + NODE_WIDTH / 2
        return x, first - row * (NODE_HEIGHT + ROW_GAP)

    def save(self, path: FilePath | str | BinaryIO) -> None:
        self._title()
        for lane in self.layout.lanes:
            self._lane(lane)
        for edge in self.layout.edges:
            self._edge(edge)
        for component in self.plan.components:
            self._node(component)
        FigureCanvasAgg(self.figure)
        self.figure.savefig(path, dpi=DPI, format="png")

    def _title(self) -> None:
        plan = self.plan
        facts = ["proven optimal" if plan.status == "optimal" else "stopped early"]
        if plan.predicted is not None:
            facts.append(f"predicted latency {units.seconds(plan.predicted.latency_seconds)}")
            if plan.predicted.energy_joules:
                facts.append(f"energy {units.joules(plan.predicted.energy_joules)}")
            if plan.quantized:
                facts.append(f"noise {plan.predicted.noise:.2g}")
        self.axes.text(EDGE_MARGIN, self.height - 0.22, plan.model, size=11, weight="bold", color=INK, va="center")
        self.axes.text(EDGE_MARGIN, self.height - 0.44, " · ".join(facts), size=8, color="#555555", va="center")

    def _lane(self, lane: str) -> None:
        color, top, height = self.color[lane], self.top[lane], self.lane_height(lane)
        self.axes.add_patch(
            Rectangle((0, top - height), self.width, height, facecolor=_mix(color, 0.07), edgecolor="none", zorder=0)
        )
        self.axes.add_patch(Rectangle((0, top - height), 0.07, height, facecolor=color, edgecolor="none", zorder=1))
        layers = Counter(self.plan.placement.values())[lane]
        quantized = sum(1 for layer in self.plan.quantized if self.plan.placement[layer] == lane)
        lines = [f"{layers} layers" if layers != 1 else "1 layer"] + ([f"{quantized} in int8"] if quantized else [])
        middle = top - height / 2
        self.axes.text(0.2, middle + 0.04, lane, size=10, weight="bold", color=INK, va="bottom")
        self.axes.text(0.2, middle, "\n".join(lines), size=7.5, color="#555555", va="top", linespacing=1.3)

    def _node(self, component: PlannedComponent) -> None:
        x, y = self.place(component)
        color = self.color[component.server]
        fill = _mix(color, 0.32 if component.layers else 0.0)
        if not component.layers:
            text, width = ("input" if component.id == self.plan.components[0].id else "output"), NODE_WIDTH * 0.7
            box, rounding = 0.34, 0.16
        else:
            quantized = len(set(component.layer_names) & set(self.plan.quantized))
            text = f"{component.layers} layers" if component.layers != 1 else "1 layer"
            text += f"\n{quantized} int8" if quantized else ""
            width, box, rounding = NODE_WIDTH, NODE_HEIGHT, 0.07
        self.axes.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - box / 2),
                width,
                box,
                boxstyle=f"round,pad=0,rounding_size={rounding}",
                facecolor=fill,
                edgecolor=color,
                linewidth=1.4,
                zorder=3,
            )
        )
        self.axes.text(x, y, text, size=8, color=INK, ha="center", va="center", zorder=4, linespacing=1.25)

    def _edge(self, edge: Edge) -> None:
        source, target = self.component[edge.source], self.component[edge.target]
        (x0, y0), (x1, y1) = self.place(source), self.place(target)
        x0 += NODE_WIDTH * (0.5 if source.layers else 0.35)
        x1 -= NODE_WIDTH * (0.5 if target.layers else 0.35)
        crossing = source.server != target.server
        color = self.color[source.server] if crossing else "#9a9a9a"
        track = self.layout.tracks.get((edge.source, edge.target))
        if track is None:
            bend = (x1 - x0) * 0.5
            points = [(x0, y0), (x0 + bend, y0), (x1 - bend, y1), (x1, y1)]
            path = Path(points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
            label = ((x0 + x1) / 2, (y0 + y1) / 2)
        else:
            level = self.top[target.server] - LANE_MARGIN * 0.75 - track * TRACK
            left, right = x0 + self.gap * 0.35, x1 - self.gap * 0.35
            path = _rounded([(x0, y0), (left, y0), (left, level), (right, level), (right, y1), (x1, y1)], 0.09)
            label = (min(left + NODE_WIDTH * 0.75, (left + right) / 2), level)
        self.axes.add_patch(
            FancyArrowPatch(
                path=path,
                arrowstyle="-|>,head_length=4,head_width=2.2",
                linewidth=1.5 if crossing else 1.0,
                color=color,
                zorder=2,
            )
        )
        if crossing and self.gap == WIDE_GAP:
            self._label(edge, label)

    def _label(self, edge: Edge, place: tuple[float, float]) -> None:
        if edge.byte_count is not None:
            text = units.byte_count(edge.byte_count)
        elif edge.tensors > 1:
            text = f"{edge.tensors} tensors"
        else:
            return
        box = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.9}
        self.axes.text(*place, text, size=6.5, color=INK, ha="center", va="center", bbox=box, zorder=2.5)


def _mix(color: str, share: float) -> tuple[float, float, float]:
    """A colour thinned with white."""
    red, green, blue = (1 - share + share * part for part in to_rgb(color))
    return red, green, blue


def _rounded(points: list[tuple[float, float]], radius: float) -> Path:
    """A line along horizontal and vertical pieces with rounded corners."""
    vertices, codes = [points[0]], [Path.MOVETO]
    for (before, corner), (_, after) in pairwise(pairwise(points)):
        reach = [min(radius, (abs(end[0] - corner[0]) + abs(end[1] - corner[1])) / 2) for end in (before, after)]
        for end, length, code in ((before, reach[0], Path.LINETO), (after, reach[1], Path.CURVE3)):
            distance = abs(end[0] - corner[0]) + abs(end[1] - corner[1]) or 1.0
            if code == Path.CURVE3:
                vertices.append(corner)
                codes.append(Path.CURVE3)
            step = length / distance
            vertices.append((corner[0] + (end[0] - corner[0]) * step, corner[1] + (end[1] - corner[1]) * step))
            codes.append(code)
    return Path([*vertices, points[-1]], [*codes, Path.LINETO])
