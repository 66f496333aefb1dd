"""Building a model's graph layer by layer, each layer with one output tensor."""

from core.graph import Layer, ModelGraph, Tensor


class GraphBuilder:
    """A model under construction.

    Args:
        name: of the model.
        input_bytes: size of the model's input.
    """

    def __init__(self, name: str, input_bytes: int) -> None:
        self._name = name
        self._layers: list[Layer] = []
        self._bytes: dict[str | None, int] = {None: input_bytes}
        self._consumers: dict[str | None, list[str | None]] = {None: []}

    @property
    def count(self) -> int:
        """Number of layers so far."""
        return len(self._layers)

    def size(self, layer: str | None) -> int:
        """Bytes of a layer's output; of the model's input for ``None``."""
        return self._bytes[layer]

    def add(
        self, operator: str, sources: list[str | None], output_bytes: int, flops: float = 0.0, weight_bytes: int = 0
    ) -> str:
        """Append a layer that reads the outputs of ``sources`` (``None`` is the model's input); returns its name."""
        name = f"{operator.lower()}_{len(self._layers)}"
        self._layers.append(Layer(name, operator, flops, weight_bytes))
        self._bytes[name], self._consumers[name] = output_bytes, []
        for source in dict.fromkeys(sources):
            self._consumers[source].append(name)
        return name

    def build(self, outputs: list[str], quantizable: int = 0) -> ModelGraph:
        """The finished model; the ``quantizable`` convolutions of most FLOPs may become int8."""
        for output in outputs:
            self._consumers[output].append(None)
        convolutions = [layer for layer in self._layers if layer.operator == "Conv"]
        chosen = {layer.name for layer in sorted(convolutions, key=lambda layer: -layer.flops)[:quantizable]}
        layers = tuple(
            Layer(layer.name, layer.operator, layer.flops, layer.weight_bytes, layer.name in chosen)
            for layer in self._layers
        )
        tensors = tuple(
            Tensor(f"{source or 'input'}:0", self._bytes[source], source, tuple(consumers))
            for source, consumers in self._consumers.items()
            if consumers
        )
        return ModelGraph(self._name, layers, tensors)
