"""A model in stages, each in float and with its layer in int8, so that sets of int8 layers share what they agree on.

Which sets of int8 layers can a node's result depend on? Only on those choices among its quantisable ancestors, itself
included. Nodes with the same ancestors form a stage; it holds at most one quantisable layer, so it needs at most two
sessions, whatever the number of sets. Sets measured in sorted order find most stages unchanged since the set before.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from core.errors import InvalidArgumentError, InvalidTensorError
from core.profiles import QuantizationSettings, Range, RuntimeSettings
from core.progress import Progress, no_progress
from core.tensors import Array
from inferencer.session import Session
from model_divider.cutting import Cut
from model_divider.quantize import quantize
from profilers.container import usable_cores
from profilers.node_inputs import consumed_names
from profilers.noise_measures import NoiseMeasure

Masks = NDArray[np.bool_]

_MOST_THREADS = 8
_KEPT = 2
"""Results kept of a stage: of a layer in a side branch both, while the branches beside it change."""


@dataclass(frozen=True)
class _Stage:
    """Nodes with the same quantisable ancestors.

    Attributes:
        layer: column of the stage's own quantisable layer.
        ancestors: columns on which its results depend, ``layer`` included.
        inputs: tensors that it reads.
        sessions: in float, and with ``layer`` in int8.
    """

    layer: int | None
    ancestors: tuple[int, ...]
    inputs: tuple[str, ...]
    sessions: tuple[Session, ...]

    def run(self, mask: Masks, values: Mapping[str, Array]) -> dict[str, Array]:
        session = self.sessions[self.layer is not None and bool(mask[self.layer])]
        return session.run({name: values[name] for name in self.inputs})


@dataclass(frozen=True)
class StagedModel:
    """All stages of a model, producers first, and the names of its outputs. ``run`` may be called by several threads.

    Attributes:
        stages: see ``_Stage``.
        outputs: the model's outputs.
    """

    stages: Sequence[_Stage]
    outputs: Sequence[str]

    @classmethod
    def build(
        cls,
        model: onnx.ModelProto,
        layers: Sequence[str],
        ranges: Mapping[str, Range],
        settings: QuantizationSettings,
        runtime: RuntimeSettings,
    ) -> "StagedModel":
        """Cut ``model`` into stages and load them.

        Args:
            model: an admitted model.
            layers: V_Q; the columns of masks.
            ranges: what ``calibrate`` returned for V_Q.
            settings: how layers become int8.
            runtime: how the sessions run.

        Raises:
            InvalidArgumentError: a layer is unknown or cannot be quantised, or a tensor's range is missing.
            InvalidModelError: the runtime refuses a stage.
        """
        ancestors = _ancestors(model, {name: column for column, name in enumerate(layers)})
        groups: dict[frozenset[int], int] = {}
        homes = {name: groups.setdefault(columns, len(groups)) for name, columns in ancestors.items()}
        own = {ancestors[name]: name for name in layers}
        cut = Cut(model, homes, frozenset())
        stages = []
        for columns in sorted(groups, key=len):
            floating = cut.extract(groups[columns])
            used = {name for node in floating.graph.node for name in node.output} - {
                value.name for value in floating.graph.output
            }
            floating.graph.value_info.extend(value for value in model.graph.value_info if value.name in used)
            models, layer = [floating], own.get(columns)
            if layer is not None:
                models.append(quantize(floating, [layer], ranges, settings))
            stages.append(
                _Stage(
                    None if layer is None else layers.index(layer),
                    tuple(sorted(columns)),
                    tuple(cut.inputs(groups[columns])),
                    tuple(Session(one.SerializeToString(), runtime) for one in models),
                )
            )
        return cls(stages, [value.name for value in model.graph.output])

    def run(self, masks: Iterable[Masks], inputs: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
        """Yield the model's outputs for each mask in turn; masks that share beginnings should follow each other."""
        kept: list[OrderedDict[bytes, dict[str, Array]]] = [OrderedDict() for _ in self.stages]
        for mask in masks:
            values = dict(inputs)
            for stage, known in zip(self.stages, kept, strict=True):
                key = mask[list(stage.ancestors)].tobytes()
                if key not in known:
                    known[key] = stage.run(mask, values)
                    if len(known) > _KEPT:
                        known.popitem(last=False)
                known.move_to_end(key)
                values.update(known[key])
            yield {name: values[name] for name in self.outputs}


