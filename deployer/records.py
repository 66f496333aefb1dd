"""What the Deployer remembers, and where: models, plans and deployments survive its crash."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from core.deployment import DeploymentVersion
from core.document_store import DocumentStore
from core.documents import dumps, loads
from core.errors import InvalidArgumentError, NotFoundError
from core.plan import Plan
from core.problem import Problem
from core.profiles import ModelProfilerSettings
from core.tensors import TensorSpec


@dataclass(frozen=True)
class ModelRecord:
    """A model that was loaded.

    Attributes:
        name: given by the user.
        hash: SHA-256 of the normalised model in the pool.
        byte_count: its size.
        samples_hash: SHA-256 of its calibration samples in the pool; empty where none were given.
        sample_count: how many there are.
        settings: profiler settings used last; planning takes them where it is given none.
        metadata: what the file says of itself.
    """

    name: str
    hash: str
    byte_count: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    samples_hash: str
    sample_count: int
    settings: ModelProfilerSettings | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PlanRecord:
    """A plan that was made, with everything needed to deploy it or to replay it."""

    plan: Plan
    problem: Problem
    model: ModelRecord
    settings: ModelProfilerSettings


@dataclass(frozen=True)
class DeploymentRecord:
    """A deployment and the version in force.

    Attributes:
        deployed_plan: id of the plan that was asked for, where the version in force is of another one, for a server
            was lost; else empty.
    """

    name: str
    model: str
    state: Literal["active", "undeployed"]
    version: DeploymentVersion
    public_front_end_address: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    deployed_plan: str = ""


class Records:
    """Typed access to the store."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store

    def keep_model(self, record: ModelRecord) -> None:
        """Keep or update a model."""
        with self._store.transaction():
            self._store.put("model", f"{record.name}@{record.hash}", dumps(record))
            self._store.put("newest", record.name, record.hash)

    def models(self) -> Sequence[ModelRecord]:
        """All models, in the order they came."""
        return [loads(text, ModelRecord) for _, text in self._store.list("model")]

    def model(self, reference: str) -> ModelRecord:
        """The model that ``name`` or ``name@hash-prefix`` refers to; a name alone is its newest content.

        Raises:
            NotFoundError: there is none.
            InvalidArgumentError: several match.
        """
        name, _, prefix = reference.partition("@")
        matching = [record for record in self.models() if record.name == name and record.hash.startswith(prefix)]
        if not prefix:
            matching = [record for record in matching if record.hash == self._store.get("newest", name)]
        if not matching:
            known = ", ".join(dict.fromkeys(record.name for record in self.models())) or "none"
            raise NotFoundError(f"no model {reference!r}; loaded models: {known}")
        if len(matching) > 1:
            raise InvalidArgumentError(f"{reference!r} matches {len(matching)} models; give more of the hash")
        return matching[0]

    def keep_plan(self, record: PlanRecord) -> None:
        """Keep a plan under its id."""
        self._store.put("plan", record.plan.id or "", dumps(record))

    def plans(self, model: str = "") -> Sequence[PlanRecord]:
        """Plans in the order they were made: of one model, by name, or of all."""
        plans = [loads(text, PlanRecord) for _, text in self._store.list("plan")]
        return [record for record in plans if model in ("", record.model.name)]

    def plan(self, plan_id: str) -> PlanRecord:
        """The plan with this id.

        Raises:
            NotFoundError: there is none.
        """
        text = self._store.get("plan", plan_id)
        if text is None:
            raise NotFoundError(f"no plan {plan_id!r}; list the plans, or make one first")
        return loads(text, PlanRecord)

    def begin_version(self, version: DeploymentVersion) -> None:
        """Note that servers may hold a version; it is left over until it comes in force."""
        self._store.put("leftover", _leftover_key(version), dumps(version))

    def keep_deployment(self, record: DeploymentRecord) -> None:
        """Keep or replace a deployment; a version that was in force and is not any more is left over."""
        with self._store.transaction():
            old = self.in_force(record.name)
            new = record.version if record.state == "active" else None
            self._store.put("deployment", record.name, dumps(record))
            if old is not None and (new is None or new.version != old.version):
                self._store.put("leftover", _leftover_key(old), dumps(old))
            if new is not None:
                self.let_go(new)

    def leftovers(self) -> Sequence[DeploymentVersion]:
        """Versions that are not in force and that servers may hold."""
        return [loads(text, DeploymentVersion) for _, text in self._store.list("leftover")]

    def let_go(self, version: DeploymentVersion) -> None:
        """Note that a version is not left over; nothing happens where it was not."""
        self._store.delete("leftover", _leftover_key(version))

    def in_force(self, name: str) -> DeploymentVersion | None:
        """The version that answers now."""
        text = self._store.get("deployment", name)
        record = loads(text, DeploymentRecord) if text is not None else None
        return record.version if record is not None and record.state == "active" else None

    def deployments(self) -> Sequence[DeploymentRecord]:
        """All deployments, undeployed ones included."""
        return [loads(text, DeploymentRecord) for _, text in self._store.list("deployment")]

    def deployment(self, name: str) -> DeploymentRecord:
        """The deployment with this name.

        Raises:
            NotFoundError: there is none.
        """
        text = self._store.get("deployment", name)
        if text is None:
            known = ", ".join(record.name for record in self.deployments()) or "none"
            raise NotFoundError(f"no deployment {name!r}; deployments: {known}")
        return loads(text, DeploymentRecord)

    def next_version(self, name: str) -> int:
        """The number of the next version of a deployment; no server holds anything under it."""
        used = [version.version for version in self.leftovers() if version.deployment == name]
        with contextlib.suppress(NotFoundError):
            used.append(self.deployment(name).version.version)
        return max(used, default=0) + 1


def _leftover_key(version: DeploymentVersion) -> str:
    return f"{version.version}@{version.deployment}"
