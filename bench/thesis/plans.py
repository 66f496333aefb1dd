"""The plans of thesis 6.3.3 to 6.5 and 6.7: which servers, which weights, how much noise, how much of the battery."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from core.cost import compute_seconds
from core.documents import dumps
from core.objective import Objective, SolverOptions
from core.plan import Plan, Prediction
from core.problem import Problem
from core.progress import Progress
from model_divider.wire import is_wire_layer
from optimizer.plan import make_plan
from partita.aio import Client

SERVER_SETS: Mapping[str, tuple[str, ...]] = {
    "device": ("device",),
    "device+edge": ("device", "edge"),
    "device+edge+cloud": ("device", "edge", "cloud"),
}
"""The thesis's three sets of servers."""

THESIS_MOST_NOISE = 0.5
"""The thesis's largest η_max, at which all of its quantisable layers may be int8."""

BEYOND_REACH = 0.9
"""Of the least energy that the device can have: a limit that no plan meets."""

TIME_LIMIT_SECONDS = 120.0
"""Of one plan."""


@dataclass(frozen=True)
class PlannedCase:
    """A plan that was asked for.

    Attributes:
        servers: a key of ``SERVER_SETS``.
        latency_weight: ω_T; energy has the rest.
        noise_level: η_max in the thesis's numbers.
        noise_limit: η_max in the model's own.
        device_energy_limit: J_0 in joules; ``None`` without one.
        signature: equal for plans that put the same layers in the same precision on the same servers.
        predicted: by the sum of all computing and sending; ``None`` where the plan is infeasible.
        overlapped_seconds: latency with servers and links at work side by side.
        compute_seconds: what of ``predicted`` is computing.
        layers: server → layers there, wire layers not counted.
        components: that run layers.
        int8_layers: without wire layers.
        int8_wires: tensors that cross in int8 although all computing is float.
        solve_seconds: of planning.
        plan_id: as the Deployer knows it.
        advice: whether splitting pays.
        reason: why there is no plan.
    """

    model: str
    servers: str
    latency_weight: float
    noise_level: float
    noise_limit: float
    status: str
    device_energy_limit: float | None = None
    signature: str = ""
    predicted: Prediction | None = None
    overlapped_seconds: float | None = None
    compute_seconds: float = 0.0
    layers: Mapping[str, int] | None = None
    components: int = 0
    int8_layers: int = 0
    int8_wires: int = 0
    solve_seconds: float = 0.0
    plan_id: str = ""
    advice: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Cases:
    """Some plans that were asked for."""

    cases: tuple[PlannedCase, ...]


@dataclass(frozen=True)
class EnergyCases:
    """Plans under a limit on the device's energy (thesis 6.7).

    Attributes:
        least_joules: what the device needs at least, by every plan.
        cases: the first without a limit, the last with one that no plan meets.
    """

    least_joules: float
    cases: tuple[PlannedCase, ...]


def noise_scale(noise_all: float, levels: Sequence[float]) -> float:
    """By what the thesis's numbers are multiplied to become the model's own.

    1 where the thesis's limits mean something to the model: the least of them above 0 forbids at least to have
    everything in int8. Else the thesis's largest limit becomes the noise of everything in int8.
    """
    least = min((level for level in levels if level > 0), default=THESIS_MOST_NOISE)
    return 1.0 if noise_all > least else noise_all / THESIS_MOST_NOISE


async def plan_cases(
    client: Client, model: str, servers: str, weights: Sequence[float], levels: Sequence[float], scale: float,
    progress: Progress,
) -> Cases:  # fmt: skip
    """Plan for a set of servers, with every weight and limit on noise.

    Args:
        client: of the testbed.
        model: its name there.
        servers: a key of ``SERVER_SETS``.
        weights: of latency.
        levels: limits on noise, in the thesis's numbers.
        scale: what they are multiplied by.
        progress: told what is planned.
    """
    wanted = [(weight, level) for weight in weights for level in levels]
    found = []
    for index, (weight, level) in enumerate(wanted):
        progress(index / len(wanted), f"planning for {servers}: {index + 1} of {len(wanted)}")
        blank = PlannedCase(model, servers, weight, level, level * scale, "")
        found.append(await _plan(client, blank))
    return Cases(tuple(found))


