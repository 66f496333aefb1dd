"""Cut a model into the components of a plan."""

import hashlib
import math
from collections.abc import Collection, Mapping

import onnx

from core.deployment import FRONT_END, Component, Division
from core.errors import InvalidArgumentError
from core.plan import Plan, PlannedComponent
from core.profiles import QuantizationSettings, Range
from core.progress import Progress, no_progress
from model_divider.cutting import Cut
from model_divider.nodes import tensor_spec
from model_divider.quantize import quantize
from model_divider.silu import fuse_silu
from model_divider.wire import add_wire_layers


def divide(
    model: bytes,
    model_hash: str,
    plan: Plan,
    ranges: Mapping[str, Range],
    settings: QuantizationSettings,
    progress: Progress = no_progress,
) -> tuple[Division, dict[str, bytes]]:
    """Quantise the planned layers and cut the result into one ONNX model per planned component.

    What crosses from component to component: of a quantised layer its int8 result, which the consumers
    dequantise; of a float layer the float result, which quantised consumers round on their side. The model's
    outputs leave under their own names and dtypes. Weights that two components need are in both.

    Args:
        model: the admitted model's bytes.
        model_hash: its content hash.
        plan: a feasible plan for it; generator and receiver are its first and last component.
        ranges: calibrated ranges of the planned int8 layers' tensors.
        settings: how layers become int8.
        progress: told what is being done.

    Returns:
        The division, and every ONNX file it names by its SHA-256 in hexadecimal: one for each component and the
        whole quantised model.

    Raises:
        InvalidArgumentError: the plan has no components, belongs to another model or is not in topological
            order, or a layer cannot be quantised.
    """
    progress(0.0, "quantising the planned layers")
    planned = _real_components(plan)
    layers = [name for component in planned for name in component.layer_names]
    original = add_wire_layers(onnx.load_model_from_string(model), layers)
    homes = _homes(planned, [node.name for node in original.graph.node], plan.quantized)
    whole = quantize(original, plan.quantized, ranges, settings)
    cut = Cut(whole, homes, frozenset(plan.quantized))
    _check_order(planned, cut)
    blobs: dict[str, bytes] = {}
    components = []
    for index, component in enumerate(planned):
        progress((index + 1) / (len(planned) + 2), f"cutting component {component.id} for {component.server}")
        part = fuse_silu(cut.extract(component.id))
        onnx.checker.check_model(part)
        inputs = tuple(map(tensor_spec, part.graph.input))
        outputs = tuple(map(tensor_spec, part.graph.output))
        components.append(
            Component(
                id=component.id,
                server=component.server,
                blob=_keep(part, blobs),
                inputs=inputs,
                outputs=outputs,
                routes=_first_needed_first({output.name: cut.receivers(output.name) for output in outputs}),
                layers=component.layer_names,
                quantized=tuple(name for name in component.layer_names if name in cut.quantized),
                compressed={
                    output.name: component.compressed[name]
                    for output in outputs
                    if (name := cut.planned_name(output.name)) in component.compressed
                },
            )
        )
    division = Division(
        model=model_hash,
        inputs=tuple(map(tensor_spec, whole.graph.input)),
        outputs=tuple(map(tensor_spec, whole.graph.output)),
        input_routes=_first_needed_first({value.name: cut.receivers(value.name) for value in whole.graph.input}),
        components=tuple(components),
        whole_blob=_keep(fuse_silu(whole), blobs),
        compressed_inputs=plan.components[0].compressed,
    )
    progress(1.0, "divided")
    return division, blobs


def _first_needed_first(routes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """In the order in which tensors are to be sent, as plans count it: the answers last."""
    return dict(sorted(routes.items(), key=lambda one: min((to for to in one[1] if to != FRONT_END), default=math.inf)))


def _keep(model: onnx.ModelProto, blobs: dict[str, bytes]) -> str:
    data = model.SerializeToString(deterministic=True)
    digest = hashlib.sha256(data).hexdigest()
    blobs[digest] = data
    return digest


def _real_components(plan: Plan) -> tuple[PlannedComponent, ...]:
    """Return the components between generator and receiver, checked."""
    ends, real = (*plan.components[:1], *plan.components[-1:]), plan.components[1:-1]
    if not real:
        raise InvalidArgumentError(f"the plan is {plan.status} and has no components; deploy a feasible plan")
    ids = [component.id for component in plan.components]
    if len(set(ids)) != len(ids) or FRONT_END in ids:
        raise InvalidArgumentError(f"the plan's component ids {ids} are not distinct numbers from 0; plan again")
    if any(end.layer_names for end in ends) or not all(component.layer_names for component in real):
        raise InvalidArgumentError(
            "the plan's first and last component, generator and receiver, must have no layers and all others some; "
            "plan again"
        )
    return real


def _homes(planned: Collection[PlannedComponent], layers: list[str], quantized: Collection[str]) -> dict[str, int]:
    """Return layer → component id, with every layer in exactly one component."""
    homes: dict[str, int] = {}
    for component in planned:
        for name in component.layer_names:
            if name in homes:
                raise InvalidArgumentError(
                    f"layer {name!r} is in components {homes[name]} and {component.id} of the plan; plan again"
                )
            homes[name] = component.id
    known = set(layers)
    for name in (*homes, *quantized):
        if name not in known:
            raise InvalidArgumentError(f"the plan names the layer {name!r}, which the model does not have; plan again")
    for name in layers:
        if name not in homes:
            raise InvalidArgumentError(f"layer {name!r} is in no component of the plan; plan again for this model")
    return homes


def _check_order(planned: Collection[PlannedComponent], cut: Cut) -> None:
    position = {component.id: index for index, component in enumerate(planned)}
    for component in planned:
        for tensor in cut.inputs(component.id):
            source = cut.source(tensor)
            if source is not None and position[source] >= position[component.id]:
                raise InvalidArgumentError(
                    f"component {component.id} needs tensor {tensor!r} of component {source}, which the plan runs "
                    "later; components must be in topological order"
                )
