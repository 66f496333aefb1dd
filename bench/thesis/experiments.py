"""One model's experiments on a testbed, in the order in which each needs the ones before."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from bench.thesis.layer_sums import LayerSums, measure_layer_sums
from bench.thesis.machine import others_load
from bench.thesis.measured import Measurement, Watts, measure_plan
from bench.thesis.models import CALIBRATION, REQUESTED, ThesisModel
from bench.thesis.plans import (
    Cases,
    EnergyCases,
    noise_scale,
    plan_cases,
    plan_energy_limits,
)
from bench.thesis.profiling import ProfilingResult, profiling_result
from bench.thesis.results import distinct_plans, measured_step, plan_steps, read_cases
from bench.thesis.sizes import Sizes
from bench.thesis.store import RawStore
from bench.thesis.testbed import Described
from core.problem import Problem
from core.progress import Progress, part
from core.tensors import Array
from model_pool.admission import admit
from partita.aio import Client
from partita.results import Profiles
from services.runtime.worker import run_in_process

T = TypeVar("T")

LOAD, PROFILE, SUMS, PLANS, ENERGY = 0.02, 0.28, 0.1, 0.15, 0.05
"""Shares of a model's time; measuring plans has the rest."""


@dataclass
class Experiments:
    """The experiments of one model.

    Attributes:
        client: of the testbed.
        store: where results are kept.
        model: to be measured.
        sizes: how much.
        testbed: what it is.
        progress: told what is measured.
    """

    client: Client
    store: RawStore
    model: ThesisModel
    sizes: Sizes
    testbed: Described
    progress: Progress

    async def run(self) -> None:
        """Measure what is not measured yet."""
        name, data = self.model.name, self.model.data
        self.progress(0.0, f"{name}: loading")
        admitted = await asyncio.to_thread(admit, data, self.model.input_shapes)
        samples = await asyncio.to_thread(self.model.inputs, admitted.inputs, CALIBRATION, 0)
        await self.client.load(data, name, self.model.input_shapes, samples)
        load = await asyncio.to_thread(others_load)
        step = self._part(LOAD, PROFILE)
        profiles = await self.client.profile(
            name,
            # How long profiling takes is asked, too: none of it may be known already.
            refresh=not self.store.has(f"{name}.profiling"),
            progress=step,
            quantizable_count=self.sizes.quantizable_count,
            noise_samples=self.sizes.noise_samples,
        )
        profiling = await self._step("profiling", ProfilingResult, partial(self._profiling, profiles, load))
        step = self._part(LOAD + PROFILE, SUMS)
        sums = (name, admitted.data, profiles.model, self.sizes.int8_sets)
        await self._step("layer-sums", LayerSums, partial(run_in_process, measure_layer_sums, *sums, progress=step))
        await self._plan(noise_scale(profiling.noise_all, self.sizes.noise_levels))
        await self._measure(await asyncio.to_thread(self.model.inputs, admitted.inputs, REQUESTED, 1))

    async def _profiling(self, profiles: Profiles, load: float) -> ProfilingResult:
        return profiling_result(self.model.name, profiles, load)

    async def _plan(self, scale: float) -> None:
        name, sizes = self.model.name, self.sizes
        begin = LOAD + PROFILE + SUMS
        steps = plan_steps(name)
        for index, (servers, step_name) in enumerate(steps.items()):
            step = self._part(begin + PLANS * index / len(steps), PLANS / len(steps))
            wanted = (servers, sizes.latency_weights, sizes.noise_levels, scale, step)
            await self.store.step(step_name, Cases, partial(plan_cases, self.client, name, *wanted))
        limit = sizes.noise_levels[-1]
        step = self._part(begin + PLANS, ENERGY)
        wanted_limits = (limit, scale, sizes.energy_limits, step)
        make = partial(plan_energy_limits, self.client, name, *wanted_limits)
        energy = await self._step("energy-limits", EnergyCases, make)
        await self._step("problem", Problem, partial(self.client.problem, energy.cases[0].plan_id))

    async def _measure(self, inputs: Sequence[Mapping[str, Array]]) -> None:
        name = self.model.name
        cases, energy = read_cases(self.store, name)
        plans = distinct_plans([*cases, *energy.cases])
        missing = {one: plan for one, plan in plans.items() if not self.store.has(measured_step(name, one))}
        if not missing:
            return
        alone = next(case for case in cases if case.servers == "device" and case.noise_level == 0)
        watts = {one.name: Watts(one.compute_watts, one.transmit_watts) for one in self.testbed.servers}
        baseline = await self.client.deploy(alone.plan_id, f"{name}-device-only")
        try:
            begin = LOAD + PROFILE + SUMS + PLANS + ENERGY
            for index, plan in enumerate(plans.items()):
                if plan[0] not in missing:
                    continue
                step = self._part(begin + (1 - begin) * index / len(plans), (1 - begin) / len(plans))
                measure = partial(measure_plan, self.client, plan, baseline, inputs, self.sizes.requests, watts, step)
                await self.store.step(measured_step(name, plan[0]), Measurement, measure)
        finally:
            await baseline.undeploy()

    async def _step(self, step: str, kind: type[T], make: Callable[[], Awaitable[T]]) -> T:
        return await self.store.step(f"{self.model.name}.{step}", kind, make)

    def _part(self, begin: float, share: float) -> Progress:
        """A part of the progress whose messages name the model."""
        inner = part(self.progress, begin, share)
        return lambda fraction, message: inner(fraction, f"{self.model.name}: {message}")
