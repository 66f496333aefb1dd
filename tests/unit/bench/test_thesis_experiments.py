"""A model's experiments over a fake client: planning and timing are real, deployments answer by themselves."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from bench.thesis.experiments import Experiments
from bench.thesis.measured import Measurement
from bench.thesis.models import ThesisModel
from bench.thesis.results import distinct_plans, measured_step, read_cases
from bench.thesis.sizes import QUICK, Sizes
from bench.thesis.store import RawStore
from bench.thesis.testbed import Described, ServerWords
from core.deployment import FRONT_END, Component, ComponentRun, DeploymentVersion, Division
from core.errors import ServerUnavailableError
from core.objective import Limits, Objective, SolverOptions
from core.plan import Plan
from core.problem import LayerTime, Link, Problem, Server
from core.profiles import ExecutionProfile, ModelProfile, ModelProfilerSettings
from core.progress import no_progress
from core.tensors import Array
from model_divider.quantize import calibrate
from model_pool.admission import admit
from optimizer.plan import make_plan
from partita.results import InferReport, Profiles
from profilers.model_graph import model_signature, read_graph
from profilers.random_inputs import random_inputs
from tests.unit.models import chain_model

SIZES = Sizes(**{**vars(QUICK), "latency_weights": (1.0,), "noise_levels": (0.0,), "requests": 2, "int8_sets": 1})
SLOWDOWN = {"device": 8.0, "edge": 2.0, "cloud": 1.0}
LAYER_SECONDS = 0.01


class FakeClient:
    """Plans for three servers with equal layers; its deployments answer zeros until ``lives`` requests are through."""

    def __init__(self, lives: int = 10**6) -> None:
        self.lives = lives
        self.problems: dict[str, Problem] = {}
        self.plans: dict[str, Plan] = {}
        self.in_force: list[str] = []
        self.requests: list[str] = []
        self.refreshed: list[bool] = []

    async def load(self, data: bytes, name: str, input_shapes: Mapping[str, tuple[int, ...]], samples: Any) -> None:
        self.parsed = onnx.load_model_from_string(admit(data, input_shapes).data)

    async def profile(
        self, model: str, refresh: bool, progress: Any, quantizable_count: int, noise_samples: int
    ) -> Profiles:
        self.refreshed.append(refresh)
        settings = ModelProfilerSettings(quantizable_count=2, wire_count=0, noise_samples=noise_samples)
        graph = read_graph(self.parsed, model, settings)
        inputs, outputs = model_signature(self.parsed)
        ranges = calibrate(self.parsed, graph.quantizable, random_inputs(inputs, 1, 0))
        self.graph = graph
        self.execution = {
            server: {layer.name: LayerTime(LAYER_SECONDS * factor) for layer in graph.layers}
            for server, factor in SLOWDOWN.items()
        }
        whole = {server: sum(time.seconds for time in times.values()) for server, times in self.execution.items()}
        return Profiles(
            model=ModelProfile("hash", settings, graph, inputs, outputs, ranges),
            execution={
                server: ExecutionProfile("hash", server, times, whole[server], None, whole[server])
                for server, times in self.execution.items()
            },
            links=(),
            measured=4,
            energies={},
            phases=(),
            seconds=1.0,
        )

    async def plan(self, model: str, servers: tuple[str, ...], latency_weight: float, noise_limit: float, **more: Any):
        problem = Problem(
            self.graph,
            tuple(Server(name, SLOWDOWN[name], 0.0, 1.0) for name in servers),
            tuple(Link(one, other, 1e6, 0.002) for one in servers for other in servers if one != other),
            {name: self.execution[name] for name in servers},
            objective=Objective(latency_weight, 1 - latency_weight),
            limits=Limits(noise_limit, more.get("device_energy_limit_joules")),
        )
        name = f"plan-{len(self.plans)}"
        plan = make_plan(problem, SolverOptions())
        self.plans[name], self.problems[name] = plan, problem
        return Plan(**{**vars(plan), "id": name})

    async def problem(self, plan_id: str) -> Problem:
        return self.problems[plan_id]

    async def deploy(self, plan_id: str, name: str) -> "FakeDeployment":
        self.in_force.append(name)
        return FakeDeployment(self, self.plans[plan_id], name)


class FakeDeployment:
    def __init__(self, client: FakeClient, plan: Plan, name: str) -> None:
        self.client, self.plan, self.name = client, plan, name
        real = [one for one in plan.components if one.layers]
        following = [*(one.id for one in real[1:]), FRONT_END]
        components = tuple(
            Component(one.id, one.server, "blob", (), (), {f"t{one.id}": (after,)})
            for one, after in zip(real, following, strict=True)
        )
        division = Division("hash", (), (), {"images": (real[0].id,)}, components, "whole")
        self.info = SimpleNamespace(detail=DeploymentVersion(name, 1, "plan", division, "device", {}, "here"))

    async def infer_with_report(self, inputs: Mapping[str, Array], timeout_seconds: float) -> Any:
        assert list(inputs) == ["images"]
        await asyncio.sleep(0)
        if not self.client.lives:
            raise ServerUnavailableError("the machine went down")
        self.client.lives -= 1
        self.client.requests.append(self.name)
        runs = tuple(
            ComponentRun(one.id, one.server, 0.0, LAYER_SECONDS * SLOWDOWN[one.server] * one.layers, 0.001)
            for one in self.plan.components
            if one.layers
        )
        outputs = {"features": np.zeros((1, 4, 8, 8), np.float32)}
        return outputs, InferReport("r", 1, sum(run.compute_seconds for run in runs), runs)

    async def undeploy(self) -> None:
        self.client.in_force.remove(self.name)


MODEL = ThesisModel("tiny", "made up", chain_model(2).SerializeToString(), {}, random_inputs)
BED = Described("emulated", "", "", tuple(ServerWords(name, SLOWDOWN[name], (), 1.0, 1.0) for name in SLOWDOWN), ())


def experiments(client: FakeClient, directory: Path) -> Experiments:
    return Experiments(client, RawStore(directory), MODEL, SIZES, BED, no_progress)  # type: ignore[arg-type]


async def test_a_model_is_measured_and_after_an_interruption_only_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.thesis.machine.IDLE_SECONDS", 0.01)
    # The baseline and one plan answer 4 requests each; the machine goes down in the second plan.
    first = FakeClient(lives=10)
    with pytest.raises(ServerUnavailableError):
        await experiments(first, tmp_path).run()
    assert first.in_force == []
    store = RawStore(tmp_path)
    cases, energy = read_cases(store, "tiny")
    plans = distinct_plans([*cases, *energy.cases])
    assert len(plans) >= 3
    done = [one for one in plans if store.has(measured_step("tiny", one))]
    assert done == list(plans)[:1]
    kept = store.path(measured_step("tiny", done[0])).read_bytes()

    second = FakeClient()
    # The Deployer's state outlives the testbed.
    second.plans, second.problems = first.plans, first.problems
    await experiments(second, tmp_path).run()
    assert len(second.plans) == len(first.plans)
    assert set(second.requests) == {"tiny-device-only", *(f"plan-{one}" for one in plans if one not in done)}
    assert store.path(measured_step("tiny", done[0])).read_bytes() == kept
    for one in plans:
        found = store.read(measured_step("tiny", one), Measurement)
        assert len(found.seconds) == len(found.baseline_seconds) == SIZES.requests
        assert 0 <= found.others_load <= 1
        assert found.noise == 0
    assert second.in_force == []
    assert (first.refreshed, second.refreshed) == ([True], [False])
    # The limit that no plan meets comes last.
    assert [case.status for case in energy.cases][-1] == "infeasible"
    assert energy.cases[0].device_energy_limit is None