class StagedNoise:
    """Measures the noise of many sets of int8 layers of one model, on one server: mean over inputs of a measure.

    Several inputs are worked on at once, each on one thread: that keeps processors busier than threads within a run.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        layers: Sequence[str],
        ranges: Mapping[str, Range],
        inputs: Sequence[Mapping[str, Array]],
        settings: QuantizationSettings,
        measure: NoiseMeasure,
    ) -> None:
        """Load the model in stages; see ``StagedModel.build``.

        Args:
            model: an admitted model.
            layers: V_Q; the columns of masks.
            ranges: what ``calibrate`` returned for V_Q.
            inputs: of the model, at least one.
            settings: how layers become int8.
            measure: what noise is.

        Raises:
            InvalidTensorError: there is no input.
        """
        if not inputs:
            raise InvalidTensorError("noise is measured on inputs of the model, but none was given; give at least one")
        cores = max(1, min(_MOST_THREADS, int(usable_cores())))
        self._workers = min(cores, len(inputs))
        runtime = RuntimeSettings(threads=cores // self._workers)
        self._model = StagedModel.build(model, layers, ranges, settings, runtime)
        self._inputs = inputs
        self._measure = measure

    def measure(self, masks: Masks, progress: Progress = no_progress) -> NDArray[np.float64]:
        """Noise of each row of ``masks`` (sample × layer): mean over inputs; raises as ``measure_inputs`` does."""
        return np.asarray(self.measure_inputs(masks, progress).mean(axis=0))

    def measure_inputs(self, masks: Masks, progress: Progress = no_progress) -> NDArray[np.float64]:
        """Noise on each input of each row of ``masks`` (sample × layer): input × sample.

        Raises:
            InvalidArgumentError: the measure does not fit the outputs, or is not 0 for equal ones.
            InvalidModelError: the outputs are not finite, or their shapes depend on values.
        """
        order = np.lexsort(masks.T[::-1])
        noise = np.empty((len(self._inputs), len(masks)))
        with ThreadPoolExecutor(self._workers) as pool:
            rows = {pool.submit(self._row, masks[order], item): row for row, item in enumerate(self._inputs)}
            try:
                for done, future in enumerate(as_completed(rows)):
                    noise[rows[future], order] = future.result()
                    progress((done + 1) / len(rows), f"noise of {len(masks)} sets of int8 layers, input {done + 1}")
            finally:
                pool.shutdown(cancel_futures=True)
        return noise

    def _row(self, masks: Masks, inputs: Mapping[str, Array]) -> list[float]:
        floating = np.zeros((1, masks.shape[1]), np.bool_)
        outputs = self._model.run(np.concatenate([floating, masks]), inputs)
        expected = next(outputs)
        if same := self._measure(expected, expected):
            raise InvalidArgumentError(
                f"the measure of noise is {same:g} for equal outputs; it must be 0, and grow as outputs part"
            )
        return [self._measure(expected, given) for given in outputs]


def _ancestors(model: onnx.ModelProto, columns: Mapping[str, int]) -> dict[str, frozenset[int]]:
    """Find each node's quantisable ancestors, itself included: node name → columns."""
    of_tensor: dict[str, frozenset[int]] = {}
    of_node: dict[str, frozenset[int]] = {}
    none: frozenset[int] = frozenset()
    for node in model.graph.node:
        found = none.union(*(of_tensor.get(name, none) for name in consumed_names(node)))
        if node.name in columns:
            found |= {columns[node.name]}
        of_node[node.name] = found
        of_tensor.update(dict.fromkeys(node.output, found))
    return of_node