async def plan_energy_limits(
    client: Client, model: str, level: float, scale: float, steps: int, progress: Progress
) -> EnergyCases:
    """Plan for all servers and least latency, with limits on the device's energy from none to what it needs least."""
    blank = PlannedCase(model, list(SERVER_SETS)[-1], 1.0, level, level * scale, "")
    progress(0.0, "planning without a limit on the device's energy")
    free = await _plan(client, blank)
    if free.predicted is None:
        return EnergyCases(0.0, (free,))
    least = least_device_joules(await client.problem(free.plan_id))
    most = free.predicted.device_energy_joules
    found = [free]
    limits = [most - (most - least) * (number + 1) / steps for number in range(steps)]
    # What is needed least is met but for rounding.
    limits[-1] = least * (1 + 1e-6)
    for index, limit in enumerate([*dict.fromkeys(limits), BEYOND_REACH * least]):
        progress((index + 1) / (steps + 2), f"planning with {limit:.3g} J for the device")
        found.append(await _plan(client, replace(blank, device_energy_limit=limit)))
    return EnergyCases(least, tuple(found))


def least_device_joules(problem: Problem) -> float:
    """The least energy of the device that a plan can have: what is left when only its energy counts."""
    others = tuple(
        replace(server, compute_watts=0.0, transmit_watts=0.0, self_transmit_watts=0.0)
        for server in problem.servers[1:]
    )
    alone = replace(problem, servers=(problem.servers[0], *others), objective=Objective(0.0, 1.0))
    plan = make_plan(alone, SolverOptions(time_limit_seconds=TIME_LIMIT_SECONDS))
    return plan.predicted.device_energy_joules if plan.predicted else 0.0


async def _plan(client: Client, case: PlannedCase) -> PlannedCase:
    limits = {} if case.device_energy_limit is None else {"device_energy_limit_joules": case.device_energy_limit}
    plan = await client.plan(
        case.model,
        servers=SERVER_SETS[case.servers],
        latency_weight=case.latency_weight,
        noise_limit=case.noise_limit,
        time_limit_seconds=TIME_LIMIT_SECONDS,
        **limits,  # type: ignore[arg-type]
    )
    return planned(case, plan, await client.problem(plan.id or ""))


def planned(case: PlannedCase, plan: Plan, problem: Problem) -> PlannedCase:
    """A case with the plan that was found for it.

    Args:
        case: as asked.
        plan: for it.
        problem: that the plan solves.
    """
    chosen = frozenset(plan.quantized)
    return replace(
        case,
        status=plan.status,
        reason=plan.reason,
        plan_id=plan.id or "",
        signature=signature(plan) if plan.predicted else "",
        predicted=plan.predicted,
        overlapped_seconds=plan.parallel.latency_seconds if plan.parallel else None,
        compute_seconds=sum(
            compute_seconds(problem, layer, server, layer in chosen) for layer, server in plan.placement.items()
        ),
        layers=Counter(server for name, server in plan.placement.items() if not is_wire_layer(name)),
        components=sum(component.layers > 0 for component in plan.components),
        int8_layers=sum(not is_wire_layer(name) for name in plan.quantized),
        int8_wires=sum(map(is_wire_layer, plan.quantized)),
        solve_seconds=plan.solve_seconds,
        advice=plan.advice,
    )


def signature(plan: Plan) -> str:
    """A short name of what a plan puts where, in which precision."""
    text = dumps({"placement": dict(sorted(plan.placement.items())), "quantized": sorted(plan.quantized)})
    return hashlib.sha256(text.encode()).hexdigest()[:12]
