"""A plan as people read it."""

from collections import Counter

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.plan import ParallelPrediction, Plan
from core.problem import Problem
from partita import units
from partita.cli.output import table
from partita.explanation import explain

GOALS = {
    "latency-sum": "all computing and sending added up",
    "latency": "a request's time with servers side by side",
    "throughput": "time between answers with the pipeline full",
}
"""What each goal weighs, in words."""


def plan_view(plan: Plan, problem: Problem | None = None) -> RenderableType:
    """Servers with their layers, what the plan promises, how good it is, and simpler plans beside it.

    With the problem that it solves, also why it is as it is.
    """
    name = f"plan {plan.id} for {plan.model}" if plan.id else f"plan for {plan.model}"
    if plan.status == "infeasible":
        return Text(f"{name}: infeasible: {plan.reason}")
    lines = [Text(f"{name}: {quality(plan)}", style="bold"), Text(f"goal: {plan.goal} ({GOALS[plan.goal]})")]
    if plan.advice is not None:
        lines.append(Text(f"advice: {plan.advice}"))
    lines += [Text(f"note: {note}") for note in plan.notes]
    reasons = explain(plan, problem) if problem is not None else ()
    told = [Text(), *map(Text, reasons)] if reasons else []
    return Group(*lines, Text(), server_table(plan), Text(), _promises(plan), *told)


def quality(plan: Plan) -> str:
    """How good the plan is, in words."""
    words = "proven optimal"
    if plan.status == "feasible":
        words = "stopped early" if plan.goal == "latency-sum" else "the best found"
        words += f", gap of the normalised objective to its bound {units.gap(plan.gap)}"
    return f"{words}, solved in {units.seconds(plan.solve_seconds)}"


def servers_of(plan: Plan) -> tuple[str, ...]:
    """Names of the plan's servers; the device, where the generator stands, first."""
    device = [component.server for component in plan.components[:1]]
    known = list(plan.predicted.memory_bytes) if plan.predicted else []
    return tuple(dict.fromkeys([*device, *known, *plan.placement.values()]))


def server_table(plan: Plan) -> Table:
    """A row for each server: layers, components, int8 layers, weights."""
    layers = Counter(plan.placement.values())
    components = Counter(component.server for component in plan.components if component.layers)
    quantized = Counter(plan.placement[layer] for layer in plan.quantized)
    shown = table("server", ">layers", ">components", ">int8 layers", ">weights")
    for server in servers_of(plan):
        memory = plan.predicted.memory_bytes.get(server) if plan.predicted else None
        counts = (layers[server], components[server], quantized[server])
        shown.add_row(server, *map(str, counts), units.byte_count(memory))
    return shown


def _promises(plan: Plan) -> Table:
    columns = (">summed latency", ">latency", ">answers at most", "bottleneck", ">energy", ">device energy", ">noise")
    shown = table("", *columns, "placement")
    if plan.predicted is not None:
        promised = plan.predicted
        component_count = sum(1 for component in plan.components if component.layers)
        shown.add_row(
            "this plan",
            units.seconds(promised.latency_seconds),
            *_side_by_side(plan.parallel),
            units.joules(promised.energy_joules),
            units.joules(promised.device_energy_joules),
            f"{promised.noise:.3g}",
            f"components: {component_count}, servers: {len(set(plan.placement.values()))}",
            style="bold",
        )
    for name, baseline in plan.baselines.items():
        shown.add_row(
            name.replace("_", " "),
            units.seconds(baseline.latency_seconds),
            *_side_by_side(baseline.parallel),
            units.joules(baseline.energy_joules),
            "",
            "",
            baseline.placement_summary or "not feasible",
        )
    return shown


def _side_by_side(parallel: ParallelPrediction | None) -> tuple[str, str, str]:
    """Latency, throughput bound and what sets it, with servers at work side by side."""
    if parallel is None:
        return "–", "–", ""
    return (
        units.seconds(parallel.latency_seconds),
        f"{1 / parallel.seconds_per_request:.3g}/s" if parallel.seconds_per_request > 0 else "–",
        parallel.bottleneck,
    )
