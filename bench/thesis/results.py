"""Everything that a run has measured, read from its raw files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.thesis.layer_sums import LayerSums
from bench.thesis.machine import Machine
from bench.thesis.measured import Measurement
from bench.thesis.plans import SERVER_SETS, Cases, EnergyCases, PlannedCase
from bench.thesis.profiling import ProfilingResult
from bench.thesis.scalability import PlanningTime
from bench.thesis.sizes import Sizes
from bench.thesis.store import RawStore
from bench.thesis.testbed import Described


@dataclass(frozen=True)
class Session:
    """One stretch of measuring: from a testbed's coming up until it went down or the run was interrupted.

    Attributes:
        began: local date and time.
        testbed: what it was.
        machine: below it.
        others_load: share of the processors in use before the bench began.
    """

    began: str
    testbed: Described
    machine: Machine
    others_load: float


@dataclass(frozen=True)
class PlanningTimes:
    """All planning times."""

    times: tuple[PlanningTime, ...]


@dataclass(frozen=True)
class ModelResults:
    """What was found of one model.

    Attributes:
        name: of the model.
        description: in words.
        profiling: thesis 6.1.
        layer_sums: thesis 6.3.1 and 6.3.2.
        cases: plans of thesis 6.3.3 to 6.5.
        energy: plans of thesis 6.7.
        measured: signature → the plan in force.
    """

    name: str
    description: str
    profiling: ProfilingResult
    layer_sums: LayerSums
    cases: tuple[PlannedCase, ...]
    energy: EnergyCases
    measured: Mapping[str, Measurement]

    def of(self, servers: str) -> Iterator[PlannedCase]:
        """The cases of a set of servers."""
        return (case for case in self.cases if case.servers == servers)

    @property
    def baseline(self) -> PlannedCase:
        """Everything in float on the device."""
        return next(case for case in self.of("device") if case.noise_level == 0)

    def measurement(self, case: PlannedCase) -> Measurement | None:
        """What a case's plan took; ``None`` where it has none."""
        return self.measured.get(case.signature)


@dataclass(frozen=True)
class Results:
    """A whole run."""

    sizes: Sizes
    sessions: tuple[Session, ...]
    models: tuple[ModelResults, ...]
    planning: tuple[PlanningTime, ...]


def plan_steps(model: str) -> dict[str, str]:
    """Set of servers → the step that plans for it."""
    return {servers: f"{model}.plans-{servers}" for servers in SERVER_SETS}


def measured_step(model: str, signature: str) -> str:
    """The step that measures a plan."""
    return f"{model}.measured-{signature}"


def distinct_plans(cases: Sequence[PlannedCase]) -> dict[str, str]:
    """Signature → id of one of the plans that are all the same."""
    found: dict[str, str] = {}
    for case in cases:
        if case.signature:
            found.setdefault(case.signature, case.plan_id)
    return found


def read_cases(store: RawStore, model: str) -> tuple[tuple[PlannedCase, ...], EnergyCases]:
    """All plans of a model."""
    cases = tuple(case for step in plan_steps(model).values() for case in store.read(step, Cases).cases)
    return cases, store.read(f"{model}.energy-limits", EnergyCases)


def read_results(store: RawStore, sizes: Sizes, models: Mapping[str, str]) -> Results:
    """Read a finished run.

    Args:
        store: of its raw files.
        sizes: of the run.
        models: name → description.
    """
    return Results(
        sizes,
        tuple(store.read(step, Session) for step in store.steps() if step.startswith("session-")),
        tuple(_read_model(store, name, words) for name, words in models.items()),
        store.read("planning-times", PlanningTimes).times,
    )


def _read_model(store: RawStore, name: str, description: str) -> ModelResults:
    cases, energy = read_cases(store, name)
    measured = {
        signature: store.read(measured_step(name, signature), Measurement)
        for signature in distinct_plans([*cases, *energy.cases])
    }
    return ModelResults(
        name,
        description,
        store.read(f"{name}.profiling", ProfilingResult),
        store.read(f"{name}.layer-sums", LayerSums),
        cases,
        energy,
        measured,
    )
