"""Thesis 6.1: how long profiling takes."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.problem import Link
from core.profiles import ModelProfile, ProfilingPhase
from model_divider.wire import is_wire_layer
from partita.results import Profiles


@dataclass(frozen=True)
class ProfilingResult:
    """What profiling a model took and found.

    Attributes:
        layers: of the model; wire layers, which stand for int8 on a link alone, do not count.
        quantizable: layers that may become int8, without wire layers.
        wires: wire layers.
        noise_sets: sets of int8 layers that were measured.
        noise_inputs: on so many inputs each.
        noise_r2: explained by the noise polynomial of sets that it had not seen.
        noise_all: predicted noise with everything in int8 that may be.
        seconds: of the whole call.
        phases: what took how long.
        whole_seconds: server → seconds of the undivided float model.
        mixed_seconds: server → seconds of it with all of V_Q in int8.
        sum_seconds: server → uncorrected seconds of its layers by the runtime's profiler.
        links: as planning sees them.
    """

    model: str
    layers: int
    quantizable: int
    wires: int
    noise_sets: int
    noise_inputs: int
    noise_r2: float
    noise_all: float
    seconds: float
    phases: tuple[ProfilingPhase, ...]
    whole_seconds: Mapping[str, float]
    mixed_seconds: Mapping[str, float]
    sum_seconds: Mapping[str, float]
    links: tuple[Link, ...]
    others_load: float


def profiling_result(name: str, profiles: Profiles, others_load: float) -> ProfilingResult:
    """What is kept of a profile."""
    graph, noise = profiles.model.graph, profiles.model.noise
    wires = sum(map(is_wire_layer, graph.quantizable))
    return ProfilingResult(
        model=name,
        layers=sum(not is_wire_layer(layer.name) for layer in graph.layers),
        quantizable=len(graph.quantizable) - wires,
        wires=wires,
        noise_sets=noise.samples if noise else 0,
        noise_inputs=noise.inputs if noise else 0,
        noise_r2=noise.r2 if noise else 1.0,
        noise_all=whole_noise(profiles.model),
        seconds=profiles.seconds,
        phases=profiles.phases,
        whole_seconds={server: one.whole_seconds for server, one in profiles.execution.items()},
        mixed_seconds={server: one.mixed_seconds or one.whole_seconds for server, one in profiles.execution.items()},
        sum_seconds={server: one.layer_sum_seconds for server, one in profiles.execution.items()},
        links=tuple(link.link for link in profiles.links),
        others_load=others_load,
    )


def whole_noise(profile: ModelProfile) -> float:
    """Predicted noise with all of V_Q in int8."""
    return profile.noise.model.predict(frozenset(profile.graph.quantizable)) if profile.noise else 0.0
