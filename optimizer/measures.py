"""What a plan is judged by, under names that goals, caps and messages share."""

from collections.abc import Mapping

from core.plan import Prediction
from core.problem import Problem

LATENCY = "latency"
ENERGY = "energy"
DEVICE_ENERGY = "device energy"
NOISE = "noise"

Weights = Mapping[str, float]
"""Measure → coefficient: a linear function of a plan, such as a goal to minimise."""


def memory_of(server: str) -> str:
    """Name of the measure that counts the weight bytes on a server."""
    return f"memory of {server}"


def computing_of(server: str) -> str:
    """Name of the measure that counts the seconds that a server computes."""
    return f"computing of {server}"


def sending_of(server: str) -> str:
    """Name of the measure that counts the seconds that a server sends to others."""
    return f"sending of {server}"


def measures(prediction: Prediction) -> dict[str, float]:
    """Read every measure off a prediction: seconds, joules, bytes; noise in units of the outputs."""
    return {
        LATENCY: prediction.latency_seconds,
        ENERGY: prediction.energy_joules,
        DEVICE_ENERGY: prediction.device_energy_joules,
        NOISE: prediction.noise,
        **{memory_of(server): float(count) for server, count in prediction.memory_bytes.items()},
    }


def value_of(goal: Weights, prediction: Prediction) -> float:
    """Evaluate a goal on a prediction."""
    values = measures(prediction)
    return sum(coefficient * values[measure] for measure, coefficient in goal.items())


def caps(problem: Problem) -> dict[str, float]:
    """The problem's limits as measure → largest value, noise and memory first."""
    found: dict[str, float] = {}
    if problem.limits.noise is not None:
        found[NOISE] = problem.limits.noise
    for server in problem.servers:
        if server.memory_bytes is not None:
            found[memory_of(server.name)] = float(server.memory_bytes)
    if problem.limits.device_energy_joules is not None:
        found[DEVICE_ENERGY] = problem.limits.device_energy_joules
    return found


def in_words(measure: str, value: float) -> str:
    """Write a measure's value with its unit."""
    if measure.startswith("memory of "):
        return f"{value:.0f} bytes"
    unit = {LATENCY: " s", ENERGY: " J", DEVICE_ENERGY: " J"}.get(measure, "")
    return f"{value:.6g}{unit}"
