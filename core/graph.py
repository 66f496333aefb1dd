"""A model as the planner sees it: layers, and tensors passed between them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import networkx as nx

from core.errors import InvalidDocumentError

GENERATOR = "<generator>"
"""The layer that produces the model's inputs; always on the device."""

RECEIVER = "<receiver>"
"""The layer that consumes the model's outputs; always on the device."""


@dataclass(frozen=True)
class Layer:
    """A node of the model's graph.

    Attributes:
        name: unique within the model.
        operator: ONNX operator type, for example ``Conv``; empty where unknown.
        flops: floating point operations of one run.
        weight_bytes: size of its weights in float, in bytes.
        quantizable: whether it may become int8.
        servers: names of the servers it may run on; ``None`` allows all.
    """

    name: str
    operator: str = ""
    flops: float = 0.0
    weight_bytes: int = 0
    quantizable: bool = False
    servers: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Tensor:
    """A value passed between layers.

    Attributes:
        name: unique within the model.
        bytes: size in bytes when its producer is not quantised.
        source: producing layer; ``None`` is the generator.
        consumers: consuming layers; ``None`` among them is the receiver.
        dtype: numpy dtype name, where known.
        shape: fixed shape, where known.
    """

    name: str
    bytes: int
    source: str | None
    consumers: tuple[str | None, ...]
    dtype: str | None = None
    shape: tuple[int, ...] | None = None

    @property
    def producer(self) -> str:
        """The producing layer, with the generator by its name."""
        return GENERATOR if self.source is None else self.source

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """The distinct consuming layers, with the receiver by its name."""
        return tuple(dict.fromkeys(RECEIVER if name is None else name for name in self.consumers))


@dataclass(frozen=True)
class ModelGraph:
    """Layers and tensors of a model, checked to be one acyclic graph.

    Raises:
        InvalidDocumentError: a name is doubled or unknown, or the graph has a cycle.
    """

    name: str
    layers: tuple[Layer, ...]
    tensors: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        if len(self.by_name) != len(self.layers):
            raise InvalidDocumentError(f"layer {_first_double(layer.name for layer in self.layers)!r} is doubled")
        if len({tensor.name for tensor in self.tensors}) != len(self.tensors):
            raise InvalidDocumentError(f"tensor {_first_double(t.name for t in self.tensors)!r} is doubled")
        for reserved in (GENERATOR, RECEIVER):
            if reserved in self.by_name:
                raise InvalidDocumentError(f"layer name {reserved!r} is reserved")
        for tensor in self.tensors:
            for name in (tensor.source, *tensor.consumers):
                if name is not None and name not in self.by_name:
                    raise InvalidDocumentError(f"tensor {tensor.name!r} names the unknown layer {name!r}")
        if not nx.is_directed_acyclic_graph(self.digraph):
            cycle = [edge[0] for edge in nx.find_cycle(self.digraph)]
            raise InvalidDocumentError(f"the layers {', '.join(cycle[:5])} form a cycle")

    @cached_property
    def by_name(self) -> Mapping[str, Layer]:
        """Layers by name, without generator and receiver."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def digraph(self) -> "nx.DiGraph[str]":
        """Layer names, generator and receiver included, with an edge producer → consumer."""
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from((GENERATOR, *self.by_name, RECEIVER))
        for tensor in self.tensors:
            graph.add_edges_from((tensor.producer, target) for target in tensor.targets)
        return graph

    @cached_property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Those of the digraph."""
        return tuple(self.digraph.edges)

    @cached_property
    def topological_order(self) -> tuple[str, ...]:
        """Layer names, generator and receiver included, producers first; stable for equal graphs."""
        position = {name: index for index, name in enumerate((GENERATOR, *self.by_name, RECEIVER))}
        return tuple(nx.lexicographical_topological_sort(self.digraph, key=position.__getitem__))

    @property
    def quantizable(self) -> tuple[str, ...]:
        """Names of the layers that may become int8 (V_Q)."""
        return tuple(layer.name for layer in self.layers if layer.quantizable)


def _first_double(names: Iterator[str]) -> str:
    seen: set[str] = set()
    return next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
