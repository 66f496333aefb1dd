"""A plan put in force: the sub-models, where they run and which tensors go where."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from core.buffers import Bytes
from core.plan import ParallelPrediction
from core.tensors import TensorSpec

FRONT_END = -1
"""Component id that stands for the FrontEnd, which is generator and receiver at once."""


@dataclass(frozen=True)
class Component:
    """One sub-model of a deployment.

    Attributes:
        id: as in the plan.
        server: name of the server that runs it.
        blob: content hash of its ONNX file in the pool; the file's checksum as well.
        inputs: its inputs as they arrive, int8 ones included.
        outputs: its outputs as they leave.
        routes: output name → component ids that receive it, or ``FRONT_END``; in the order in which they are sent.
        layers: names of its layers.
        quantized: names of those that run in int8.
        compressed: output name → servers to which it goes compressed without loss.
    """

    id: int
    server: str
    blob: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    routes: Mapping[str, tuple[int, ...]]
    layers: tuple[str, ...] = ()
    quantized: tuple[str, ...] = ()
    compressed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Division:
    """A plan's components as real sub-models: what the ModelDivider makes.

    Attributes:
        model: content hash of the whole model.
        inputs: the model's inputs.
        outputs: the model's outputs.
        input_routes: model input → component ids that receive it, or ``FRONT_END`` where it is an output too.
        components: in topological order.
        whole_blob: content hash of the same, quantised, model undivided.
        compressed_inputs: model input → servers to which it goes compressed without loss.
    """

    model: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    input_routes: Mapping[str, tuple[int, ...]]
    components: tuple[Component, ...]
    whole_blob: str
    compressed_inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def servers(self) -> Mapping[int, str]:
        """Component id → name of the server that runs it."""
        return {component.id: component.server for component in self.components}


@dataclass(frozen=True, slots=True)
class Target:
    """A process that a tensor is sent to.

    Attributes:
        server: its name, or the device's where it is the FrontEnd.
        address: ``host:port``.
        front_end: whether it is the device's FrontEnd, not an Inferencer.
        compress: whether the tensor goes there compressed without loss.
    """

    server: str
    address: str
    front_end: bool
    compress: bool


@dataclass(frozen=True)
class DeploymentVersion:
    """One plan of a deployment made ready on its servers.

    Attributes:
        deployment: the deployment's name.
        version: counts from 1.
        plan: id of the plan.
        division: its sub-models.
        device: name of the server whose FrontEnd answers.
        addresses: server → ``host:port`` of the Inferencer of every server that takes part.
        front_end_address: ``host:port`` of the device's FrontEnd.
        parallel: the plan's prediction, from which the FrontEnd knows how many requests fill the pipeline.
        lost: servers that were lost, for which reason this version takes the place of the one before.
        micro_batch: for how many requests that wait a server may run a component at once.
    """

    deployment: str
    version: int
    plan: str
    division: Division
    device: str
    addresses: Mapping[str, str]
    front_end_address: str
    parallel: ParallelPrediction | None = None
    lost: tuple[str, ...] = ()
    micro_batch: int = 1

    def input_targets(self, name: str) -> Iterator[Target]:
        """Who is to have a model input: each server once."""
        routes, compressed = self.division.input_routes.get(name, ()), self.division.compressed_inputs.get(name, ())
        return self._servers(routes, compressed, "")

    def output_targets(self, component: Component, name: str) -> Iterator[Target]:
        """Who besides its own server is to have a component's output: the device's FrontEnd, and each server once."""
        routes, compressed = component.routes.get(name, ()), component.compressed.get(name, ())
        if FRONT_END in routes:
            yield Target(self.device, self.front_end_address, True, self.device in compressed)
        yield from self._servers(routes, compressed, component.server)

    def _servers(self, routes: tuple[int, ...], compressed: tuple[str, ...], own: str) -> Iterator[Target]:
        names = self.division.servers
        for server in dict.fromkeys(names[route] for route in routes if route != FRONT_END):
            if server != own:
                yield Target(server, self.addresses[server], False, server in compressed)


def memory_towards(
    targets: Iterable[Target], memory_for: Callable[[str, str, int], Bytes | None], byte_count: int
) -> Bytes | None:
    """Memory from which a tensor is sent without a copy to one of ``targets`` at least, where there is such.

    Args:
        targets: of the tensor.
        memory_for: such memory for a server at an address, and of so many bytes.
        byte_count: of the tensor.
    """
    plain = (target for target in targets if not target.compress)
    found = (memory_for(target.server, target.address, byte_count) for target in plain)
    return next((memory for memory in found if memory is not None), None)


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Names one request on every server: it stays with the version it began with."""

    deployment: str
    version: int
    request_id: str


@dataclass(frozen=True)
class Deployment:
    """A name under which requests come in, and its versions' states.

    Attributes:
        name: unique.
        model: name of the model.
        current: version in force.
        plan: id of its plan.
        state: ``active`` or ``undeployed``.
    """

    name: str
    model: str
    current: int
    plan: str
    state: Literal["active", "undeployed"]


@dataclass(frozen=True, slots=True)
class ComponentRun:
    """How long one component took for one request, in seconds.

    ``queue_seconds`` runs from the last input's arrival to the start; ``transfer_seconds`` is the longest
    time that sending one of its outputs took. ``start_seconds`` is when its last input had arrived: on its server
    since the request came there, in an answer since the request was sent on its way. ``together`` is for how many
    requests the component ran at once, in ``compute_seconds``.
    """

    component: int
    server: str
    queue_seconds: float
    compute_seconds: float
    transfer_seconds: float
    start_seconds: float = 0.0
    together: int = 1

    @property
    def end_seconds(self) -> float:
        """When its outputs had arrived, on the same clock as ``start_seconds``."""
        return self.start_seconds + self.queue_seconds + self.compute_seconds + self.transfer_seconds
