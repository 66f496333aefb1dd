"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """What a run of the bench measures; part of its identity, so that a run resumes with its own only.

    Attributes:
        label: ``quick`` or ``full``.
        quantizable_count: layers that may become int8.
        noise_samples: most sets of int8 layers that the noise model is fitted on.
        latency_weights: ω_T of the plans.
        noise_levels: η_max of the plans, in the thesis's numbers (see ``plans.noise_scale``).
        requests: to each distinct plan; the device alone answers as many in between.
        int8_sets: random sets of int8 layers whose time is predicted and measured on the undivided model.
        energy_limits: steps between the least energy the device can have and what it takes without a limit.
        random_layers: sizes of random models to plan.
        random_servers: numbers of servers to plan them for.
        random_seeds: models of each size and number.
        static_servers: numbers of servers to plan the measured model for.
        literal_seconds: when the thesis's own integer program is stopped; 0 leaves it out.
    """

    label: str
    quantizable_count: int
    noise_samples: int
    latency_weights: tuple[float, ...]
    noise_levels: tuple[float, ...]
    requests: int
    int8_sets: int
    energy_limits: int
    random_layers: tuple[int, ...]
    random_servers: tuple[int, ...]
    random_seeds: int
    static_servers: tuple[int, ...]
    literal_seconds: float


FULL = Sizes(
    label="full",
    quantizable_count=12,
    noise_samples=400,
    latency_weights=(0.0, 0.5, 1.0),
    noise_levels=(0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5),
    requests=21,
    int8_sets=12,
    energy_limits=6,
    random_layers=(250, 500, 700, 1000, 1850),
    random_servers=(2, 3, 4, 5, 6),
    random_seeds=3,
    static_servers=(2, 3, 4, 5, 6),
    literal_seconds=300.0,
)
"""Everything; hours with large models."""

QUICK = Sizes(
    label="quick",
    quantizable_count=8,
    noise_samples=64,
    latency_weights=(0.0, 0.5, 1.0),
    noise_levels=(0.0, 0.05, 0.2, 0.5),
    requests=7,
    int8_sets=6,
    energy_limits=4,
    random_layers=(250, 700, 1850),
    random_servers=(2, 3, 6),
    random_seeds=1,
    static_servers=(2, 3, 6),
    literal_seconds=0.0,
)
"""Within ten minutes on two cores, with a small model."""
