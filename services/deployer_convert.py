"""The Deployer's records from and to the messages of its contract."""

from core.documents import dumps
from core.errors import InvalidArgumentError
from core.objective import Limits
from deployer.planning import PlanWishes
from deployer.profiling import Profiles
from deployer.records import DeploymentRecord, ModelRecord, PlanRecord
from partita.v1 import deployer_pb2
from services.convert import from_link, objective, solver_options, to_profiler_settings
from services.runtime.streams import from_spec


def from_model(record: ModelRecord) -> deployer_pb2.Model:
    """Write a model."""
    return deployer_pb2.Model(
        name=record.name,
        hash=record.hash,
        byte_count=record.byte_count,
        inputs=map(from_spec, record.inputs),
        outputs=map(from_spec, record.outputs),
        samples=record.sample_count,
        metadata=record.metadata,
    )


def from_profiles(profiles: Profiles) -> deployer_pb2.ProfileSummary:
    """Write profiles."""
    return deployer_pb2.ProfileSummary(
        model_profile=dumps(profiles.model),
        execution_profiles={name: dumps(profile) for name, profile in profiles.execution.items()},
        links=map(from_link, profiles.links),
        measured=profiles.measured,
        phases=[
            deployer_pb2.ProfilingPhase(subject=one.subject, phase=one.phase, seconds=one.seconds, now=one.now)
            for one in profiles.phases
        ],
        seconds=profiles.seconds,
        energies={name: dumps(energy) for name, energy in profiles.energies.items()},
    )


def from_plan_summary(record: PlanRecord) -> deployer_pb2.PlanSummary:
    """Write what a list of plans shows."""
    predicted = record.plan.predicted
    return deployer_pb2.PlanSummary(
        id=record.plan.id or "",
        model=record.model.name,
        status=record.plan.status,
        latency_seconds=predicted.latency_seconds if predicted else 0.0,
        energy_joules=predicted.energy_joules if predicted else 0.0,
        noise=predicted.noise if predicted else 0.0,
        gap=record.plan.gap or 0.0,
    )


def from_deployment(record: DeploymentRecord) -> deployer_pb2.Deployment:
    """Write a deployment."""
    return deployer_pb2.Deployment(
        name=record.name,
        model=record.model,
        version=record.version.version,
        plan_id=record.version.plan,
        state=record.state,
        inputs=map(from_spec, record.version.division.inputs),
        outputs=map(from_spec, record.version.division.outputs),
        front_end_address=record.public_front_end_address,
        detail=dumps(record.version),
        metadata=record.metadata,
    )


def to_wishes(request: deployer_pb2.PlanRequest) -> PlanWishes:
    """Read what a plan is asked to be.

    Raises:
        InvalidArgumentError: an unknown goal, or weights that do not fit it.
        InvalidDocumentError: weights that do not sum to 1, an unknown solver or method, a time limit that is not
            positive.
    """
    latency_weight = request.latency_weight if request.HasField("latency_weight") else None
    energy_weight = request.energy_weight if request.HasField("energy_weight") else None
    time_limit = request.time_limit_seconds if request.HasField("time_limit_seconds") else None
    return PlanWishes(
        device=request.device,
        objective=objective(request.goal, latency_weight, energy_weight),
        limits=Limits(
            noise=request.noise_limit if request.HasField("noise_limit") else None,
            device_energy_joules=request.device_energy_limit_joules
            if request.HasField("device_energy_limit_joules")
            else None,
        ),
        memory_limit_bytes=dict(request.memory_limit_bytes),
        layer_rules=tuple((rule.pattern, tuple(rule.servers)) for rule in request.layer_rules),
        servers=tuple(request.servers),
        options=solver_options(request.solver, time_limit, request.method),
        settings=to_profiler_settings(request.settings) if request.HasField("settings") else None,
    )


def to_front_wishes(request: deployer_pb2.PlanRequest) -> PlanWishes:
    """Read what all plans of a front are asked to be.

    Raises:
        InvalidArgumentError: a goal or weights, of which a front has all.
        InvalidDocumentError: an unknown solver or method, or a time limit that is not positive.
    """
    if request.goal or request.HasField("latency_weight") or request.HasField("energy_weight"):
        raise InvalidArgumentError("a front is for all weights: leave out the goal and both weights")
    return to_wishes(request)
