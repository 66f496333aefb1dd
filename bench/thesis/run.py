"""All experiments, one step after the other, each kept as soon as it is done."""

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench.thesis.experiments import Experiments
from bench.thesis.machine import others_load, processor_name, this_machine
from bench.thesis.models import ThesisModel
from bench.thesis.results import (
    PlanningTimes,
    Results,
    Session,
    distinct_plans,
    measured_step,
    plan_steps,
    read_cases,
    read_results,
)
from bench.thesis.resumed import done_share, going_on
from bench.thesis.scalability import (
    THESIS_SERVERS,
    PlanningTime,
    time_literal,
    time_random,
    time_static,
    time_yolo,
)
from bench.thesis.sizes import Sizes
from bench.thesis.store import Identity, RawStore
from bench.thesis.testbed import Kind, choose, testbed
from core.documents import dumps
from core.progress import Progress, no_progress, part
from partita import aio

RAW, STATE = "raw", "state"
"""Directories of the output: the raw results, and what a testbed keeps from one session to the next."""

START, DEPLOYED = 0.05, 0.8
"""Shares of the whole: bringing the testbed up, and all that needs it; the rest is planning time."""


def run(
    models: Sequence[ThesisModel],
    sizes: Sizes,
    output: Path,
    wanted: Kind | None = None,
    resume: bool = True,
    progress: Progress = no_progress,
) -> Results:
    """Measure what is not measured yet.

    Args:
        models: to be measured.
        sizes: how much.
        output: a directory, which holds ``raw/`` and ``state/`` afterwards.
        wanted: the testbed; ``None`` takes the lab where the machine can make it.
        resume: go on with the results that the directory holds.
        progress: told what is measured.

    Raises:
        InvalidArgumentError: the directory holds results of another run.
        PartitaError: an experiment failed; what was measured before is kept.
    """
    kind, why = choose(wanted)
    store = RawStore(output / RAW)
    digests = tuple(model.digest for model in models)
    store.claim(Identity(sizes.label, digests, kind, processor_name(), dumps(sizes)), resume)
    done = DEPLOYED * statistics.mean(done_share(store, model.name) for model in models)
    progress = going_on(progress, START + done if done else 0.0)
    if any(_missing(store, model.name) for model in models):
        state = output.resolve() / STATE
        if not state.exists():
            _forget_plans(store, [model.name for model in models])
        state.mkdir(exist_ok=True)
        asyncio.run(_on_testbed(models, sizes, store, (kind, why, state), progress))
    _planning_times(models, sizes, store, part(progress, START + DEPLOYED, 1 - START - DEPLOYED))
    progress(1.0, "measured")
    return read_results(store, sizes, {model.name: model.description for model in models})


def _missing(store: RawStore, model: str) -> bool:
    """Whether something of a model that needs the testbed is not measured yet."""
    first = ["profiling", "layer-sums", "energy-limits", "problem"]
    steps = [*(f"{model}.{step}" for step in first), *plan_steps(model).values()]
    if not all(map(store.has, steps)):
        return True
    cases, energy = read_cases(store, model)
    return not all(store.has(measured_step(model, one)) for one in distinct_plans([*cases, *energy.cases]))


def _forget_plans(store: RawStore, models: Sequence[str]) -> None:
    """Have plans made anew: the ones that were made are gone with the testbed's state. What they took stays known."""
    for model in models:
        for step in (*plan_steps(model).values(), f"{model}.energy-limits", f"{model}.problem"):
            store.forget(step)


async def _on_testbed(
    models: Sequence[ThesisModel], sizes: Sizes, store: RawStore, bed: tuple[Kind, str, Path], progress: Progress
) -> None:
    load = await asyncio.to_thread(others_load)
    began = time.strftime("%Y-%m-%d %H:%M")
    async with testbed(*bed, part(progress, 0.0, START)) as running, aio.connect(running.address) as client:
        number = sum(step.startswith("session-") for step in store.steps())
        store.write(f"session-{number + 1:03}", Session(began, running.described, this_machine(), load))
        # What an interrupted session left in force would take its share of the machine.
        for left in await client.deployments():
            if left.info.state == "active":
                await left.undeploy()
        for index, model in enumerate(models):
            share = DEPLOYED / len(models)
            step = part(progress, START + index * share, share)
            await Experiments(client, store, model, sizes, running.described, step).run()


def _planning_times(models: Sequence[ThesisModel], sizes: Sizes, store: RawStore, progress: Progress) -> None:
    """Thesis 6.6; the testbed is down by now, so that planning has a core for itself."""
    paths = {model.name: store.path(f"{model.name}.problem") for model in models}
    jobs: dict[str, Callable[[], PlanningTime]] = {
        f"planning-random-{layers}-{servers}-{seed}": partial(time_random, layers, servers, seed)
        for layers in sizes.random_layers
        for servers in sizes.random_servers
        for seed in range(sizes.random_seeds)
    }
    for name, path in paths.items():
        for servers in sizes.static_servers:
            jobs[f"{name}.planning-{servers}"] = partial(time_static, path, name, servers)
        if sizes.literal_seconds:
            jobs[f"{name}.planning-literal"] = partial(time_literal, path, name, THESIS_SERVERS, sizes.literal_seconds)
    jobs["planning-yolo-like"] = time_yolo
    found = []
    for index, (step, measure) in enumerate(jobs.items()):
        progress(index / len(jobs), f"planning time {index + 1} of {len(jobs)}")
        if not store.has(step):
            store.write(step, measure())
        found.append(store.read(step, PlanningTime))
    store.write("planning-times", PlanningTimes(tuple(found)))
