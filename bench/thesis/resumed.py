"""The progress of a run that goes on where another ended: what was done before takes no time now."""

from bench.thesis.experiments import ENERGY, LOAD, PLANS, PROFILE, SUMS
from bench.thesis.results import distinct_plans, measured_step, plan_steps, read_cases
from bench.thesis.store import RawStore
from core.progress import Progress


def done_share(store: RawStore, model: str) -> float:
    """The share of a model's time, 0 to 1, that its finished steps took; loading it counts with the first."""
    steps = {f"{model}.profiling": LOAD + PROFILE, f"{model}.layer-sums": SUMS, f"{model}.energy-limits": ENERGY}
    plans = plan_steps(model).values()
    steps |= dict.fromkeys(plans, PLANS / len(plans))
    done = sum(share for step, share in steps.items() if store.has(step))
    if all(map(store.has, steps)):
        cases, energy = read_cases(store, model)
        signatures = distinct_plans([*cases, *energy.cases])
        measured = sum(store.has(measured_step(model, one)) for one in signatures)
        done += (1 - sum(steps.values())) * measured / max(1, len(signatures))
    return done


def going_on(progress: Progress, done: float) -> Progress:
    """A progress for work of which the share ``done``, below 1, was finished before: it shows how far the rest is."""

    def step(fraction: float, message: str) -> None:
        progress(max(0.0, fraction - done) / (1 - done), message)

    return step
