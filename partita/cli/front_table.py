"""A front as people read it."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.front import Front, FrontPoint
from partita import units
from partita.cli.output import table

MANY_SERVERS = 4
"""From so many on, servers are counted instead of named."""


def front_view(front: Front) -> RenderableType:
    """The points with what they promise and where they run, the knee marked, and simpler plans below."""
    heading = f"front of summed latency against energy for {front.model}: "
    if front.status == "infeasible":
        return Text(f"{heading}infeasible: {front.reason}")
    hint = "To plan one of them, give a --latency-weight from its range (of normalised latency and energy)."
    below = [Text(line, style="dim") for line in (hint, *front.notes)]
    return Group(Text(heading + extent(front), style="bold"), Text(), _points(front), Text(), *below)


def extent(front: Front) -> str:
    """How much of the front there is, in words."""
    count = f"{len(front.points)} points" if len(front.points) != 1 else "1 point"
    time = units.seconds(front.solve_seconds)
    if front.status == "complete":
        return f"complete, {count}, proven, found in {time}"
    left = f"no weights gain more than {units.gap(front.gap)}" if front.gap is not None else "with no bound on the rest"
    if front.status == "truncated":
        return f"{count}, proven, found in {time}; there are more, from which {left}"
    return f"stopped after {time} with {count}; {left}"


def servers_used(point: FrontPoint) -> tuple[str, ...]:
    """The servers that run layers, in the problem's order."""
    used = set(point.placement.values())
    return tuple(name for name in point.predicted.memory_bytes if name in used)


def _points(front: Front) -> Table:
    headings = (">latency", ">overlapped", ">energy", ">device energy", ">noise", ">int8 layers", "latency weight")
    shown = table("", *headings, "placement")
    for index, point in enumerate(front.points):
        servers = servers_used(point)
        shown.add_row(
            "knee" if index == front.knee else str(index + 1),
            units.seconds(point.predicted.latency_seconds),
            units.seconds(point.parallel.latency_seconds if point.parallel else None),
            units.joules(point.predicted.energy_joules),
            units.joules(point.predicted.device_energy_joules),
            f"{point.predicted.noise:.3g}",
            str(len(point.quantized)),
            f"{point.latency_weight_from:.3f} – {point.latency_weight_to:.3f}",
            ", ".join(servers) if len(servers) < MANY_SERVERS else f"{len(servers)} servers",
            style="bold" if index == front.knee else None,
        )
    for name, baseline in front.baselines.items():
        seconds, joules = units.seconds(baseline.latency_seconds), units.joules(baseline.energy_joules)
        summary = baseline.placement_summary or "not feasible"
        shown.add_row(name.replace("_", " "), seconds, "", joules, "", "", "", "", summary, style="dim")
    return shown
