"""Which tensors cross where when a model's layers are given homes, and the sub-models that result."""

from collections.abc import Mapping

import onnx

from core.deployment import FRONT_END
from core.errors import InvalidModelError
from model_divider.nodes import consumed_tensors, model_like


class Cut:
    """A quantised model whose layers have homes.

    Nodes that no layer name stands for are helpers of quantisation. The QuantizeLinear behind a quantised layer
    lives with that layer; all others are copied into every component that needs their results.
    """

    def __init__(self, model: onnx.ModelProto, homes: Mapping[str, int], quantized: frozenset[str]) -> None:
        """Find out what crosses.

        Args:
            model: what ``quantize`` returned.
            homes: layer → component id for every layer of the model before it was quantised.
            quantized: the layers that were quantised.
        """
        self._model = model
        self._homes = homes
        self.quantized = quantized
        graph = model.graph
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._values = {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}
        self._makers = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
        self._sources: dict[str, int | None] = {value.name: None for value in graph.input}
        rounded: set[str] = set()
        for node in graph.node:
            home = homes.get(node.name)
            if home is None and node.op_type == "QuantizeLinear" and node.input[0] in rounded:
                home = self._sources[node.input[0]]
            if home is not None:
                self._sources.update(dict.fromkeys(filter(None, node.output), home))
            if node.name in quantized:
                rounded.update(node.output)
        self._answers: dict[int | None, list[str]] = {}
        for value in graph.output:
            self._answers.setdefault(self._origin(value.name), []).append(value.name)
        ids = dict.fromkeys(homes.values())
        self._nodes: dict[int, list[int]] = {}
        self._inputs: dict[int, list[str]] = {}
        for component in ids:
            self._nodes[component], self._inputs[component] = self._collect(component)
        self._receivers: dict[str, list[int]] = {}
        for component, names in self._inputs.items():
            for name in names:
                self._receivers.setdefault(name, []).append(component)

    def source(self, tensor: str) -> int | None:
        """Component that sends a crossing tensor; ``None`` for the model's inputs."""
        return self._sources[tensor]

    def planned_name(self, tensor: str) -> str:
        """Name that the planner has for a crossing tensor: of an int8 one, that of what is dequantised from it."""
        for node in self._model.graph.node:
            if node.op_type == "DequantizeLinear" and node.input[0] == tensor and node.name not in self._homes:
                return node.output[0]
        return tensor

    def inputs(self, component: int) -> list[str]:
        """Names of the tensors that reach a component from elsewhere."""
        return self._inputs[component]

    def receivers(self, tensor: str) -> tuple[int, ...]:
        """Ids of the components that need a tensor of another one, with ``FRONT_END`` where it is an answer."""
        answers = [FRONT_END] if any(value.name == tensor for value in self._model.graph.output) else []
        return (*sorted(self._receivers.get(tensor, [])), *answers)

    def extract(self, component: int) -> onnx.ModelProto:
        """Build the sub-model of one component, with just the weights that it needs."""
        nodes = [self._model.graph.node[index] for index in self._nodes[component]]
        used = {name for node in nodes for name in consumed_tensors(node)}
        sent = [name for name in self._receivers if self._sources[name] == component]
        outputs = dict.fromkeys((*sent, *self._answers.get(component, [])))
        return model_like(
            self._model,
            nodes,
            [self._value(name) for name in self._inputs[component]],
            [self._value(name) for name in outputs],
            [tensor for name, tensor in self._constants.items() if name in used],
        )

    def _collect(self, component: int) -> tuple[list[int], list[str]]:
        """Return the nodes of a component, in order, and what they need from outside."""
        nodes: set[int] = set()
        inputs: dict[str, None] = {}
        own = [name for name, home in self._sources.items() if home == component]
        needed = [*own, *self._answers.get(component, [])][::-1]
        while needed:
            name = needed.pop()
            if name in self._constants:
                continue
            if name in self._sources and self._sources[name] != component:
                inputs[name] = None
                continue
            index = self._makers[name]
            if index not in nodes:
                nodes.add(index)
                needed.extend(consumed_tensors(self._model.graph.node[index]))
        return sorted(nodes), list(inputs)

    def _origin(self, tensor: str) -> int | None:
        """Component in which a tensor comes into being, through the helper that dequantises it if need be."""
        while tensor not in self._sources:
            tensor = self._model.graph.node[self._makers[tensor]].input[0]
        return self._sources[tensor]

    def _value(self, name: str) -> onnx.ValueInfoProto:
        if name not in self._values:
            raise InvalidModelError(f"tensor {name!r} has no known dtype and shape; admit the model before dividing it")
        return self._values[name]
