"""Plans put in force and asked: latency, energy and noise as measured (thesis 6.3.3 and 6.4)."""

import asyncio
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.thesis.machine import others_load
from core.deployment import ComponentRun, Division
from core.progress import Progress
from core.tensors import Array
from partita.aio import Client, Deployment
from partita.results import InferReport

WARM_UP = 2
"""First requests to a plan, which do not count."""

REQUEST_SECONDS = 120.0


@dataclass(frozen=True)
class Watts:
    """What a server draws while it computes and while it sends, as declared."""

    compute: float
    transmit: float


@dataclass(frozen=True)
class Energy:
    """Joules of a request, of all servers and of the device."""

    joules: float
    device_joules: float


@dataclass(frozen=True)
class Measurement:
    """A plan in force. Every other request went to the device alone, so that both saw the same machine.

    Attributes:
        signature: of the plan.
        seconds: of each request, from the first input's sending to the last output's arrival.
        baseline_seconds: the float model on the device alone, of the requests in between.
        energies: declared watts times measured seconds of computing and sending, of each request.
        baseline_energies: of the device alone.
        compute_seconds: server → measured seconds of computing, median.
        noise: mean absolute difference from the float model's answers.
        others_load: share of the processors that others used just before.
    """

    signature: str
    seconds: tuple[float, ...]
    baseline_seconds: tuple[float, ...]
    energies: tuple[Energy, ...]
    baseline_energies: tuple[Energy, ...]
    compute_seconds: Mapping[str, float]
    noise: float
    others_load: float


async def measure_plan(
    client: Client,
    plan: tuple[str, str],
    baseline: Deployment,
    inputs: Sequence[Mapping[str, Array]],
    requests: int,
    watts: Mapping[str, Watts],
    progress: Progress,
) -> Measurement:
    """Deploy a plan, send requests to it and to the device alone in turns, and end the deployment.

    Args:
        client: of the testbed.
        plan: its signature and id.
        baseline: the float model on the device alone.
        inputs: what requests bring, in turns.
        requests: how many of them count.
        watts: server → what it draws.
        progress: told what is done.
    """
    signature, plan_id = plan
    progress(0.0, "deploying a plan")
    deployment = await client.deploy(plan_id, f"plan-{signature}")
    try:
        load = await asyncio.to_thread(others_load)
        mine, others, noises = [], [], []
        for number in range(WARM_UP + requests):
            progress((number + 1) / (WARM_UP + requests + 1), f"request {number + 1} of {WARM_UP + requests}")
            item = inputs[number % len(inputs)]
            outputs, report = await deployment.infer_with_report(item, REQUEST_SECONDS)
            expected, reference = await baseline.infer_with_report(item, REQUEST_SECONDS)
            if number >= WARM_UP:
                mine.append(report)
                others.append(reference)
                noises.append(difference(expected, outputs))
    finally:
        await deployment.undeploy()
    division, base = deployment.info.detail.division, baseline.info.detail.division
    device = baseline.info.detail.device
    return Measurement(
        signature=signature,
        seconds=tuple(report.seconds for report in mine),
        baseline_seconds=tuple(report.seconds for report in others),
        energies=tuple(energy(report.runs, division, device, watts) for report in mine),
        baseline_energies=tuple(energy(report.runs, base, device, watts) for report in others),
        compute_seconds=compute_seconds(mine),
        noise=statistics.mean(noises),
        others_load=load,
    )


def difference(expected: Mapping[str, Array], given: Mapping[str, Array]) -> float:
    """Mean absolute difference over all elements of all outputs (thesis eq. 3.1.1)."""
    parts = [np.abs(expected[name].astype(np.float64) - given[name].astype(np.float64)).ravel() for name in expected]
    return float(np.concatenate(parts).mean())


def energy(runs: Sequence[ComponentRun], division: Division, device: str, watts: Mapping[str, Watts]) -> Energy:
    """Declared watts times the seconds that one request's parts report.

    A component computes, and where one of its outputs goes to another server it sends for as long as its longest
    sending took. The device sends the model's inputs for as long as they took to reach a component elsewhere.
    """
    sends = {
        component.id: any(
            division.servers.get(target, device) != component.server
            for targets in component.routes.values()
            for target in targets
        )
        for component in division.components
    }
    fed = {target for targets in division.input_routes.values() for target in targets}
    joules = dict.fromkeys({*watts, device}, 0.0)
    inputs = 0.0
    for run in runs:
        joules[run.server] += watts[run.server].compute * run.compute_seconds
        if sends[run.component]:
            joules[run.server] += watts[run.server].transmit * run.transfer_seconds
        reads = set(_reads(division, run.component))
        if run.component in fed and run.server != device and reads <= set(division.input_routes):
            inputs = max(inputs, run.start_seconds)
    joules[device] += watts[device].transmit * inputs
    return Energy(sum(joules.values()), joules[device])


def _reads(division: Division, component: int) -> list[str]:
    """Names of the model's inputs and of other components' outputs that a component waits for."""
    own = [name for name, targets in division.input_routes.items() if component in targets]
    made = [name for other in division.components for name, targets in other.routes.items() if component in targets]
    return own + made


def compute_seconds(reports: Sequence[InferReport]) -> dict[str, float]:
    """Server → median over the requests of what all of its components computed."""
    sums: dict[str, list[float]] = {}
    for report in reports:
        of_this: dict[str, float] = {}
        for run in report.runs:
            of_this[run.server] = of_this.get(run.server, 0.0) + run.compute_seconds
        for server, seconds in of_this.items():
            sums.setdefault(server, []).append(seconds)
    return {server: statistics.median(seconds) for server, seconds in sums.items()}
