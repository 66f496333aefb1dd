"""An ONNX Runtime session with the settings that every run on a server shares."""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnxruntime as ort

from core.buffers import BufferPool, Memory, as_tensor
from core.errors import InvalidModelError
from core.profiles import RuntimeSettings
from core.tensors import DTYPES, Array, TensorSpec


def session_options(settings: RuntimeSettings) -> ort.SessionOptions:
    """Return the runtime's options by which a server runs every model."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Without VNNI the fast kernels for unsigned activations overflow, silently; with it this changes nothing.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def open_session(model: bytes, settings: RuntimeSettings, options: ort.SessionOptions) -> ort.InferenceSession:
    """Load ``model``, an ONNX file's bytes, on the provider of ``settings``.

    Raises:
        InvalidModelError: the runtime refuses the model or the provider is not there.
    """
    if settings.provider not in ort.get_available_providers():
        raise InvalidModelError(
            f"execution provider {settings.provider!r} is not installed; "
            f"available are {', '.join(ort.get_available_providers())}"
        )
    try:
        # It makes layers int8 that are float, where what they read and what they make is rounded.
        disabled = ["WeightBiasQuantization"]
        return ort.InferenceSession(model, options, providers=[settings.provider], disabled_optimizers=disabled)
    except Exception as error:
        raise InvalidModelError(f"ONNX Runtime refuses the model: {error}") from error


def run_clock(settings: RuntimeSettings) -> Callable[[], float]:
    """A clock, in seconds, by which a run's own work is timed.

    Where a run is this thread's alone it is the thread's processor time, which does not go on while other programs
    have the processor; else, the time of day.
    """
    alone = settings.threads == 1 and settings.provider == "CPUExecutionProvider"
    return time.thread_time if alone else time.perf_counter


_DTYPES = {f"tensor({name})": name for name in DTYPES} | {"tensor(float)": "float32", "tensor(double)": "float64"}
"""The runtime's names of types → numpy's."""


IDLE_LIMIT_BYTES = 32 * 2**20
"""Most memory that a session keeps for outputs to come."""

SMALL_BYTES = 2**20
"""Fewer bytes of outputs take less in fresh memory than the 0.15 ms in which others are bound to used memory."""


class Session:
    """One loaded model. ``run`` blocks and may be called from several threads.

    Attributes:
        inputs: names of the model's inputs.
    """

    def __init__(self, model: bytes, settings: RuntimeSettings) -> None:
        """Load ``model``, an ONNX file's bytes.

        Raises:
            InvalidModelError: the runtime refuses the model or the provider is not there.
        """
        self._session = open_session(model, settings, session_options(settings))
        self._slowdown = settings.slowdown
        self._clock = run_clock(settings)
        self.inputs = tuple(value.name for value in self._session.get_inputs())
        self._outputs = [output.name for output in self._session.get_outputs()]
        specs = _fixed_specs(self._session)
        self._specs = specs if sum(spec.byte_count for spec in specs) >= SMALL_BYTES else ()
        self._buffers = BufferPool(IDLE_LIMIT_BYTES)

    def run(self, inputs: Mapping[str, Array], memory: Memory | None = None) -> dict[str, Array]:
        """Run the model once.

        With a slow-down above 1 it takes this many times the run's own work: what other programs took from it meanwhile
        counts as waited for.

        Args:
            inputs: input name → array of the model's dtype and shape.
            memory: where large outputs are to be made, where that matters.

        Returns:
            Output name → array.
        """
        begin, start = time.perf_counter(), self._clock()
        outputs = self._run(inputs, memory)
        if self._slowdown > 1:
            seconds = (self._clock() - start) * self._slowdown
            time.sleep(max(0.0, begin + seconds - time.perf_counter()))
        return outputs

    def _run(self, inputs: Mapping[str, Array], memory: Memory | None = None) -> dict[str, Array]:
        if self._specs:
            try:
                return self._run_into_memory(inputs, memory)
            except RuntimeError:
                # A model may declare other shapes than it makes; the runtime minds only where memory is given to it.
                self._specs = ()
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(inputs)), strict=True))

    def _run_into_memory(self, inputs: Mapping[str, Array], memory: Memory | None) -> dict[str, Array]:
        binding = self._session.io_binding()
        rows = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in inputs.items()}
        for name, array in rows.items():
            binding.bind_cpu_input(name, array)
        outputs: dict[str, Array] = {}
        for spec in self._specs:
            # The runtime writes where the results stay, in memory of results that nobody needs any more.
            place = memory(spec.name, spec.byte_count) if memory is not None else None
            if place is None:
                place = self._buffers.take(spec.byte_count)
            outputs[spec.name] = as_tensor(place, spec)
            binding.bind_output(spec.name, "cpu", 0, np.dtype(spec.dtype), spec.shape, place.ctypes.data)
        self._session.run_with_iobinding(binding)
        return outputs

    def run_together(
        self, requests: Sequence[Mapping[str, Array]], memory: Memory | None = None
    ) -> list[dict[str, Array]]:
        """Run the model once for several requests, whose tensors are joined along their first dimension of 1.

        Args:
            requests: each request's inputs, as ``run`` takes them; more than one only where the model is open for it.
            memory: for a single request, as ``run`` takes it.

        Returns:
            Each request's outputs, as ``run`` gives them.
        """
        if len(requests) == 1:
            return [self.run(requests[0], memory)]
        outputs = self.run(self._joined(requests))
        return [{name: array[row : row + 1] for name, array in outputs.items()} for row in range(len(requests))]

    def _joined(self, requests: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
        return {name: np.concatenate([one[name] for one in requests]) for name in self.inputs}

    def timed(self, requests: Sequence[Mapping[str, Array]]) -> float:
        """Seconds of work that ``run_together`` is, without any slow-down."""
        joined = self._joined(requests)
        start = self._clock()
        self._run(joined)
        return self._clock() - start

    def warm(self, specs: tuple[TensorSpec, ...]) -> None:
        """Run once on zeros, so that the first request finds memory and kernels ready."""
        inputs: dict[str, Array] = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in specs}
        self._run(inputs)


def _fixed_specs(session: ort.InferenceSession) -> tuple[TensorSpec, ...]:
    """The outputs, where the model tells all of their sizes; else none."""
    specs = []
    # An input that is an output too is not written by the runtime.
    inputs = {value.name for value in session.get_inputs()}
    for output in session.get_outputs():
        shape = output.shape
        fixed = all(isinstance(size, int) and size > 0 for size in shape)
        if not fixed or output.type not in _DTYPES or output.name in inputs:
            return ()
        specs.append(TensorSpec(output.name, _DTYPES[output.type], tuple(shape)))
    return tuple(specs)
