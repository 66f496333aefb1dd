"""Why a plan is as it is, in sentences."""

from collections import defaultdict
from collections.abc import Iterator

from core.cost import compute_seconds, size_factor
from core.plan import Baseline, Plan
from core.problem import Problem
from core.simulation import Interval, simulate
from partita import units

NEAR = 0.9
"""A limit is spoken of from this share of it on."""


def explain(plan: Plan, problem: Problem) -> tuple[str, ...]:
    """Sentences on a plan: why it splits or does not, where the time goes, what int8 brings, which limits it meets.

    Args:
        plan: a plan of ``problem``; an infeasible one is explained by its reason.
        problem: what it solves.
    """
    if plan.predicted is None:
        return (f"No plan meets the limits: {plan.reason}.",) if plan.reason else ()
    sends = [item for item in simulate(problem, plan.components, plan.quantized).intervals if item.target]
    sends = [item for item in sends if item.target != item.server]
    return (
        _why_split(plan) if len(set(plan.placement.values())) > 1 else _why_whole(plan),
        *_where_time_goes(plan, problem, sends),
        *_what_int8_brings(plan, problem, sends),
        *_limits(plan, problem),
    )


def _why_split(plan: Plan) -> str:
    servers = ", ".join(dict.fromkeys(plan.placement.values()))
    single = plan.baselines.get("best_single_server", Baseline())
    compared = _compared(plan, single)
    if compared is None:
        return f"It splits over {servers}, because no single server may or can run everything."
    return f"It splits over {servers}: {compared} with the best single server ({single.placement_summary})."


def _why_whole(plan: Plan) -> str:
    servers = ", ".join(dict.fromkeys(plan.placement.values()))
    cut = plan.baselines.get("best_single_cut", Baseline())
    compared = _compared(plan, cut)
    if compared is None:
        return f"Everything runs on {servers}; there is no cut that meets the limits and rules."
    return f"Everything runs on {servers}: {compared} with the best single cut ({cut.placement_summary})."


def _compared(plan: Plan, other: Baseline) -> str | None:
    if plan.predicted is None or other.latency_seconds is None or other.energy_joules is None:
        return None
    latency, energy = plan.predicted.latency_seconds, plan.predicted.energy_joules
    return (
        f"{units.seconds(latency)} instead of {units.seconds(other.latency_seconds)} "
        f"({_change(latency, other.latency_seconds)}) and {units.joules(energy)} instead of "
        f"{units.joules(other.energy_joules)} ({_change(energy, other.energy_joules)})"
    )


def _change(value: float, other: float) -> str:
    return f"{value / other - 1:+.0%}" if other > 0 else "no comparison"


def _where_time_goes(plan: Plan, problem: Problem, sends: list[Interval]) -> Iterator[str]:
    computing: dict[str, float] = defaultdict(float)
    quantized = set(plan.quantized)
    for layer, server in plan.placement.items():
        computing[server] += compute_seconds(problem, layer, server, layer in quantized)
    shares = ", ".join(f"{server} {units.seconds(seconds)}" for server, seconds in computing.items())
    yield f"Computing takes {units.seconds(sum(computing.values()))} ({shares})."
    if not sends:
        return
    sizes = [_sent_bytes(problem, item, quantized) for item in sends]
    longest = max(sends, key=lambda item: item.end - item.start)
    yield (
        f"Sending takes {units.seconds(sum(item.end - item.start for item in sends))}, for "
        f"{units.byte_count(sum(sizes))} in {len(sends)} transfers; the longest, {longest.tensor!r} "
        f"({units.byte_count(_sent_bytes(problem, longest, quantized))}) from {longest.server} to {longest.target}, "
        f"takes {units.seconds(longest.end - longest.start)}."
    )


def _sent_bytes(problem: Problem, send: Interval, quantized: set[str]) -> float:
    tensor = next(tensor for tensor in problem.model.tensors if tensor.name == send.tensor)
    return tensor.bytes * size_factor(problem, tensor.producer in quantized)


def _what_int8_brings(plan: Plan, problem: Problem, sends: list[Interval]) -> Iterator[str]:
    if not plan.quantized or plan.predicted is None:
        return
    quantized = set(plan.quantized)
    saved = sum(
        compute_seconds(problem, layer, plan.placement[layer], False)
        - compute_seconds(problem, layer, plan.placement[layer], True)
        for layer in quantized
    )
    lighter = sum(_sent_bytes(problem, item, set()) - _sent_bytes(problem, item, quantized) for item in sends)
    effect = "save" if saved >= 0 else "cost"
    yield (
        f"Its int8 layers ({len(quantized)}) {effect} {units.seconds(abs(saved))} of computing and save "
        f"{units.byte_count(lighter)} of sending, for a noise of "
        f"{plan.predicted.noise:.3g}."
    )


def _limits(plan: Plan, problem: Problem) -> Iterator[str]:
    if plan.predicted is None:
        return
    limits = problem.limits
    found = [
        ("noise", plan.predicted.noise, limits.noise, "{:.3g}".format),
        ("the device's energy", plan.predicted.device_energy_joules, limits.device_energy_joules, units.joules),
    ]
    for server in problem.servers:
        used = plan.predicted.memory_bytes.get(server.name, 0)
        found.append((f"memory on {server.name}", used, server.memory_bytes, units.byte_count))
    for name, value, limit, text in found:
        if limit and value >= NEAR * limit:
            yield f"It is near the limit of {name}: {text(value)} of {text(limit)}."
