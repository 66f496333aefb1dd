"""The drawings: one for each concept, all in the colours of plans."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.concepts.sweeps import crossing_bytes
from core.front import Front
from core.plan import Plan
from core.problem import Problem
from model_divider.wire import is_wire_layer
from partita import units
from partita.pictures import DPI, INK, PALETTE

FAINT = "#777777"
WIDTH, HEIGHT = 7.2, 3.6
LEAST_BYTES, MOST_BYTES = 2**14, 2**24
"""Sizes of tensors between which links are drawn."""

BATTERY_JOULES = 10 * 3600.0
"""Ten watt-hours: a telephone's battery."""


def draw_cuts(problem: Problem, plan: Plan, path: Path) -> None:
    """How many bytes cross behind each layer of a model, and where a plan's server changes."""
    order, crossing = crossing_bytes(problem)
    real = [index for index, name in enumerate(order) if not is_wire_layer(name)]
    figure, axes = _figure("layers, in an order in which they can run", "bytes that cross behind it, float (MB)")
    heights = np.array([crossing[index] for index in real]) / 1e6
    axes.step(range(len(real)), heights, where="post", color=INK, linewidth=1)
    servers = [server.name for server in problem.servers]
    for index, (x, name) in enumerate(enumerate(order[index] for index in real)):
        server = plan.placement[name]
        axes.axvspan(index, index + 1, color=PALETTE[servers.index(server)], alpha=0.28, linewidth=0)
        if index == 0 or plan.placement[order[real[index - 1]]] != server:
            axes.annotate(server, (x, heights.max()), (2, 0), textcoords="offset points", size=8, va="top", color=INK)
    axes.set_xlim(0, len(real))
    axes.set_ylim(bottom=0)
    _save(figure, path)


def draw_noise(sweep: Sequence[tuple[float, Plan]], path: Path) -> None:
    """What a limit on noise costs: the latency of the fastest plan that keeps it, and its int8 layers."""
    figure, axes = _figure("limit on noise", "latency of the fastest plan (ms)")
    limits = [limit for limit, _ in sweep]
    axes.plot(limits, [_milliseconds(plan) for _, plan in sweep], "o-", color=PALETTE[0], markersize=4)
    told = -1
    for limit, plan in sweep:
        if len(plan.quantized) != told:
            told = len(plan.quantized)
            _note(axes, f"{told}", (limit, _milliseconds(plan)))
    axes.set_title("beside the points: int8 layers", size=8, color=FAINT, loc="right")
    axes.set_ylim(bottom=0)
    _save(figure, path)


def draw_profiles(problem: Problem, path: Path) -> None:
    """How long the layers of a model take on each server, added up from the first to the last."""
    figure, axes = _figure("layers, in an order in which they can run", "computing so far (ms)")
    order = [name for name in problem.model.topological_order if name in problem.model.by_name]
    order = [name for name in order if not is_wire_layer(name)]
    for index, server in enumerate(problem.servers):
        times = problem.execution[server.name]
        spent = np.cumsum([times[name].seconds for name in order]) * 1e3
        int8 = np.cumsum([_seconds_in_int8(problem, server.name, name) for name in order]) * 1e3
        axes.plot(spent, color=PALETTE[index], linewidth=1.8, label=server.name)
        axes.plot(int8, color=PALETTE[index], linewidth=1.2, linestyle="--")
    axes.plot([], [], color=FAINT, linestyle="--", linewidth=1.2, label="with all that may be int8 in int8")
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.set_xlim(0, len(order) - 1)
    axes.set_ylim(bottom=0)
    _save(figure, path)


def draw_links(problem: Problem, path: Path) -> None:
    """How long tensors take over each link, by their size, and what dividing by the throughput would say."""
    figure, axes = _figure("tensor (bytes)", "until it has arrived (ms)")
    sizes = np.geomspace(LEAST_BYTES, MOST_BYTES, 80)
    links = [link for link in problem.links if link.source != link.target]
    for index, link in enumerate(links):
        color = PALETTE[index % len(PALETTE)]
        label = f"{link.source} → {link.target}"
        axes.plot(sizes, [link.seconds(size) * 1e3 for size in sizes], color=color, linewidth=1.5, label=label)
        axes.plot(sizes, sizes / link.bytes_per_second * 1e3, color=color, linewidth=0.8, linestyle=":")
        knots = [knot for knot in link.knots if knot[0] >= LEAST_BYTES]
        axes.plot([size for size, _ in knots], [seconds * 1e3 for _, seconds in knots], "o", color=color, markersize=3)
    axes.plot([], [], color=FAINT, linestyle=":", linewidth=0.8, label="bytes / throughput")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=7.5, loc="upper left")
    _save(figure, path)


def draw_energy(front: Front, path: Path) -> None:
    """What a request costs the device and the others, with everything on the device and along the front."""
    figure, axes = _figure("", "energy of a request (J)")
    alone = front.baselines["device_only"]
    bars = [("device only", alone.latency_seconds or 0.0, alone.energy_joules or 0.0, 0.0)]
    named = {0: "fastest", len(front.points) - 1: "thriftiest"} | ({front.knee: "knee"} if front.knee else {})
    for index, name in sorted(named.items()):
        one = front.points[index].predicted
        rest = one.energy_joules - one.device_energy_joules
        bars.append((name, one.latency_seconds, one.device_energy_joules, rest))
    places = range(len(bars))
    device, others = [bar[2] for bar in bars], [bar[3] for bar in bars]
    axes.bar(places, device, 0.5, color=PALETTE[0], label="the device's")
    axes.bar(places, others, 0.5, bottom=device, color=PALETTE[1], label="the other servers'")
    for place, (_, seconds, own, rest) in zip(places, bars, strict=True):
        told = f"{units.seconds(seconds)}\n{BATTERY_JOULES / own / 1e3:.0f} thousand requests"
        axes.annotate(told, (place, own + rest), (0, 3), textcoords="offset points", ha="center", size=8, color=INK)
    axes.set_xticks(places, [bar[0] for bar in bars], size=9, color=INK)
    axes.set_ylim(0, max(own + rest for _, _, own, rest in bars) * 1.22)
    axes.set_title("above the bars: latency, and how far 10 Wh of the device take it", size=8, color=FAINT, loc="right")
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="lower right", bbox_to_anchor=(1, -0.28))
    _save(figure, path)


def _seconds_in_int8(problem: Problem, server: str, layer: str) -> float:
    time = problem.execution[server][layer]
    return time.seconds if time.quantized_seconds is None else time.quantized_seconds


def _milliseconds(plan: Plan) -> float:
    return plan.predicted.latency_seconds * 1e3 if plan.predicted else float("nan")


def _figure(across: str, upwards: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, HEIGHT), facecolor="white", layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(across, size=8.5, color=INK)
    axes.set_ylabel(upwards, size=8.5, color=INK)
    axes.tick_params(colors=FAINT, labelsize=8, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#bbbbbb")
    return figure, axes


def _note(axes: Axes, text: str, place: tuple[float, float]) -> None:
    axes.annotate(text, place, (4, 4), textcoords="offset points", size=8, color=INK)


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=DPI, format="png")
