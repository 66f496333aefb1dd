"""A made-up run of ``bench.thesis``: one small model, every plan a little slower than predicted."""

from dataclasses import replace
from pathlib import Path

from bench.thesis.layer_sums import LayerSums, MethodSum, SetTime
from bench.thesis.machine import Machine
from bench.thesis.measured import Energy, Measurement
from bench.thesis.plans import SERVER_SETS, Cases, EnergyCases, PlannedCase
from bench.thesis.profiling import ProfilingResult
from bench.thesis.results import PlanningTimes, Session, distinct_plans, measured_step, plan_steps
from bench.thesis.scalability import PlanningTime
from bench.thesis.sizes import QUICK
from bench.thesis.store import RawStore
from bench.thesis.testbed import Described, LinkCheck, ServerWords
from core.plan import Prediction
from core.problem import Problem
from core.profiles import ProfilingPhase
from tests.unit.optimizer.builders import chain

SIZES = replace(
    QUICK,
    latency_weights=(0.0, 1.0),
    noise_levels=(0.0, 0.5),
    random_layers=(10,),
    random_servers=(2,),
    static_servers=(2,),
)
MODEL = "small"

LATENCY = {"device": 0.4, "device+edge": 0.3, "device+edge+cloud": 0.25}
LAYERS = {
    "device": {"device": 9},
    "device+edge": {"device": 2, "edge": 7},
    "device+edge+cloud": {"edge": 4, "cloud": 5},
}


def case(servers: str, weight: float, level: float, limit: float | None = None) -> PlannedCase:
    seconds = LATENCY[servers] * (0.9 if level else 1.0)
    return PlannedCase(
        MODEL,
        servers,
        weight,
        level,
        level * 0.01,
        "optimal",
        device_energy_limit=limit,
        # Both weights get the same plan.
        signature=f"{servers.replace('+', '-')}-{level}-{limit}",
        predicted=Prediction(seconds, 3 * seconds, seconds, level * 0.008, {}),
        overlapped_seconds=0.95 * seconds,
        compute_seconds=0.5 * seconds,
        layers=LAYERS[servers],
        components=len(LAYERS[servers]),
        int8_layers=3 if level else 0,
        int8_wires=1 if level else 0,
        plan_id="id",
    )


def measurement(one: PlannedCase) -> Measurement:
    assert one.predicted is not None
    seconds = one.predicted.latency_seconds
    times = tuple(seconds * factor for factor in (1.0, 1.1, 1.1, 1.2))
    energy = Energy(one.predicted.energy_joules, one.predicted.device_energy_joules)
    baseline = (0.40, 0.42, 0.44, 0.42)
    return Measurement(
        one.signature,
        times,
        baseline,
        (energy,) * 4,
        (Energy(1.2, 1.2),) * 4,
        {"device": 0.1},
        one.predicted.noise,
        0.02,
    )


def fill(store: RawStore) -> None:
    """Write every raw result of a finished run."""
    links = (LinkCheck("device", "edge", 5e6, 0.0025, 4.9e6, 0.0026), LinkCheck("edge", "device", 20e6, 0.0025))
    bed = Described("lab", "relay", "", (ServerWords("device", 8.0, (0,), 2.9, 3.5),), links)
    machine = Machine("a processor | of mine", 2, 8 * 10**9, "Linux 6", "Python 3.11")
    store.write("session-001", Session("2026-01-01 12:00", bed, machine, 0.01))
    store.write(
        f"{MODEL}.profiling",
        ProfilingResult(
            model=MODEL,
            layers=9,
            quantizable=3,
            wires=1,
            noise_sets=16,
            noise_inputs=4,
            noise_r2=0.99,
            noise_all=0.005,
            seconds=12.0,
            phases=(
                ProfilingPhase("model", "noise of … sets", 5.0, True),
                ProfilingPhase("model", "calibrating", 1.0, True),
                ProfilingPhase("device", "timing layers", 4.0, True),
                ProfilingPhase("links", "from device", 2.0, True),
            ),
            whole_seconds={"device": 0.4},
            mixed_seconds={"device": 0.36},
            sum_seconds={"device": 0.5},
            links=(),
            others_load=0.01,
        ),
    )
    sets = tuple(
        SetTime(
            count, 0.05 - 0.001 * count, {"layer-by-layer": 0.051 - 0.002 * count, "profiler": 0.05 - 0.001 * count}
        )
        for count in (0, 2, 3)
    )
    sums = (MethodSum("layer-by-layer", 0.065, 0.05), MethodSum("profiler", 0.055, 0.05))
    store.write(f"{MODEL}.layer-sums", LayerSums(MODEL, sums, sets))
    everything = []
    for servers, step in plan_steps(MODEL).items():
        cases = [case(servers, weight, level) for weight in SIZES.latency_weights for level in SIZES.noise_levels]
        store.write(step, Cases(tuple(cases)))
        everything += cases
    all_servers = list(SERVER_SETS)[-1]
    refused = PlannedCase(MODEL, all_servers, 1.0, 0.5, 0.005, "infeasible", 0.09, reason="the least is 0.1 J")
    energy = (case(all_servers, 1.0, 0.5), case(all_servers, 1.0, 0.5, 0.2), refused)
    store.write(f"{MODEL}.energy-limits", EnergyCases(0.1, energy))
    for one in [*everything, *energy]:
        if one.signature in distinct_plans([one]):
            store.write(measured_step(MODEL, one.signature), measurement(one))
    store.write(f"{MODEL}.problem", problem())
    times = (
        PlanningTime("static", MODEL, 9, 2, 0, "exact", 0.02, False, 2),
        PlanningTime("static", "YOLO-like", 656, 3, 0, "exact", 0.5, False, 4),
        PlanningTime("random", "random 10", 10, 2, 0, "exact", 0.01, False, 3),
    )
    store.write("planning-times", PlanningTimes(times))
    for name, one in zip((f"{MODEL}.planning-2", "planning-yolo-like", "planning-random-10-2-0"), times, strict=True):
        store.write(name, one)


def problem() -> Problem:
    """Of three servers."""
    return chain({"device": [1.0] * 3, "edge": [0.5] * 3, "cloud": [0.1] * 3})


def filled(directory: Path) -> RawStore:
    store = RawStore(directory)
    fill(store)
    return store
