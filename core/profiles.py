"""What is measured: of a model, of a model on a server, of a server and of the network."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from core.errors import InvalidDocumentError
from core.graph import ModelGraph
from core.problem import BorderTime, Compression, LayerTime, Link, NoiseModel
from core.tensors import TensorSpec

ActivationType = Literal["uint8", "int8"]

CalibrationMethod = Literal["min-max", "percentile", "entropy"]

TimingMethod = Literal["profiler", "layer-by-layer"]


@dataclass(frozen=True)
class QuantizationSettings:
    """How layers become int8: weights are always symmetric int8.

    Attributes:
        activation_type: ``uint8`` (default, fuses on x86) or ``int8``, the thesis's symmetric setting.
        per_channel: one weight scale per output channel instead of one per tensor, which costs nothing and makes the
            noise a third (``partita bench quantization``); models of an opset below 13 keep one per tensor.
        calibration: how the range of an activation follows from its values. ``min-max``: their least and greatest;
            ``percentile``: the narrowest that holds 99.99 % of them; ``entropy``: the one whose rounded
            distribution is nearest to theirs (Kullback-Leibler).
    """

    activation_type: ActivationType = "uint8"
    per_channel: bool = True
    calibration: CalibrationMethod = "min-max"


@dataclass(frozen=True)
class RuntimeSettings:
    """How a server runs models.

    Attributes:
        threads: processor threads of one model run.
        provider: ONNX Runtime execution provider.
        slowdown: emulates a slower machine: a run takes this many times its real time (1 is off).
        timing: how layers are timed. ``profiler``: by the runtime's own, inside the whole model;
            ``layer-by-layer``: each alone, for providers without a profiler, and for comparison.
    """

    threads: int = 1
    provider: str = "CPUExecutionProvider"
    slowdown: float = 1.0
    timing: TimingMethod = "profiler"


@dataclass(frozen=True)
class Range:
    """Least and greatest value that calibration saw in a tensor."""

    low: float
    high: float


@dataclass(frozen=True)
class ModelProfilerSettings:
    """What shapes a model's profiles; part of the keys under which they are stored.

    Attributes:
        quantizable_count: how many of the heaviest quantisable operators form V_Q; 0 keeps all in float.
        wire_count: how many tensors at most may cross in int8 while all computing stays float: so many wire layers
            join V_Q.
        excluded_layers: patterns (``fnmatch``) of layers that must stay float.
        noise_samples: most sets of int8 layers on which the noise model is fitted and tested; each layer alone and
            all together are measured even where that is less.
        noise_r2: measuring stops where the noise model explains so much of sets that it has not seen (R²).
        noise_degree: degree of the noise polynomial.
        noise_measure: what noise is: ``mean-absolute-difference`` of the outputs, ``top-1-agreement``,
            ``detection-agreement`` (noise is then 1 − agreement), or a function as ``module:function``.
        random_seed: makes masks and generated inputs repeatable.
        quantization: how layers become int8.
        timing: how servers time layers, see ``RuntimeSettings``; those set to ``layer-by-layer`` do that anyway.
    """

    quantizable_count: int = 12
    wire_count: int = 3
    excluded_layers: tuple[str, ...] = ()
    noise_samples: int = 400
    noise_r2: float = 0.993
    noise_degree: int = 3
    noise_measure: str = "mean-absolute-difference"
    random_seed: int = 0
    quantization: QuantizationSettings = field(default_factory=QuantizationSettings)
    timing: TimingMethod = "profiler"


@dataclass(frozen=True)
class NoiseFit:
    """The fitted noise polynomial and how well it predicts masks it never saw.

    Attributes:
        model: the polynomial.
        r2: coefficient of determination on held-out masks.
        residual: largest absolute error on held-out masks; what a promise may be wrong by.
        samples: masks measured, the held-out ones included.
        confidence: probability that the noise of one more mask, drawn as the measured ones were, is within ``error``
            of its prediction; 0 where that is not known.
        error: absolute; see ``confidence``.
        inputs: how many inputs each mask's noise is the mean over.
        inputs_error: relative standard error of that mean, by which other inputs like these may differ: median over
            masks; 0 for a single input, where it is not known.
    """

    model: NoiseModel
    r2: float
    residual: float
    samples: int
    confidence: float = 0.0
    error: float = 0.0
    inputs: int = 0
    inputs_error: float = 0.0


@dataclass(frozen=True)
class ModelCompression:
    """How small tensors become when they are compressed without loss.

    Attributes:
        floating: by tensor, as made in float; only of those that become smaller.
        rounded: by tensor, as made by an int8 layer.
        reference_seconds: of a fixed block on the machine whose seconds these are.
    """

    floating: Mapping[str, Compression]
    rounded: Mapping[str, Compression]
    reference_seconds: float


@dataclass(frozen=True)
class ModelProfile:
    """What is known of a model independent of where it runs.

    Attributes:
        model: content hash of the normalised model.
        graph: layers with FLOPs, sizes and V_Q; tensors with dtypes and shapes.
        inputs: the model's inputs.
        outputs: the model's outputs.
        ranges: calibrated range of every tensor that quantising V_Q needs.
        noise: ``None`` where nothing is quantisable.
        compression: of tensors on their way; ``None`` where it was not measured.
    """

    model: str
    settings: ModelProfilerSettings
    graph: ModelGraph
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    ranges: Mapping[str, Range]
    noise: NoiseFit | None = None
    compression: ModelCompression | None = None


@dataclass(frozen=True)
class RunEnergy:
    """Energy of one run of a model on a server.

    Attributes:
        joules: of the run.
        watts: mean while running: of the whole processor or accelerator, what else runs there included.
        source: read from the machine's own meters, or taken from its configuration.
        meter: what was read, in words; empty where nothing was.
        idle_watts: drawn just before, without the run; ``None`` where that was not measured.
    """

    joules: float
    watts: float
    source: Literal["measured", "declared"]
    meter: str = ""
    idle_watts: float | None = None


@dataclass(frozen=True)
class ProfilingPhase:
    """Something that profiling does, and how long it takes.

    Attributes:
        subject: ``model``, ``links``, or the server whose layers are timed.
        phase: what is done, in words.
        seconds: how long it took.
        now: whether it was done just now; else when the profile was made that is used again.
    """

    subject: str
    phase: str
    seconds: float
    now: bool


@dataclass(frozen=True)
class ExecutionProfile:
    """Seconds of each layer of a model on one server, corrected to whole runs (design section 5).

    They are measured at the machine's own speed; see ``slowed``.

    Attributes:
        model: content hash.
        fingerprint: of the server that measured, see ``ServerState``.
        layers: layer → corrected seconds in float and, for V_Q, in int8.
        whole_seconds: the whole float model, median.
        mixed_seconds: the model with all of V_Q in int8, median; ``None`` without V_Q.
        layer_sum_seconds: sum of the uncorrected float times, for comparison.
        energy: of a run of the whole float model; ``None`` where the machine has no meter that can be read.
        borders: tensor → what its leaving and entering this server costs in computing.
        compression_seconds: of the block of ``ModelCompression.reference_seconds`` on this server; ``None`` where it
            was not measured.
    """

    model: str
    fingerprint: str
    layers: Mapping[str, LayerTime]
    whole_seconds: float
    mixed_seconds: float | None
    layer_sum_seconds: float
    energy: RunEnergy | None = None
    borders: Mapping[str, BorderTime] = field(default_factory=dict)
    compression_seconds: float | None = None

    def slowed(self, factor: float) -> "ExecutionProfile":
        """What holds on such a server where all runs take ``factor`` times as long; the energy of that is not known."""
        if factor == 1:
            return self
        return replace(
            self,
            layers={name: time.times(factor) for name, time in self.layers.items()},
            whole_seconds=self.whole_seconds * factor,
            mixed_seconds=None if self.mixed_seconds is None else self.mixed_seconds * factor,
            layer_sum_seconds=self.layer_sum_seconds * factor,
            energy=None,
            borders={name: border.times(factor) for name, border in self.borders.items()},
        )


@dataclass(frozen=True)
class Power:
    """Watts of a server, and whether they were measured or declared in its configuration."""

    compute_watts: float
    transmit_watts: float
    self_transmit_watts: float = 0.0
    source: Literal["measured", "declared"] = "declared"


@dataclass(frozen=True)
class ServerState:
    """A server as its monitor sees it.

    Attributes:
        name: the server.
        fingerprint: hash of processor model, cores, threads, provider and runtime version:
            equal fingerprints share execution profiles.
        description: the same in words.
        machine: identity of the machine; servers that share one are measured one after another.
        memory_bytes: memory that may hold weights.
        available_memory_bytes: memory free at the time of reading.
        load: processor load, 0 to 1.
        power: watts.
        temperature_celsius: of the processor; ``None`` where it has no sensor that can be read.
        drawn_watts: what the machine's own meters say it draws now; ``None`` where it has none.
        battery_level: 0 to 1; ``None`` where there is no battery.
        slowdown: by how much its runs are slowed down, see ``RuntimeSettings``; profiles know its own speed.
    """

    name: str
    fingerprint: str
    description: str
    machine: str
    memory_bytes: int
    available_memory_bytes: int
    load: float
    power: Power
    temperature_celsius: float | None = None
    drawn_watts: float | None = None
    battery_level: float | None = None
    slowdown: float = 1.0


@dataclass(frozen=True)
class MeasuredLink(Link):
    """A link and how well it is known.

    Attributes:
        measured_at: when it was last measured, in seconds since 1970; 0 where that is not known.
        spread: median deviation of measurements from the median at their size, as a share of it.
        bare_rtt_seconds: round-trip time of next to nothing between two event loops that have nothing else to do, where
            ``rtt_seconds`` is that of a tensor from a component to another; 0 where it is not known.
    """

    measured_at: float = 0.0
    spread: float = 0.0
    bare_rtt_seconds: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.measured_at, self.spread, self.bare_rtt_seconds) < 0:
            raise InvalidDocumentError(
                f"link {self.source} → {self.target} has a negative measured_at, spread or bare_rtt_seconds"
            )

    def differs(self, other: Link, share: float) -> bool:
        """Whether another link's times are more than ``share`` off at any size that either was measured at."""
        sizes = {size for link in (self, other) for size, _ in link.knots}
        return any(abs(self.seconds(size) - other.seconds(size)) > share * self.seconds(size) for size in sizes)

    @property
    def link(self) -> Link:
        """What planning needs of it: the reply was measured too, but nothing waits for it.

        It takes half a bare round trip, as on its way back no component is involved.
        """
        reply = min(self.bare_rtt_seconds or self.rtt_seconds, self.rtt_seconds) / 2
        return Link(
            self.source,
            self.target,
            self.bytes_per_second,
            self.rtt_seconds,
            self.seconds_by_bytes,
            reply_seconds=reply,
        )


@dataclass(frozen=True)
class NetworkGraph:
    """Measured links between servers."""

    links: tuple[MeasuredLink, ...] = ()
